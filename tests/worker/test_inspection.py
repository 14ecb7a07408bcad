"""Does a batch of real files become the right verdicts, and a fault of the world none?"""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from db import batches, jobs, results
from db.engine import Engine, reading, writing
from db.models import Batch, BatchState, Disposition, JobState
from db.paths import to_text
from db.settings import Settings
from tests.networks import save_random_model
from tests.rows import add_job, claim_next
from vision.checkpoint import load_checkpoint
from vision.inspection import score_images
from vision.runtime import TorchRuntime
from worker.inspection import Inspector, from_settings, judge


@pytest.fixture
def inspector(sqlite_url: str, tmp_path: Path, digest: str) -> Inspector:
    return from_settings("w@here", Settings(home=tmp_path, database_url=sqlite_url, device="cpu"))


def sent(engine: Engine) -> tuple[int, int]:
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    return message.batch, message.attempt


def rows_of(engine: Engine, job: int) -> list[dict[str, object]]:
    with reading(engine) as session:
        return list(results.of_job(session, job))


def batch_state(engine: Engine) -> tuple[BatchState, int]:
    with reading(engine) as session:
        row = session.scalars(select(Batch)).one()
        return row.state, row.attempt


def test_every_image_gets_the_verdict_that_the_evaluation_code_gives(
    engine: Engine, inspector: Inspector, folder: Path, models_folder: Path, digest: str
) -> None:
    names = [f"{number}.png" for number in range(6)]
    job = add_job(engine, [names], root=str(folder))
    seen: list[None] = []
    outcome = inspector.inspect(*sent(engine), on_image=lambda: seen.append(None))
    runtime = TorchRuntime(load_checkpoint(models_folder / f"{digest}.safetensors", digest), "cpu")
    expected = [score.score for score in score_images([folder / name for name in names], runtime)]
    rows = rows_of(engine, job)
    assert [row["score"] for row in rows] == expected
    assert [row["disposition"] for row in rows] == ["FAIL" if (score or 0) >= 0.5 else "PASS" for score in expected]
    assert {row["checkpoint_digest"] for row in rows} == {digest}
    assert {(row["engine"], row["precision"], row["device"], row["worker"]) for row in rows} == {
        ("torch", "fp32", "cpu", "w@here")
    }
    assert (rows[0]["width"], rows[0]["height"], rows[0]["size"]) == (30, 20, (folder / "0.png").stat().st_size)
    assert len(seen) == 6
    assert f"job {job}" in outcome


def test_bad_files_are_unreadable_and_their_neighbours_keep_their_verdicts(
    engine: Engine, inspector: Inspector, folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").write_text("no image")
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "secret.png").write_bytes(whole)
    (folder / "4.png").unlink()
    (folder / "4.png").symlink_to(tmp_path / "secret.png")
    names = [f"{number}.png" for number in range(7)]
    job = add_job(engine, [names], root=str(folder))
    inspector.inspect(*sent(engine))
    assert [row["reason_code"] for row in rows_of(engine, job)] == [
        None,
        "empty_file",
        "not_an_image",
        "truncated",
        "outside_root",
        None,
        "vanished",
    ]
    alone = add_job(engine, [["0.png", "5.png"]], root=str(folder))
    inspector.inspect(*sent(engine))
    neighbours = [row["score"] for row in rows_of(engine, job) if row["score"] is not None]
    assert neighbours == pytest.approx([row["score"] for row in rows_of(engine, alone)], abs=1e-5)


def test_odd_names_are_opened_by_their_bytes(engine: Engine, inspector: Inspector, folder: Path) -> None:
    odd = folder / "caf\udce9 new\nline.png"
    (folder / "0.png").rename(odd)
    job = add_job(engine, [[to_text(str(odd.relative_to(folder)))]], root=str(folder))
    inspector.inspect(*sent(engine))
    assert [(row["path"], row["reason_code"]) for row in rows_of(engine, job)] == [("caf\\xe9 new\nline.png", None)]


def test_a_late_message_does_nothing(engine: Engine, inspector: Inspector, folder: Path) -> None:
    job = add_job(engine, [["0.png"]], root=str(folder))
    message = sent(engine)
    inspector.inspect(*message)
    assert "nothing to do" in inspector.inspect(*message)
    assert len(rows_of(engine, job)) == 1


@pytest.mark.parametrize("mount_point_stays", [False, True])
def test_a_folder_that_is_not_mounted_gives_the_batch_back_instead_of_vanished_verdicts(
    engine: Engine, inspector: Inspector, folder: Path, mount_point_stays: bool
) -> None:
    job = add_job(engine, [["0.png", "1.png"]], root=str(folder))
    message = sent(engine)
    folder.rename(folder.with_name("unmounted"))
    if mount_point_stays:
        folder.mkdir()
    assert "waits" in inspector.inspect(*message)
    assert rows_of(engine, job) == []
    assert batch_state(engine) == (BatchState.PLANNED, 2)
    with reading(engine) as session:
        batch = session.scalars(select(Batch)).one()
    assert (batch.faults, batch.waiting_since is None) == (0, False)


def test_a_checkpoint_that_this_worker_does_not_have_is_left_to_others(
    engine: Engine, inspector: Inspector, folder: Path, models_folder: Path, digest: str
) -> None:
    (models_folder / f"{digest}.safetensors").unlink()
    job = add_job(engine, [["0.png"]], root=str(folder))
    assert "given back" in inspector.inspect(*sent(engine))
    assert batch_state(engine) == (BatchState.PLANNED, 2)
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.RUNNING
        assert session.scalars(select(Batch.note)).one()


def test_an_altered_checkpoint_stops_the_job_with_the_reason(
    engine: Engine, inspector: Inspector, folder: Path, models_folder: Path, digest: str
) -> None:
    file = models_folder / f"{digest}.safetensors"
    save_random_model(models_folder, seed=1)
    next(other for other in models_folder.iterdir() if other != file).replace(file)
    job = add_job(engine, [["0.png"]], root=str(folder))
    assert "failed" in inspector.inspect(*sent(engine))
    with reading(engine) as session:
        row = jobs.get(session, job)
    assert row.state is JobState.FAILED
    assert row.state_reason
    assert rows_of(engine, job) == []


def test_a_batch_cancelled_while_it_is_inspected_saves_nothing(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    job = add_job(engine, [[f"{number}.png" for number in range(6)]], root=str(folder))

    def cancel_once() -> None:
        with reading(engine) as session:
            is_open = jobs.get(session, job).state is JobState.RUNNING
        if is_open:
            with writing(engine) as session:
                jobs.cancel(session, job, actor="anna")

    assert "not saved" in inspector.inspect(*sent(engine), on_image=cancel_once)
    assert rows_of(engine, job) == []


def test_an_interrupt_gives_the_batch_back_at_once(engine: Engine, inspector: Inspector, folder: Path) -> None:
    add_job(engine, [["0.png"]], root=str(folder))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspector.inspect(*sent(engine), on_image=interrupt)
    assert batch_state(engine) == (BatchState.PLANNED, 1)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0.0, ("ok", Disposition.PASS)),
        (0.19, ("ok", Disposition.PASS)),
        (0.2, ("ok", Disposition.REVIEW)),
        (0.79, ("ok", Disposition.REVIEW)),
        (0.8, ("defective", Disposition.FAIL)),
        (1.0, ("defective", Disposition.FAIL)),
    ],
)
def test_scores_are_judged_by_the_limits_of_the_operating_point(
    engine: Engine, digest: str, folder: Path, score: float, verdict: tuple[str, Disposition]
) -> None:
    add_job(engine, [["0.png"]], root=str(folder))
    held = replace(claim_next(engine), pass_below=0.2, fail_from=0.8)
    assert judge(score, held) == verdict
