"""Is every end told, and is an address in one deliverer's hands at a time, on either database?"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from db import jobs, operating_points, rejudging, webhooks
from db.clock import database_now
from db.engine import Engine, reading, writing
from db.models import Disposition, JobState, Webhook
from db.webhooks import Due
from tests.rows import add_job, claim_next, inspect_all

URL = "https://mes.example.com/ends"


def add_told_job(engine: Engine) -> int:
    """A running job that tells somebody of its end."""
    job = add_job(engine, [["a"]])
    with writing(engine) as session:
        webhooks.add(session, job, URL)
    return job


def claim(engine: Engine, lease_seconds: float = 60) -> Due | None:
    with writing(engine) as session:
        return webhooks.claim(session, lease_seconds=lease_seconds)


def claimed(engine: Engine, lease_seconds: float = 60) -> Due:
    due = claim(engine, lease_seconds)
    assert due is not None
    return due


def told(engine: Engine, due: Due, state: JobState = JobState.DONE, revision: int = 1) -> bool:
    with writing(engine) as session:
        return webhooks.told(session, due, state, revision)


def failed(engine: Engine, due: Due, again_in: float | None) -> bool:
    with writing(engine) as session:
        return webhooks.failed(session, due, "It answered 500.", again_in=again_in)


def hook_of(engine: Engine, job: int) -> Webhook:
    with reading(engine) as session:
        return webhooks.of_jobs(session, [job])[job]


def test_an_open_job_is_not_told_of_and_an_end_is_told_once(engine: Engine) -> None:
    job = add_told_job(engine)
    add_job(engine, [["b"]])  # tells nobody
    assert claim(engine) is None
    inspect_all(engine)
    due = claimed(engine)
    assert (due.job, due.url, due.attempt) == (job, URL, 1)
    assert claim(engine) is None, "it is in somebody's hands"
    assert told(engine, due)
    assert claim(engine) is None
    row = hook_of(engine, job)
    assert (row.told_state, row.told_revision, row.attempts, row.next_at) == (JobState.DONE, 1, 0, None)
    assert row.told_at is not None


def test_what_could_not_be_told_is_due_again_later_and_what_was_given_up_never(engine: Engine) -> None:
    job = add_told_job(engine)
    inspect_all(engine)
    assert failed(engine, claimed(engine), again_in=60)
    assert claim(engine) is None
    assert hook_of(engine, job).problem == "It answered 500."
    with writing(engine) as session:
        session.execute(update(Webhook).values(next_at=database_now(-1)))
    second = claimed(engine)
    assert second.attempt == 2
    assert failed(engine, second, again_in=None)
    assert claim(engine) is None
    assert (hook_of(engine, job).attempts, hook_of(engine, job).next_at) == (2, None)


def test_who_dies_in_between_is_followed_and_may_not_settle_any_more(engine: Engine) -> None:
    job = add_told_job(engine)
    inspect_all(engine)
    dead, heir = claimed(engine, lease_seconds=-1), claimed(engine)
    assert (dead.attempt, heir.attempt) == (1, 2)
    assert not told(engine, dead)
    assert not failed(engine, dead, again_in=None)
    assert told(engine, heir)
    assert hook_of(engine, job).told_state is JobState.DONE


def test_another_end_is_told_anew_whatever_became_of_the_one_before(engine: Engine) -> None:
    job = add_told_job(engine)
    with writing(engine) as session:
        jobs.fail(session, job, "A test.")
    assert failed(engine, claimed(engine), again_in=None)
    for _ in range(2):  # the same state and revision, twice
        with writing(engine) as session:
            jobs.retry(session, job, actor="anna")
        assert claim(engine) is None, "it goes on"
        with writing(engine) as session:
            jobs.fail(session, job, "Another test.")
        due = claimed(engine)
        assert (due.attempt, told(engine, due, JobState.FAILED)) == (1, True)
    with writing(engine) as session:
        jobs.cancel(session, job, actor="anna")
    assert told(engine, claimed(engine), JobState.CANCELLED)


def test_a_job_that_is_judged_anew_has_ended_anew(engine: Engine) -> None:
    job = add_told_job(engine)
    inspect_all(engine, Disposition.FAIL)
    assert told(engine, claimed(engine))
    with writing(engine) as session:
        row = jobs.get(session, job)
        point = operating_points.propose(session, row.checkpoint, pass_below=0.1, fail_from=0.9, actor="anna")
        rejudging.rejudge(session, row, point, actor="anna")
    assert claimed(engine).attempt == 1


def test_an_end_while_the_one_before_is_being_told_is_not_lost(engine: Engine) -> None:
    job = add_told_job(engine)
    with writing(engine) as session:
        jobs.fail(session, job, "A test.")
    before = claimed(engine)
    with writing(engine) as session:
        jobs.retry(session, job, actor="anna")
        jobs.fail(session, job, "A test.")
    assert not told(engine, before, JobState.FAILED)
    assert claimed(engine).attempt == 1


@pytest.mark.parametrize("ends", [1, 3])
def test_of_deliverers_at_the_same_moment_each_has_another_address(engine: Engine, ends: int) -> None:
    added = [add_told_job(engine) for _ in range(ends)]
    inspect_all(engine)
    gate = threading.Barrier(4)

    def at_once(_: int) -> Due | None:
        gate.wait()
        return claim(engine)

    with ThreadPoolExecutor(4) as pool:
        found = [due.job for due in pool.map(at_once, range(4)) if due is not None]
    assert sorted(found) == added


def test_the_latest_end_comes_first(engine: Engine) -> None:
    """Behind a hundred addresses that do not answer it would wait for a quarter of an hour."""
    early, late = add_told_job(engine), add_told_job(engine)
    for job in (early, late):
        with writing(engine) as session:
            jobs.fail(session, job, "A test.")
            session.execute(update(Webhook).where(Webhook.job_id == early).values(next_at=database_now(-30)))
    assert [claimed(engine).job for _ in range(2)] == [late, early]


def test_an_end_that_is_not_committed_is_not_told(engine: Engine) -> None:
    job = add_told_job(engine)
    claim_next(engine)
    with pytest.raises(KeyboardInterrupt), writing(engine) as session:
        jobs.cancel(session, job, actor="anna")
        raise KeyboardInterrupt
    assert claim(engine) is None
