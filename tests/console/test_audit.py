"""Does the auditor's command see what was changed, and say where?"""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from console.exits import ExitCode
from db import evaluations, jobs, runtimes
from db.engine import Engine, writing
from db.runtimes import NewParity
from db.schema import open_database
from tests.console.shell import type_here
from tests.rows import add_dataset, add_job, add_model, inspect_all, new_evaluation
from tests.tampering import tampering

WHOLE = {"chain": "whole", "jobs_that_do_not_add_up": [], "misfits": 0, "does_not_fit": []}
MODEL, EXPORT = b"a model's file", b"what was exported of it"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def engine(tmp_path: Path, sqlite_with_tables: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A SQLite with a finished, a cancelled and a running job, which the commands find."""
    return recorded(sqlite_with_tables, tmp_path, monkeypatch)


def recorded(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("INSPECTQ_HOME", str(home))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", url)
    made = open_database(url)
    (home / "models").mkdir()
    (home / "models" / f"{digest(MODEL)}.safetensors").write_bytes(MODEL)
    (home / "models" / f"{digest(MODEL)}.onnx").write_bytes(EXPORT)
    with writing(made) as session:
        model, new = add_model(session, digest=digest(MODEL)), new_evaluation(3, 1, 1, 3)
        evaluation = evaluations.add_evaluation(session, new, checkpoint_id=model.id, dataset=add_dataset(session))
        parity = NewParity(
            name="onnx",
            file_digest=digest(EXPORT),
            evaluation_id=evaluation.id,
            reference_evaluation_id=evaluation.id,
            images=8,
            largest_difference=0.0,
            mean_difference=0.0,
            flipped=0,
            accepted=True,
            reason="A test.",
        )
        runtimes.add(session, parity, checkpoint_id=model.id)
    add_job(made, [["a.jpg", "b.jpg"], ["c.jpg"]])
    cancelled = add_job(made, [["d.jpg"]])
    with writing(made) as session:
        jobs.cancel(session, cancelled, actor="anna")
    inspect_all(made)
    add_job(made, [["e.jpg"]])
    return made


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What the command says for scripts; that it ends badly where something does not fit, and says so to a person."""
    said = type_here(capsys, "audit", "verify", "--format", "json", *words)
    assert said.code == (ExitCode.ENDED_BADLY if said.json["misfits"] else ExitCode.DONE)
    shown = type_here(capsys, "audit", "verify", *words)
    assert shown.code == said.code
    for misfit in said.json["does_not_fit"]:
        assert misfit["says"].split()[0] in shown.out
    return said.json


def test_untouched_records_are_whole(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    found = verified(capsys)
    assert {name: found[name] for name in WHOLE} == WHOLE
    assert found["events"] >= 6
    assert len(found["newest_digest"]) == 64
    assert (found["verdicts_that_fit"], found["model_files_that_fit"], found["rows_older_than_digests"]) == (3, 2, {})
    assert "whole" in type_here(capsys, "audit", "verify").out


@pytest.mark.parametrize(
    ("change", "misfit", "first"),
    [
        ("UPDATE audit_event SET actor = 'x' WHERE id = 2", {"chain": "broken at event 2"}, "Event 2 does not follow"),
        ("DELETE FROM audit_event WHERE id = 1", {"chain": "broken at event 2"}, "Event 2 does not follow"),
        (
            "DELETE FROM inspection_result WHERE path = 'b.jpg'",
            {"jobs_that_do_not_add_up": [1]},
            "Batch 1 of job 1: of 2 verdicts 1 is missing (b.jpg).",
        ),
        (
            "UPDATE inspection_job SET submitted = 2 WHERE id = 2",
            {"jobs_that_do_not_add_up": [2]},
            "Job 2: its images and its verdicts do not add up.",
        ),
        (
            "INSERT INTO inspection_result (id, path, job_id, batch_id, revision, disposition, checkpoint_id, "
            "operating_point_id, engine, precision, device, worker, time) SELECT 99, 'z.jpg', job_id, batch_id, "
            "revision, disposition, checkpoint_id, operating_point_id, engine, precision, device, worker, time "
            "FROM inspection_result WHERE path = 'c.jpg'",
            {"jobs_that_do_not_add_up": [1]},
            "Batch 2 of job 1: 2 verdicts, 1 more than were recorded (z.jpg).",
        ),
        (
            "UPDATE inspection_result SET score = 0.75 WHERE path = 'a.jpg'",
            {},
            "Batch 1 of job 1: of 2 verdicts at least one is not as it was recorded.",
        ),
        ("UPDATE operating_point SET fail_from = 0.75", {}, "Operating point 1 is not as it was recorded."),
        ("DROP TRIGGER refuse_delete_batch", {}, "Nothing refuses changes of batch any more"),
    ],
    ids=[
        "changed event",
        "removed event",
        "removed verdict",
        "changed count",
        "added verdict",
        "changed score",
        "changed limit",
        "removed trigger",
    ],
)
def test_what_was_changed_is_named_and_ends_badly(
    engine: Engine, capsys: pytest.CaptureFixture[str], change: str, misfit: dict[str, object], first: str
) -> None:
    if change.startswith("DROP TRIGGER"):
        with writing(engine) as session:
            session.execute(text(change))
    else:
        with tampering(engine) as session:
            session.execute(text(change))
    found = verified(capsys)
    assert found["does_not_fit"][0]["says"].startswith(first)
    of_before = ("chain", "jobs_that_do_not_add_up")
    assert {name: found[name] for name in of_before} == {name: WHOLE[name] for name in of_before} | misfit


def test_model_files_that_are_swapped_or_missing_are_named(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    (models / f"{digest(MODEL)}.onnx").write_bytes(b"another")
    (models / f"{digest(MODEL)}.safetensors").unlink()
    missing, swapped = verified(capsys)["does_not_fit"]
    assert missing["what"] == swapped["what"] == "model file"
    assert missing["says"].startswith("The file of model tiny, ")
    assert missing["says"].endswith(".safetensors, is missing.")
    assert swapped["says"].startswith("The file of model tiny for the runtime onnx, ")
    assert f"its digest is {digest(b'another')[:12]}, {digest(EXPORT)[:12]} is recorded" in swapped["says"]
    assert verified(capsys, "--skip-model-files")["misfits"] == 0


def test_who_has_no_model_files_is_told_what_to_do(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path / "elsewhere"))
    (only,) = verified(capsys)["does_not_fit"]
    assert "--skip-model-files" in only["says"]


def test_on_postgresql_as_well(
    tmp_path: Path, postgres_with_tables: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = recorded(postgres_with_tables, tmp_path, monkeypatch)
    assert verified(capsys)["misfits"] == 0
    with tampering(engine) as session:
        session.execute(text("UPDATE confusion_cell SET images = 0 WHERE actual = 'defective' AND predicted = 'ok'"))
    (tmp_path / "models" / f"{digest(MODEL)}.safetensors").write_bytes(b"swapped")
    assert [misfit["what"] for misfit in verified(capsys)["does_not_fit"]] == ["evaluation", "model file"]
    engine.dispose()


def test_of_very_many_misfits_some_are_named_and_all_counted(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.commands.audit.MOST_NAMED", 1)
    with tampering(engine) as session:
        session.execute(text("UPDATE inspection_result SET score = 0.75"))
    found = verified(capsys)
    assert (found["misfits"], len(found["does_not_fit"])) == (2, 1)
