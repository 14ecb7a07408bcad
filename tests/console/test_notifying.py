"""Does a scan tell of its end at once, and does `jobs show` say whom it tells and how far that is?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.exits import ExitCode
from db import jobs, webhooks
from db.engine import reading, writing
from db.models import JobState
from db.schema import open_database
from tests.console.conftest import draw
from tests.console.shell import type_here
from tests.networks import add_random_model
from tests.receiver import SECRET, Receiver, receiving
from tests.rows import add_job


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """One that may be told, in the environment of the commands."""
    with receiving() as made:
        monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
        monkeypatch.setenv("INSPECTQ_DEVICE", "cpu")
        monkeypatch.setenv("INSPECTQ_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("INSPECTQ_WEBHOOK_HOSTS", made.host)
        yield made


def test_a_scan_tells_of_its_own_end_and_of_an_older_one_that_was_left(
    receiver: Receiver, tmp_path: Path, sqlite_with_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_database(sqlite_with_tables)
    add_random_model(engine, tmp_path / "models")
    draw(tmp_path / "monday", "a.png")
    left = add_job(engine, [["a.jpg"]])
    with writing(engine) as session:
        webhooks.add(session, left, receiver.url)
        jobs.cancel(session, left, actor="anna")
    scanned = type_here(capsys, "scan", tmp_path / "monday", "--notify", receiver.url)
    assert scanned.code == ExitCode.DONE, scanned.err
    ends = [asked.headers["webhook-id"].rpartition("-")[0] for asked in receiver.asked]
    assert ends == [f"job-{scanned.out.strip()}-done", f"job-{left}-cancelled"]
    shown = type_here(capsys, "jobs", "show", scanned.out.strip(), "--format", "json").json["notify"]
    assert (shown["url"], shown["told_state"], shown["problem"]) == (receiver.url, "done", None)
    assert f"{receiver.url} was told at" in type_here(capsys, "jobs", "show", scanned.out.strip()).out


def test_a_receiver_that_fails_fails_no_scan_and_one_that_may_not_be_called_is_refused_at_once(
    receiver: Receiver, tmp_path: Path, sqlite_with_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_database(sqlite_with_tables)
    add_random_model(engine, tmp_path / "models")
    draw(tmp_path / "monday", "a.png")
    refused = type_here(capsys, "scan", tmp_path / "monday", "--notify", "http://localhost/")
    assert (refused.code, refused.out) == (ExitCode.WRONG_USAGE, "")
    assert "INSPECTQ_WEBHOOK_HOSTS does not name localhost" in refused.err
    receiver.answers = [500]
    scanned = type_here(capsys, "scan", tmp_path / "monday", "--notify", receiver.url)
    assert (scanned.code, scanned.out.strip()) == (ExitCode.DONE, "1")
    said = " ".join(type_here(capsys, "jobs", "show", 1).out.split())
    assert "is not told, after 1 attempt: It answered 500. The next attempt is at" in said


def test_a_job_that_goes_on_or_was_given_up_says_so(
    receiver: Receiver, sqlite_with_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_database(sqlite_with_tables)
    job = add_job(engine, [["a.jpg"]])
    with writing(engine) as session:
        webhooks.add(session, job, receiver.url)
    assert "is told when the job has ended" in type_here(capsys, "jobs", "show", job).out
    with writing(engine) as session:
        jobs.fail(session, job, "A test.")
        due = webhooks.claim(session, lease_seconds=60)
        assert due is not None
        assert webhooks.failed(session, due, "It answered 410.", again_in=None)
    assert "This was given up." in type_here(capsys, "jobs", "show", job).out
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.FAILED
    without = add_job(engine, [["a.jpg"]])
    assert type_here(capsys, "jobs", "show", without, "--format", "json").json["notify"] is None
