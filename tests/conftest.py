"""Which real services do the tests run against, and where does each test keep its things?

Redis and PostgreSQL are started once per session on free loopback ports and stopped at its end. A server
given by INSPECTQ_TEST_BROKER_URL or INSPECTQ_TEST_DATABASE_URL is used instead. At a desk a missing one
skips its tests; with CI=true the ones that the wheels bring must be there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright
from psycopg import sql

from console.postgres import PostgresServer, postgres_programs
from console.servers import RedisServer, redis_programs
from db.engine import connect
from db.schema import upgrade

if TYPE_CHECKING:
    from tests.exports import ExportedModel

# How long an example takes says something about what else this machine does.
hypothesis.settings.register_profile("inspectq", deadline=None)
hypothesis.settings.load_profile("inspectq")

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
GIVEN_BROKER = os.environ.get("INSPECTQ_TEST_BROKER_URL", "")
GIVEN_DATABASE = os.environ.get("INSPECTQ_TEST_DATABASE_URL", "")
REDIS_KINDS = ["given"] if GIVEN_BROKER else ["redis-server", "valkey-server"]


@pytest.fixture(scope="session", autouse=True)
def _no_inherited_settings() -> Iterator[None]:
    """A developer's own INSPECTQ_ settings, and the cluster behind them, stay out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("INSPECTQ_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The folder of pyproject.toml and docker-compose.yml."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """A small model with a file for each runtime. Read only."""
    from tests.exports import export_random_model  # loads torch and its exporter

    return export_random_model(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers, which PostgreSQL's account can enter when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="inspectq-tests-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session", params=REDIS_KINDS)
def redis_url(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[str]:
    """A Redis, then a Valkey: each test that asks for it runs on either. It is not emptied between tests."""
    if request.param == "given":
        yield GIVEN_BROKER
        return
    program = redis_programs().get(request.param)
    if program is None:
        _missing(f"{request.param} is not installed", required=request.param == "valkey-server")
    with RedisServer(server_folder / request.param, program=program) as server:
        yield server.url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis or Valkey of the test's own, to stop, kill and start."""
    if not redis_programs():
        _missing("neither redis-server nor valkey-server is installed", required=True)
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[PostgresServer]:
    """The session's PostgreSQL. Whoever stops it starts it again."""
    if postgres_programs() is None:
        _missing("PostgreSQL is not installed", required=True)
    with PostgresServer(server_folder / "postgresql", fsync=False) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_home: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped after the test."""
    with _new_database(postgres_home) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_home(request: pytest.FixtureRequest) -> str:
    """The URL of a server whose account may make databases."""
    return GIVEN_DATABASE or str(request.getfixturevalue("postgres_server").url)


@pytest.fixture(scope="session")
def postgres_template(postgres_home: str) -> Iterator[str]:
    """The name of a database with tables: copying it takes a tenth of the time of making them."""
    with _new_database(postgres_home) as url:
        _make_tables(url)
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session")
def copy_of_postgres(postgres_home: str) -> Callable[[str], AbstractContextManager[str]]:
    """Given the name of a PostgreSQL database that nobody uses now, the URL of a copy for as long as a block runs."""
    return lambda template: _new_database(postgres_home, template)


@contextmanager
def _new_database(server: str, template: str = "template1") -> Iterator[str]:
    parent, name = server.rpartition("/")[0], f"test_{uuid.uuid4().hex[:12]}"
    admin = server.replace("postgresql+psycopg://", "postgresql://")
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(made)
    yield f"{parent}/{name}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_tables(url: str) -> None:
    engine = connect(url)
    upgrade(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables, to copy."""
    file = tmp_path_factory.mktemp("template") / "inspectq.db"
    _make_tables(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_with_tables(sqlite_url: str, sqlite_template: Path) -> str:
    """`sqlite_url`, with tables."""
    shutil.copy(sqlite_template, sqlite_url.removeprefix("sqlite:///"))
    return sqlite_url


@pytest.fixture
def postgres_with_tables(postgres_home: str, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with tables, dropped after the test."""
    with _new_database(postgres_home, postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'inspectq.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database: the test runs on SQLite, then on PostgreSQL."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_with_tables(request: pytest.FixtureRequest) -> str:
    """A database with tables: the test runs on SQLite, then on PostgreSQL."""
    fixture = {"sqlite": "sqlite_with_tables", "postgresql": "postgres_with_tables"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


def _missing(what: str, *, required: bool) -> NoReturn:
    if required and IN_CI:
        pytest.fail(f"{what}, and CI has to have it: the wheels of the extra `servers` bring it.")
    pytest.skip(f"{what}.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a process: Playwright does not begin a second time in it."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail("Chromium is not installed, and CI has to have it.")
        pytest.skip("Chromium is not installed.")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()
