"""Is it told how far jobs are without counting verdicts, and is it what counting would tell?"""

from db import batches, jobs, operating_points, rejudging, tally
from db.engine import Engine, reading, writing
from db.models import Disposition
from db.tally import Tally
from tests.db.test_rejudging import propose
from tests.db.test_reviews import judged_job
from tests.rows import add_job, claim_next, inspect_all, submit_job, verdicts


def told(engine: Engine, job: int) -> Tally:
    with reading(engine) as session:
        return tally.of_jobs(session, [jobs.get(session, job)])[job]


def test_of_an_ended_job_its_ledger_is_told_and_is_the_counted_one(engine: Engine) -> None:
    job = judged_job(engine)
    with reading(engine) as session:
        assert told(engine, job).ledger == jobs.ledger(session, job)
    assert told(engine, job).settled == 7
    assert told(engine, job).seconds_left is None


def test_of_a_job_that_was_judged_anew_the_newer_ledger_is_told(engine: Engine) -> None:
    job = judged_job(engine)
    point = propose(engine, 0.5, 0.5)
    with writing(engine) as session:
        rejudging.rejudge(session, jobs.get(session, job), operating_points.get(session, point), actor="tester")
    with reading(engine) as session:
        assert told(engine, job).ledger == jobs.ledger(session, job)


def test_of_an_open_job_its_images_are_told_by_batches(engine: Engine) -> None:
    job = add_job(engine, [["a", "b"], ["c"]])
    assert (told(engine, job).settled, told(engine, job).planned, told(engine, job).rate) == (0, 3, None)
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.finish(session, held, verdicts(held))
    now = told(engine, job)
    assert (now.settled, now.planned, now.ledger) == (2, 3, None)
    assert now.rate is not None
    assert now.rate > 0
    assert now.seconds_left is not None
    assert 0 < now.seconds_left < 60


def test_of_a_retry_its_own_images_are_told(engine: Engine) -> None:
    job = add_job(engine, [["a", "b"], ["c"]])
    inspect_all(engine, Disposition.UNREADABLE)
    with writing(engine) as session:
        jobs.retry(session, job, actor="tester")
    assert (told(engine, job).settled, told(engine, job).planned) == (0, 3)


def test_of_a_job_that_nobody_has_planned_nothing_is_told(engine: Engine) -> None:
    job = submit_job(engine)
    assert told(engine, job) == Tally(settled=0, planned=0, ledger=None, rate=None, seconds_left=None)
    with reading(engine) as session:
        assert tally.of_jobs(session, []) == {}


def test_of_a_cancelled_job_what_was_not_inspected_is_told(engine: Engine) -> None:
    job = add_job(engine, [["a", "b"], ["c"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.finish(session, held, verdicts(held))
    with writing(engine) as session:
        jobs.cancel(session, job, actor="tester")
    with reading(engine) as session:
        assert told(engine, job).ledger == jobs.ledger(session, job)
    assert told(engine, job).settled == 2
