"""Does what is asked again and again cost the same in a large job, and with a large history, as in a small one?"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from db import batches, jobs, plans, results
from db.batches import Claim
from db.engine import Engine, connect, reading, writing
from db.models import Batch, BatchState, Disposition, InspectionResult
from db.results import Judgement
from tests.costs import counted
from tests.rows import add_job, claim_next, inspect_all, verdicts

FILES = 5000
BATCHES = 3000
BYTES = "0" * 64  # the sha256 that tests/rows.py gives to every file


@pytest.fixture
def engine(database_with_tables: str) -> Iterator[Engine]:
    engine = connect(database_with_tables)
    yield engine
    engine.dispose()


def judged(engine: Engine, disposition: Disposition = Disposition.PASS, **changes: object) -> None:
    """A job of many files of the same bytes."""
    add_job(engine, [[f"{number:05}.jpg" for number in range(FILES)]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.finish(session, held, [replace(row, **changes) for row in verdicts(held, disposition)])
    inspect_all(engine)


def by(held: Claim, precision: str = "fp32") -> Judgement:
    return Judgement(
        checkpoint_id=held.checkpoint_id,
        operating_point_id=held.operating_point_id,
        engine="torch",
        precision=precision,
    )


def test_among_thousands_of_verdicts_on_the_same_bytes_the_first_is_found_by_reading_one(engine: Engine) -> None:
    judged(engine)
    judged(engine, reused_from=1)
    judged(engine, Disposition.UNREADABLE, sha256=BYTES)
    judged(engine, precision="int8")
    add_job(engine, [["again.jpg"]])
    held = claim_next(engine)
    with reading(engine) as session, counted(session, "inspection_result") as cost:
        found = results.known(session, [BYTES, "1" * 64, BYTES], by(held), before_job=held.job)
    assert {digest: verdict.result for digest, verdict in found.items()} == {BYTES: 1}
    assert 0 < cost() < FILES / 10


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_the_same_job_has_judged_and_what_another_runtime_has_is_not_read(engine: Engine, precision: str) -> None:
    judged(engine, precision="fp16")
    judged(engine)
    with reading(engine) as session:
        newest = session.query(InspectionResult.job_id).order_by(InspectionResult.id.desc()).limit(1).scalar()
    add_job(engine, [["again.jpg"]])
    held = claim_next(engine)
    with reading(engine) as session, counted(session, "inspection_result") as cost:
        assert results.known(session, [BYTES], by(held, precision), before_job=newest) == {}
    assert cost() < FILES / 10


def test_what_a_scheduler_and_a_worker_ask_all_the_time_does_not_walk_through_what_is_done(engine: Engine) -> None:
    job = add_job(engine, [[str(number)] for number in range(BATCHES)])
    with writing(engine) as session:
        session.execute(update(Batch).where(Batch.sequence < BATCHES - 10).values(state=BatchState.DONE))
    held = claim_next(engine, window=1)
    with reading(engine) as session, counted(session, "batch") as cost:
        assert not plans.any_to_begin_or_end(session)
    assert cost() < BATCHES / 5
    with reading(engine) as session, counted(session, "batch") as cost:
        assert jobs.ready_to_finish(session) == []
    assert cost() < BATCHES / 5
    with writing(engine) as session, counted(session, "batch") as cost:
        assert len(batches.dispatch(session, window=2)) == 2
    assert cost() < BATCHES / 2
    with writing(engine) as session, counted(session, "batch") as cost:
        drawn = batches.draw(session, held, worker="w@h", lease_seconds=60, token="t")
    assert drawn is not None
    assert drawn.job == job
    assert cost() < BATCHES / 2
