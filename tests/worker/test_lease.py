"""Is a batch held as long as its images get through, and let go when it should be?"""

import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import select

from db import jobs
from db.engine import Engine, reading, writing
from db.models import Batch
from tests.rows import add_job, claim_next
from worker.lease import Lease, LeaseLost, WorkerStopping, kept

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


def test_a_batch_whose_verdicts_wait_for_the_database_is_renewed_and_does_not_stall(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    held, stalled = claim_next(engine, lease_seconds=1), threading.Event()
    with kept(engine, held, lease_seconds=1, stall_seconds=0.2, stopping=never, on_stall=stalled.set) as lease:
        lease.all_scored()
        renewed(engine)
        renewed(engine)  # a third of a second later, well after the 0.2
        assert not stalled.is_set()


def test_a_batch_without_progress_stalls_once_and_is_not_renewed_any_more(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    held, stalls = claim_next(engine, lease_seconds=60), []
    with kept(
        engine,
        held,
        lease_seconds=60,
        stall_seconds=0.1,
        stopping=never,
        on_stall=lambda: stalls.append(lease_thread()),
    ) as lease:
        eventually(lambda: bool(stalls))
        eventually(lambda: lease_thread() is None)
        assert lease.still_seconds > 0.1
    assert len(stalls) == 1


def lease_thread() -> threading.Thread | None:
    return next((thread for thread in threading.enumerate() if thread.name.startswith("lease-")), None)


def test_a_cancelled_batch_is_let_go_at_the_next_image(engine: Engine) -> None:
    job = add_job(engine, [["a.jpg"]])
    held = claim_next(engine, lease_seconds=0.3)

    def lost(lease: Lease) -> bool:
        try:
            lease.check()
        except LeaseLost:
            return True
        return False

    with kept(engine, held, lease_seconds=0.3, stall_seconds=60, stopping=never, on_stall=pytest.fail) as lease:
        assert not lost(lease)
        with writing(engine) as session:
            jobs.cancel(session, job, actor="anna")
        eventually(lambda: lost(lease))


def test_a_worker_that_stops_is_told_at_the_next_image() -> None:
    told: list[bool] = []
    lease = Lease(lambda: bool(told))
    lease.check()
    told.append(True)
    with pytest.raises(WorkerStopping):
        lease.check()
