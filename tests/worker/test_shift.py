"""Does a worker go from batch to batch without mixing, losing or holding on to any?"""

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db import batches, jobs, results
from db.batches import Claim
from db.engine import Engine, Session, reading, writing
from db.errors import DatabaseAway
from db.models import Batch, BatchState
from db.results import NewResult
from db.settings import Settings
from tests.rows import add_job, claim_next
from vision.runtime import Answers, DeviceFailed, Pixels
from vision.torch_runtime import TorchRuntime
from worker.inspection import Inspector, from_settings

NAMES = [f"{number}.png" for number in range(6)]
PAIRS = [NAMES[0:2], NAMES[2:4], NAMES[4:6]]


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.inspection.REST_SECONDS", 0)


@pytest.fixture
def inspector(sqlite_url: str, tmp_path: Path, digest: str) -> Inspector:
    return from_settings("w@here", Settings(home=tmp_path, database_url=sqlite_url, device="cpu"))


def sent(engine: Engine) -> tuple[int, int]:
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    return message.batch, message.attempt


def states(engine: Engine) -> list[tuple[BatchState, int, int]]:
    """(state, attempt, faults) of each batch in order."""
    with reading(engine) as session:
        rows = session.scalars(select(Batch).order_by(Batch.job_id, Batch.sequence)).all()
        return [(row.state, row.attempt, row.faults) for row in rows]


def paths_of(engine: Engine, job: int) -> list[tuple[object, object]]:
    with reading(engine) as session:
        return [(row["batch"], row["path"]) for row in results.of_job(session, job)]


def test_one_message_is_enough_for_all_batches_of_a_job(engine: Engine, inspector: Inspector, folder: Path) -> None:
    job = add_job(engine, PAIRS, root=str(folder))
    said = inspector.inspect(*sent(engine))
    assert states(engine) == [(BatchState.DONE, 1, 0)] * 3
    found = paths_of(engine, job)
    assert [path for _, path in found] == NAMES
    first = found[0][0]
    assert [batch for batch, _ in found] == [first] * 2 + [first + 1] * 2 + [first + 2] * 2  # type: ignore[operator]
    assert said.startswith(f"job {job}, batches {first}, ")


@pytest.mark.parametrize(("seconds", "worked"), [(60, 2), (-1, 1)])
def test_batches_that_met_a_fault_are_worked_after_the_shift_and_not_behind_all_messages(
    engine: Engine,
    inspector: Inspector,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    worked: int,
) -> None:
    monkeypatch.setattr("worker.shift.SHIFT_SECONDS", -1)
    monkeypatch.setattr("worker.inspection.TROUBLED_SECONDS", seconds)
    job = add_job(engine, PAIRS, root=str(folder))
    first = claim_next(engine)
    with writing(engine) as session:
        second = batches.claim(session, first.batch + 1, 1, worker="w@h", lease_seconds=60)
        assert second is not None
        for held in (first, second):
            batches.give_back(session, held, fault="its process died", pause_seconds=0)
    said = inspector.inspect(first.batch + 2, 1)
    after = [(BatchState.DONE, 2, 1)] * worked + [(BatchState.PLANNED, 2, 1)] * (2 - worked)
    assert states(engine) == [*after, (BatchState.DONE, 1, 0)]
    assert said.count(f"job {job}, batch ") == 1 + worked


def test_a_worker_that_fails_a_batch_does_not_look_for_another_that_met_a_fault(
    engine: Engine, inspector: Inspector, folder: Path, digest: str, models_folder: Path
) -> None:
    add_job(engine, PAIRS, root=str(folder))
    troubled = claim_next(engine)
    with writing(engine) as session:
        batches.give_back(session, troubled, fault="its process died", pause_seconds=0)
    (models_folder / f"{digest}.safetensors").unlink()
    inspector.inspect(troubled.batch + 1, 1)
    assert [(state, faults) for state, _, faults in states(engine)] == [
        (BatchState.PLANNED, 1),
        (BatchState.PLANNED, 1),
        (BatchState.DISPATCHED, 0),
    ]


def test_a_shift_ends_when_its_time_is_over(
    engine: Engine, inspector: Inspector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.shift.SHIFT_SECONDS", -1)
    add_job(engine, PAIRS, root=str(folder))
    inspector.inspect(*sent(engine))
    assert [state for state, _, _ in states(engine)] == [BatchState.DONE, BatchState.PLANNED, BatchState.PLANNED]


def test_a_shift_goes_on_with_the_next_job_of_the_same_model(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    other = folder.with_name("other")
    other.mkdir()
    (folder / "5.png").rename(other / "5.png")
    first = add_job(engine, [NAMES[:2]], root=str(folder))
    second = add_job(engine, [["5.png"]], root=str(other))
    seen: list[int] = []
    said = inspector.inspect(*sent(engine), on_image=seen.append)
    assert seen == [first, first, second]
    assert f"job {first}, batch" in said
    assert f"job {second}, batch" in said
    assert [path for _, path in paths_of(engine, second)] == ["5.png"]


def test_a_batch_that_a_fault_has_met_is_alone(engine: Engine, inspector: Inspector, folder: Path) -> None:
    add_job(engine, PAIRS, root=str(folder))
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        assert batches.give_back(session, held, fault="its worker died")
    inspector.inspect(*sent(engine))
    assert states(engine) == [(BatchState.DONE, 2, 1), (BatchState.PLANNED, 1, 0), (BatchState.PLANNED, 1, 0)]


def test_trouble_with_one_batch_costs_neither_those_before_nor_those_after_it(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    job = add_job(engine, [NAMES[0:2], ["gone/2.png"], NAMES[4:6]], root=str(folder))
    said = inspector.inspect(*sent(engine))
    assert "waits" in said
    assert said.startswith(f"job {job}, batch 1: 2 ")
    done, waits, after = states(engine)
    assert done == (BatchState.DONE, 1, 0)
    assert waits == (BatchState.PLANNED, 2, 0)
    assert after in ((BatchState.PLANNED, 1, 0), (BatchState.DONE, 1, 0))
    assert [path for _, path in paths_of(engine, job)][:2] == NAMES[:2]


def test_a_job_that_is_cancelled_meanwhile_does_not_stop_the_one_before(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    first = add_job(engine, [NAMES[:2]], root=str(folder))
    second = add_job(engine, [NAMES[2:4]], root=str(folder))

    def cancel_the_second(job: int) -> None:
        if job == second:
            with writing(engine) as session:
                if session.scalars(select(Batch.state).where(Batch.job_id == second)).one() is BatchState.RUNNING:
                    jobs.cancel(session, second, actor="anna")

    assert f"job {second}, batch" in inspector.inspect(*sent(engine), on_image=cancel_the_second)
    assert [path for _, path in paths_of(engine, first)] == NAMES[:2]
    assert paths_of(engine, second) == []


def test_verdicts_that_cannot_be_saved_are_no_fault_of_what_is_scored_meanwhile(
    engine: Engine, inspector: Inspector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(session: Session, held: Claim, rows: list[NewResult], **more: Any) -> bool:
        raise DatabaseAway("the database is away")

    monkeypatch.setattr("worker.inspection.DATABASE_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(batches, "finish", away)
    add_job(engine, PAIRS, root=str(folder))
    with pytest.raises(DatabaseAway):
        inspector.inspect(*sent(engine))
    assert {faults for _, _, faults in states(engine)} == {0}
    assert states(engine)[0] == (BatchState.RUNNING, 1, 0), "its lease decides"


def test_a_device_that_failed_costs_what_was_drawn_beside_its_batch_nothing(
    engine: Engine, sqlite_url: str, tmp_path: Path, digest: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_is_drawn = threading.Event()

    class Broken(TorchRuntime):
        def score(self, pixels: Pixels) -> Answers:
            assert second_is_drawn.wait(30)
            raise DeviceFailed("cuda:0 has had it")

    def draw(*arguments: Any, **options: Any) -> Claim | None:
        if (drawn := drawn_really(*arguments, **options)) is not None:
            second_is_drawn.set()
        return drawn

    drawn_really = batches.draw
    monkeypatch.setattr(batches, "draw", draw)
    monkeypatch.setattr("vision.torch_runtime.TorchRuntime", Broken)
    ends: list[list[tuple[BatchState, int, int]]] = []
    inspector = from_settings(
        "w@here",
        Settings(home=tmp_path, database_url=sqlite_url, device="cpu"),
        end_process=lambda _: ends.append(states(engine)),
    )
    add_job(engine, PAIRS, root=str(folder))
    inspector.inspect(*sent(engine))
    assert ends == [[(BatchState.PLANNED, 2, 1), (BatchState.PLANNED, 1, 0), (BatchState.PLANNED, 1, 0)]]
