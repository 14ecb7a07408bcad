"""Is a batch held as long as its images get through, and let go when it should be?"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from db import batches, jobs
from db.batches import Claim
from db.engine import Engine, reading, writing
from db.models import Batch
from tests.rows import add_job, claim_next, verdicts
from worker.lease import LeaseLost, Leases, WorkerStopping

DEADLINE_SECONDS = 30


def lease_until(engine: Engine) -> datetime:
    with reading(engine) as session:
        until = session.scalars(select(Batch.lease_until)).one()
    assert until is not None
    return until


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def renewed(engine: Engine) -> None:
    """Wait for the next renewal."""
    before = lease_until(engine)
    eventually(lambda: lease_until(engine) > before)


def never() -> bool:
    return False


def leases(engine: Engine, held: Claim, **options: Any) -> Leases:
    """A hold on one batch."""
    defaults = {"lease_seconds": 60, "stall_seconds": 60, "stopping": never, "on_stall": pytest.fail}
    return Leases(engine, held.token, **defaults | options)


def test_a_batch_whose_verdicts_wait_for_the_database_is_renewed_and_does_not_stall(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    held, stalled = claim_next(engine, lease_seconds=1), threading.Event()
    with leases(engine, held, lease_seconds=1, stall_seconds=0.2, on_stall=stalled.set) as hold:
        hold.add(held)
        hold.scored(held)
        renewed(engine)
        renewed(engine)  # a third of a second later, well after the 0.2
        assert not stalled.is_set()


def test_a_batch_without_progress_stalls_once_and_is_not_renewed_any_more(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    held, stalls = claim_next(engine, lease_seconds=60), []
    with leases(engine, held, stall_seconds=0.1, on_stall=lambda: stalls.append(lease_thread())) as hold:
        hold.add(held)
        eventually(lambda: bool(stalls))
        eventually(lambda: lease_thread() is None)
        assert hold.still_seconds > 0.1
    assert len(stalls) == 1


def lease_thread() -> threading.Thread | None:
    return next((thread for thread in threading.enumerate() if thread.name == "leases"), None)


def is_lost(hold: Leases, held: Claim) -> bool:
    try:
        hold.check(held)
    except LeaseLost:
        return True
    return False


def test_a_cancelled_batch_is_let_go_at_the_next_image_and_one_beside_it_is_not(engine: Engine) -> None:
    jobs_of_two = [add_job(engine, [["a.jpg"]]), add_job(engine, [["b.jpg"]])]
    first = claim_next(engine, lease_seconds=0.3)
    with writing(engine) as session:
        options = {"worker": first_worker(engine), "lease_seconds": 0.3, "token": first.token}
        second = batches.draw(session, first, **options)
    assert second is not None
    with leases(engine, first, lease_seconds=0.3) as hold:
        for held in (first, second):
            hold.add(held)
            assert not is_lost(hold, held)
        with writing(engine) as session:
            jobs.cancel(session, jobs_of_two[0], actor="anna")
        eventually(lambda: is_lost(hold, first))
        assert not is_lost(hold, second)


def first_worker(engine: Engine) -> str:
    with reading(engine) as session:
        return session.scalars(select(Batch.worker).where(Batch.worker.is_not(None))).one() or ""


def test_a_batch_that_was_saved_is_neither_renewed_nor_lost(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    held = claim_next(engine, lease_seconds=0.3)
    with leases(engine, held, lease_seconds=0.3) as hold:
        hold.add(held)
        renewed(engine)
        hold.remove(held)
        with writing(engine) as session:
            assert batches.finish(session, held, verdicts(held))
    assert not is_lost(hold, held)


def test_a_worker_that_stops_is_told_at_the_next_image(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    held, told = claim_next(engine), threading.Event()
    hold = leases(engine, held, stopping=told.is_set)
    hold.check(held)
    told.set()
    with pytest.raises(WorkerStopping):
        hold.check(held)
