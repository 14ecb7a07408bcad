"""Does the auditor's command see what was changed, and say where?"""

from pathlib import Path

import pytest
from sqlalchemy import text

from console.exits import ExitCode
from db import jobs
from db.engine import Engine, writing
from db.schema import open_database
from tests.console.shell import type_here
from tests.rows import add_job, inspect_all

WHOLE = {"chain": "whole", "jobs_that_do_not_add_up": []}


@pytest.fixture
def engine(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A database with a finished, a cancelled and a running job, which the commands find."""
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    made = open_database(sqlite_url)
    add_job(made, [["a.jpg", "b.jpg"], ["c.jpg"]])
    cancelled = add_job(made, [["d.jpg"]])
    with writing(made) as session:
        jobs.cancel(session, cancelled, actor="anna")
    inspect_all(made)
    add_job(made, [["e.jpg"]])
    return made


def test_untouched_records_are_whole(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    verified = type_here(capsys, "audit", "verify", "--format", "json")
    assert verified.code == ExitCode.DONE
    assert {name: verified.json[name] for name in WHOLE} == WHOLE
    assert verified.json["events"] >= 6
    assert len(verified.json["newest_digest"]) == 64
    assert "whole" in type_here(capsys, "audit", "verify").out


@pytest.mark.parametrize(
    ("tampering", "misfit"),
    [
        ("UPDATE audit_event SET actor = 'nobody' WHERE id = 2", {"chain": "broken at event 2"}),
        ("DELETE FROM audit_event WHERE id = 1", {"chain": "broken at event 2"}),
        ("DELETE FROM inspection_result WHERE path = 'b.jpg'", {"jobs_that_do_not_add_up": [1]}),
        ("UPDATE inspection_job SET submitted = 2 WHERE id = 2", {"jobs_that_do_not_add_up": [2]}),
        (
            "INSERT INTO inspection_result SELECT 99, job_id, batch_id, 'z.jpg', revision, sha256, size, width, "
            "height, score, label, disposition, reason_code, detail, checkpoint_id, operating_point_id, engine, "
            "precision, device, worker, time, NULL, NULL FROM inspection_result WHERE path = 'c.jpg'",
            {"jobs_that_do_not_add_up": [1]},
        ),
    ],
    ids=["changed event", "removed event", "removed verdict", "changed count", "added verdict"],
)
def test_what_was_changed_is_named_and_ends_badly(
    engine: Engine, capsys: pytest.CaptureFixture[str], tampering: str, misfit: dict[str, object]
) -> None:
    with writing(engine) as session:
        session.execute(text(tampering))
    verified = type_here(capsys, "audit", "verify", "--format", "json")
    assert verified.code == ExitCode.ENDED_BADLY
    assert {name: verified.json[name] for name in WHOLE} == WHOLE | misfit
    assert type_here(capsys, "audit", "verify").code == ExitCode.ENDED_BADLY
