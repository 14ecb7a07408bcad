"""Does `jobs show` say what a job waits for?"""

from pathlib import Path

import pytest

from console.exits import ExitCode
from db import batches, jobs
from db.engine import writing
from db.schema import open_database
from tests.console.shell import type_here
from tests.rows import add_job, claim_next, submit_job


def test_failed_waiting_and_pending_jobs_explain_themselves(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    engine = open_database(sqlite_url)
    failed = add_job(engine, [["a.jpg"]])
    with writing(engine) as session:
        jobs.fail(session, failed, "Its folder is [bold]gone[/bold].")
    waiting = add_job(engine, [["b.jpg"], ["c.jpg"]])
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.wait(session, held, reason="the job's folder is not there\x1b[2J", pause_seconds=60)
    pending = submit_job(engine)

    shown = {job: type_here(capsys, "jobs", "show", job, "--format", "json") for job in (failed, waiting, pending)}
    assert {said.code for said in shown.values()} == {ExitCode.DONE}
    explained = {job: " ".join(said.json["explanation"]) for job, said in shown.items()}
    assert f"inspectq jobs retry {failed}" in explained[failed]
    assert "1 of its batches wait for their files" in explained[waiting]
    assert "the job's folder is not there" in explained[waiting]
    assert shown[waiting].json["batches_open"] == {"planned": 2, "dispatched": 0, "running": 0}
    assert "It has not begun." in explained[pending]
    assert f"inspectq jobs retry {pending}" in explained[pending]

    monkeypatch.setenv("INSPECTQ_BROKER_URL", "redis://127.0.0.1:1/0")  # a cluster; its broker is not asked
    clustered = " ".join(type_here(capsys, "jobs", "show", pending, "--format", "json").json["explanation"])
    assert "No scheduler has been seen" in clustered
    assert "No worker has been seen" in clustered
    table = type_here(capsys, "jobs", "show", waiting).out
    assert "wait for their files" in table
    assert "\x1b[2J" not in table
    assert "[bold]gone[/bold]" in type_here(capsys, "jobs", "show", failed).out
