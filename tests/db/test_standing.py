"""Is what changes in a job's row held against the events that changed it?"""

from collections.abc import Iterator

import pytest
from sqlalchemy import select, text, update

from db import batches, jobs, operating_points, rejudging, triggers
from db.engine import Engine, Session, reading, writing
from db.ledgers import WORDS
from db.models import Base, Checkpoint, Disposition
from db.verification import Verification
from tests.rows import add_job, claim_next, inspect_all, verdicts


@pytest.fixture
def ended(engine: Engine) -> Engine:
    """Job 1 is done and judged by operating point 2; 2 was cancelled half-way; 3 failed half-way; 4 goes on."""
    add_job(engine, [["a.jpg", "b.jpg"], ["c.jpg"]])
    inspect_all(engine)
    with writing(engine) as session:
        model = session.get_one(Checkpoint, 1)
        for limits in ((0.1, 0.2), (0.3, 0.3)):
            operating_points.propose(session, model, pass_below=limits[0], fail_from=limits[1], actor="tester")
        rejudging.rejudge(session, jobs.get(session, 1), operating_points.get(session, 2), actor="tester")
    for job in (2, 3):
        add_job(engine, [["d.jpg", "e.jpg"], ["f.jpg"]])
        held = claim_next(engine)
        with writing(engine) as session:
            assert batches.finish(session, held, verdicts(held))
            if job == 2:
                jobs.cancel(session, job, actor="anna")
            else:
                jobs.fail(session, job, "no model")
    add_job(engine, [["g.jpg"]])
    return engine


def said(session: Session) -> list[str]:
    return [misfit.says for misfit in Verification(session=session).misfits()]


# None of these needs a trigger to be dropped, but for the batch that is taken away.
CHANGES = {
    "UPDATE inspection_job SET operating_point_id = 1 WHERE id = 1": [
        "Job 1 says that it is judged by operating point 1, but by the events it is by 2.",
        "Job 1 says that it is judged by operating point 1, but 3 of its verdicts are by another.",
    ],
    "UPDATE inspection_job SET operating_point_id = 3 WHERE id = 2": [
        "Job 2 says that it is judged by operating point 3, but by the events it is by 1.",
        "Job 2 says that it is judged by operating point 3, but 2 of its verdicts are by another.",
    ],
    "UPDATE inspection_job SET operating_point_id = 2 WHERE id = 4": [
        "Job 4 says that it is judged by operating point 2, but by the events it is by 1."
    ],
    "UPDATE inspection_job SET revision = 1 WHERE id = 1": ["Job 1 is at revision 1, but by the events at 2."],
    "UPDATE inspection_job SET state = 'done' WHERE id = 2": ["Job 2 is done, but by the events it is cancelled."],
    "UPDATE inspection_job SET state_reason = 'cancelled by bob' WHERE id = 2": [
        "Job 2 says of its end 'cancelled by bob', but the event of it 'cancelled by anna'."
    ],
    "UPDATE inspection_job SET state_reason = 'no folder' WHERE id = 3": [
        "Job 3 says of its end 'no folder', but the event of it 'no model'."
    ],
    "UPDATE inspection_job SET state = 'cancelled' WHERE id = 1": ["Job 1 is cancelled, but by the events it is done."],
    "UPDATE inspection_job SET state = 'running' WHERE id = 1": ["Job 1 is running, but by the events it is done."],
    "UPDATE inspection_job SET state = 'done', submitted = 2 WHERE id = 3": [
        "Job 3 is done, but by the events it is failed.",
        "Job 3: the event of its end counts other images than there are: 3 submitted, not 2.",
    ],
    "UPDATE inspection_job SET submitted = 2 WHERE id = 3": [
        "Job 3: its images and its verdicts do not add up.",
        "Job 3: the event of its end counts other images than there are: 3 submitted, not 2.",
    ],
    "UPDATE inspection_job SET state = 'failed' WHERE id = 4": ["Job 4 is failed, but by the events it has not ended."],
    "DELETE FROM batch WHERE job_id = 2 AND state = 'cancelled'; "
    "UPDATE inspection_job SET submitted = 2 WHERE id = 2": [
        "Job 2: the event of its end counts other images than there are: 3 submitted, not 2, 1 cancelled, not 0."
    ],
    "UPDATE batch SET state = 'cancelled' WHERE job_id = 3 AND state <> 'done'; "
    "UPDATE inspection_job SET state = 'cancelled' WHERE id = 3": [
        "Job 3 is cancelled, but by the events it is failed.",
        "Job 3: the event of its end counts other images than there are: 0 cancelled, not 1.",
    ],
}


@pytest.fixture
def undone(ended: Engine) -> Iterator[Session]:
    """A transaction without triggers that never ends well."""
    with ended.execution_options(inspectq_writes=True).connect() as connection, Session(connection) as session:
        triggers.drop(connection)
        yield session
        session.rollback()


def test_jobs_that_nobody_has_touched_stand_as_the_events_say(ended: Engine) -> None:
    with reading(ended) as session:
        assert said(session) == []


def test_each_change_of_a_job_that_is_no_event_is_named(undone: Session) -> None:
    for change, sentences in CHANGES.items():
        with undone.begin_nested() as point:
            for statement in change.split("; "):
                assert undone.execute(text(statement)).rowcount  # type: ignore[attr-defined]
            assert said(undone) == sentences, change
            point.rollback()


def test_an_end_that_was_dated_back_is_named(undone: Session) -> None:
    undone.execute(text("UPDATE inspection_job SET finished_at = '2020-01-01 00:00:00.000000' WHERE id = 1"))
    (only,) = said(undone)
    assert only.startswith("Job 1 says that it ended at 2020-01-01T00:00:00+00:00, but its event is of ")


def test_a_state_that_there_is_not_is_named(undone: Session) -> None:
    if undone.get_bind().dialect.name == "postgresql":
        undone.execute(text("ALTER TABLE inspection_job DROP CONSTRAINT ck_inspection_job_jobstate"))
    else:
        undone.execute(text("PRAGMA ignore_check_constraints = ON"))
    undone.execute(text("UPDATE inspection_job SET state = 'zzz' WHERE id = 1"))
    assert said(undone) == ["Job 1 is 'zzz', and there is no such state."]


def test_events_of_before_they_told_as_much_are_believed_as_far_as_they_go(undone: Session) -> None:
    events, later = Base.metadata.tables["audit_event"], {*WORDS, "operating_point"}
    for event in undone.execute(select(events).where(events.c.action.in_(("job.submit", "job.cancel", "job.failed")))):
        less = {word: said for word, said in event.details.items() if word not in later}
        assert less != event.details
        undone.execute(update(events).where(events.c.id == event.id).values(details=less))
    assert said(undone) == []
    undone.execute(text("UPDATE inspection_job SET state = 'done' WHERE id = 2"))
    assert said(undone) == ["Job 2 is done, but by the events it is cancelled."]


def test_what_a_worker_saves_after_its_job_has_failed_fits(engine: Engine) -> None:
    job = add_job(engine, [["a.jpg"], ["b.jpg"]])
    with writing(engine) as session:
        held, other = (
            batches.claim(session, sent.batch, sent.attempt, worker="w@h", lease_seconds=60)
            for sent in batches.dispatch(session, window=9)
        )
    assert held is not None
    assert other is not None
    with writing(engine) as session:
        jobs.fail(session, job, "no model")
    with writing(engine) as session:
        assert batches.finish(session, held, verdicts(held, Disposition.FAIL))
    with reading(engine) as session:
        assert said(session) == []
    with writing(engine) as session:
        jobs.cancel(session, job, actor="anna")
    with reading(engine) as session:
        assert said(session) == []
