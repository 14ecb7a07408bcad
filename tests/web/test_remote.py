"""Do the commands print the same through a console as on its database, and say what is wrong where it is not one?"""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from db import jobs, people, sign_ins
from db.engine import Engine, reading, writing
from db.models import Role
from tests.console.conftest import draw
from tests.console.shell import Said, type_here
from tests.web.conftest import Console
from tests.web.test_journey import job_of

Type = Callable[..., Said]


@pytest.fixture
def there(
    serve: Callable[..., Console], engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    """Type a command that asks a console behind a login, with an inspector's token."""
    console = serve(login=True)
    with writing(engine) as session:
        user = people.add(session, "Ines", Role.INSPECTOR, by="test")
        token = sign_ins.add_token(session, user, "line 3", Role.INSPECTOR, days=1, by="test")

    def typed(*words: object, url: str = console.url, token: str = token) -> Said:
        with monkeypatch.context() as patched:
            patched.setenv("INSPECTQ_API_URL", url)
            patched.setenv("INSPECTQ_API_TOKEN", token)
            patched.setenv("INSPECTQ_DATABASE_URL", "sqlite:////nonexistent/inspectq.db")
            return type_here(capsys, *words)

    return typed


@pytest.fixture
def here(sqlite_with_tables: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command that works on the database."""

    def typed(*words: object) -> Said:
        with monkeypatch.context() as patched:
            patched.setenv("INSPECTQ_DATABASE_URL", sqlite_with_tables)
            patched.setenv("INSPECTQ_BROKER_URL", "redis://127.0.0.1:1/0")  # as the console sees it: others inspect
            return type_here(capsys, *words)

    return typed


@pytest.fixture
def job(console: Console, tmp_path: Path) -> int:
    return job_of(console.rows, tmp_path / "images")


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "list"),
        ("jobs", "list", "--format", "json"),
        ("jobs", "show", "JOB"),
        ("jobs", "show", "JOB", "--format", "json"),
        ("models", "list"),
        ("models", "list", "--format", "json"),
        ("results", "JOB"),
        ("results", "JOB", "--disposition", "fail"),
        ("results", "JOB", "--format", "csv"),
        ("results", "JOB", "--format", "json"),
    ],
    ids=" ".join,
)
def test_it_prints_the_same(here: Type, there: Type, job: int, words: tuple[str, ...]) -> None:
    typed = [str(job) if word == "JOB" else word for word in words]
    expected = here(*typed)
    assert expected.out
    assert there(*typed) == expected


def test_the_lineage_of_an_image_is_the_same(here: Type, there: Type, job: int) -> None:
    path = here("results", job, "--format", "json").json[3]["path"]
    assert there("trace", job, path).json == here("trace", job, path, "--format", "json").json
    missing = there("trace", job, "nothing.png")
    assert (missing.code, "no verdict" in missing.err) == (2, True)


def test_a_parquet_file_has_its_types(here: Type, there: Type, job: int, tmp_path: Path) -> None:
    assert here("results", job, "--format", "parquet", "--out", tmp_path / "a.parquet").code == 0
    assert there("results", job, "--format", "parquet", "--out", tmp_path / "b.parquet").code == 0
    one, other = (pyarrow.parquet.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert one.equals(other)
    assert one.num_rows == len(list(csv.DictReader(io.StringIO(there("results", job, "--format", "csv").out))))


def test_a_folder_is_submitted_and_cancelled(there: Type, console: Console, engine: Engine, tmp_path: Path) -> None:
    console.rows.add_model()
    draw(tmp_path / "monday", "a.png", 3)
    submitted = there("scan", tmp_path / "monday", "--priority", 7, "--audit-rate", 0.5)
    assert (submitted.code, submitted.out) == (0, "1\n")
    with reading(engine) as session:
        made = jobs.get(session, 1)
        assert (made.priority, made.audit_rate, made.submitted_by) == (7, 0.5, "Ines, token line 3")
    assert "is cancelled" in there("jobs", "cancel", 1).err
    again = there("jobs", "cancel", 1)
    assert (again.code, "cancelled" in again.err) == (2, True)
    retried = there("jobs", "retry", 1)
    assert retried.code == 2
    assert "Name the folder from / on" in there("scan", "monday").err
    gone = there("scan", tmp_path / "tuesday")
    assert (gone.code, "There is no folder" in gone.err) == (2, True)


def test_what_goes_wrong_is_one_sentence(there: Type, job: int) -> None:
    away = there("jobs", "list", url="http://127.0.0.1:1")
    assert (away.code, "The console at http://127.0.0.1:1 does not answer" in away.err) == (3, True)
    stranger = there("jobs", "list", token="iq_none")
    assert (stranger.code, "Set INSPECTQ_API_TOKEN" in stranger.err) == (2, True)
    readable = there("jobs", "list", url="http://inspect.example")
    assert (readable.code, "could be read on its way" in readable.err) == (2, True)
    for url in ("inspect.example", "ftp://127.0.0.1", "https://x:abc"):
        nowhere = there("jobs", "list", url=url)
        assert (nowhere.code, "INSPECTQ_API_URL is the address of a console" in nowhere.err) == (2, True)
    for words in (("train", "x"), ("audit", "verify"), ("web",), ("models", "show", "1")):
        local = there(*words)
        assert (local.code, "works on the database itself" in local.err) == (2, True)
    for said in (away, stranger, readable):
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err
