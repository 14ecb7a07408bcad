"""Does a job say what it waits for, and what a person can do about it?"""

import pytest
from sqlalchemy import update

from db import batches, heartbeats, jobs, plans
from db.clock import database_now
from db.engine import Engine, reading, writing
from db.explanation import OpenBatches, explain, open_batches
from db.models import Batch
from tests.rows import add_job, claim_next, inspect_all, submit_job


def said(engine: Engine, job: int, *, cluster: bool = False) -> list[str]:
    with reading(engine) as session:
        return explain(session, jobs.get(session, job), cluster=cluster)


def test_a_pending_job_says_that_nobody_has_begun(engine: Engine) -> None:
    job = submit_job(engine)
    assert said(engine, job) == [
        f"If no `inspectq scan` is running, go on with it: inspectq jobs retry {job}",
        "It has not begun.",
    ]


def test_in_a_cluster_missing_services_are_named(engine: Engine) -> None:
    job = submit_job(engine)
    assert said(engine, job, cluster=True) == [
        "No scheduler has been seen in the last minute. Start one: inspectq scheduler",
        "No worker has been seen in the last minute. Start one: inspectq worker",
        "It has not begun.",
    ]
    with writing(engine) as session:
        heartbeats.beat(session, name="scheduler-1@here", role="scheduler")
        heartbeats.beat(session, name="cpu-1@here", role="worker")
    assert said(engine, job, cluster=True) == ["It has not begun."]


def test_a_folder_that_cannot_be_listed_is_named_with_its_time(engine: Engine) -> None:
    job = submit_job(engine)
    with writing(engine) as session:
        planned = plans.claim(session)
        assert planned is not None
        assert planned.planner_token is not None
    assert said(engine, job)[-1] == "Its folder is still being listed."
    with writing(engine) as session:
        plans.rest(session, job, planned.planner_token, reason="Waiting: it is empty", pause_seconds=60)
        since = jobs.get(session, job).waiting_since
    assert since is not None
    assert said(engine, job)[-1] == f"The folder has not been listed since {since.isoformat(timespec='seconds')}."


def test_open_batches_are_counted_by_where_they_are(engine: Engine) -> None:
    job = add_job(engine, [["a.jpg"], ["b.jpg"], ["c.jpg"]])
    claim_next(engine, window=2)
    with reading(engine) as session:
        found = open_batches(session, job)
    assert found == OpenBatches(planned=1, dispatched=1, running=1)
    assert found.total == 3
    assert said(engine, job) == ["1 of its batches are with workers, 1 on the queue, 1 are to be sent."]


def test_without_a_cluster_a_lease_that_ran_out_means_that_nobody_works(engine: Engine) -> None:
    job = add_job(engine, [["a.jpg"]])
    claim_next(engine)
    go_on = f"If no `inspectq scan` is running, go on with it: inspectq jobs retry {job}"
    assert go_on not in said(engine, job)
    with writing(engine) as session:
        session.execute(update(Batch).values(lease_until=database_now(-1)))
    assert go_on in said(engine, job)


@pytest.mark.parametrize("note", ["the folder is not there.", "the folder is not there"])
def test_batches_that_wait_and_batches_that_failed_are_told_with_the_last_note(engine: Engine, note: str) -> None:
    job = add_job(engine, [["a.jpg"], ["b.jpg"], ["c.jpg"], ["d.jpg"]])
    for reason in ("it is empty", note):
        held = claim_next(engine, window=1)
        with writing(engine) as session:
            batches.wait(session, held, reason=reason, pause_seconds=len(reason))
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.give_back(session, held, fault="its worker died", pause_seconds=30)
        since = session.get_one(Batch, held.batch - 2).waiting_since
    claim_next(engine, window=1)
    assert since is not None
    assert said(engine, job) == [
        "1 of its batches are with workers, 0 on the queue, 3 are to be sent.",
        f"2 of its batches wait for their files, the first since {since.isoformat(timespec='seconds')}: "
        "the folder is not there.",
        "1 of its batches failed an attempt and are tried again with care: its worker died.",
    ]


def test_ended_jobs_say_what_can_still_be_done(engine: Engine) -> None:
    done, failed, cancelled = (add_job(engine, [[f"{name}.jpg"]]) for name in "abc")
    with writing(engine) as session:
        jobs.fail(session, failed, "its folder is gone")
        jobs.cancel(session, cancelled, actor="anna")
    inspect_all(engine)
    assert said(engine, done) == said(engine, cancelled) == []
    assert said(engine, failed) == [f"It goes on where it stopped with: inspectq jobs retry {failed}"]
