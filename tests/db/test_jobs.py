"""Does a job move only along its arrows, and does its ledger close?"""

import pytest
from sqlalchemy import select, text, update

from db import batches, jobs, plans
from db.engine import Engine, reading, writing
from db.errors import NotFound, Refused
from db.models import AuditEvent, Batch, Disposition, InspectionJob, InspectionResult, JobState
from db.plans import PlannedChunk
from tests.rows import add_job, claim_next, inspect_all, submit_job, verdicts
from tests.tampering import tampering


def chunk(*paths: str) -> PlannedChunk:
    return PlannedChunk(batches=[[path] for path in paths], cursor=paths[-1], other_files=1, linked_folders=0)


def state_of(engine: Engine, job: int) -> JobState:
    with reading(engine) as session:
        return jobs.get(session, job).state


def test_a_submitted_job_waits_and_is_audited(engine: Engine) -> None:
    job = submit_job(engine)
    assert state_of(engine, job) is JobState.PENDING
    with reading(engine) as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.action == "job.submit")).one()
    assert (event.actor, event.subject) == ("tester", f"job:{job}")


def test_only_one_of_two_schedulers_plans_a_job(engine: Engine) -> None:
    submit_job(engine)
    with writing(engine) as session:
        assert plans.claim(session) is not None
    with writing(engine) as session:
        assert plans.claim(session) is None


def test_a_planner_that_died_is_followed_by_one_that_goes_on_at_its_cursor(engine: Engine) -> None:
    job = submit_job(engine)
    with writing(engine) as session:
        dead = plans.claim(session)
        assert dead is not None
        dead_token = dead.planner_token or ""
        assert plans.add_chunk(session, dead, dead_token, chunk("a", "b"))
    with writing(engine) as session:
        session.execute(update(InspectionJob).values(planner_lease_until=None))
    with writing(engine) as session:
        heir = plans.claim(session)
        assert heir is not None
        assert heir.cursor == "b"
        heir_token = heir.planner_token or ""
    with writing(engine) as session:
        assert not plans.add_chunk(session, dead, dead_token, chunk("c"))
        assert not plans.finish(session, job, dead_token)
    with writing(engine) as session:
        assert plans.add_chunk(session, heir, heir_token, chunk("c"))
        assert plans.finish(session, job, heir_token)
    with reading(engine) as session:
        row = jobs.get(session, job)
        sequences = session.scalars(select(Batch.sequence).order_by(Batch.sequence)).all()
    assert (row.state, row.submitted, row.planned_batches, row.other_files) == (JobState.RUNNING, 3, 3, 2)
    assert sequences == [0, 1, 2]


def test_a_job_is_done_when_its_last_batch_is_and_the_ledger_closes(engine: Engine) -> None:
    job = add_job(engine, [["a", "b"], ["c"]])
    first = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.finish(session, first, verdicts(first, Disposition.FAIL))
        assert jobs.ready_to_finish(session) == []
    inspect_all(engine, Disposition.UNREADABLE)
    assert state_of(engine, job) is JobState.DONE
    with reading(engine) as session:
        ledger = jobs.ledger(session, job)
        assert jobs.progress(session, job) == (3, 3)
    assert ledger.closed
    assert ledger.to_dict() == {"submitted": 3, "pass": 0, "fail": 2, "review": 0, "unreadable": 1, "cancelled": 0}


def test_a_ledger_that_does_not_close_fails_the_job_and_says_so(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    held = claim_next(engine)
    with tampering(engine) as session:
        batches.finish(session, held, verdicts(held))
        session.execute(text("DELETE FROM inspection_result"))
    with writing(engine) as session:
        jobs.finish(session, job)
    with reading(engine) as session:
        row = jobs.get(session, job)
    assert row.state is JobState.FAILED
    assert "ledger does not close" in (row.state_reason or "")


def test_the_database_itself_refuses_a_second_verdict_on_an_image(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        batches.finish(session, held, verdicts(held))
    with reading(engine) as session:
        row = session.scalars(select(InspectionResult)).one()
        columns = {key: getattr(row, key) for key in row.__mapper__.column_attrs.keys() if key != "id"}  # noqa: SIM118
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(InspectionResult(**columns))


def test_a_cancelled_job_keeps_its_verdicts_and_counts_the_rest(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b", "c"]])
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.finish(session, held, verdicts(held))
        ledger = jobs.cancel(session, job, actor="anna")
    assert (ledger.passed, ledger.cancelled, ledger.closed) == (1, 2, True)
    with pytest.raises(Refused, match="cancelled already"), writing(engine) as session:
        jobs.cancel(session, job, actor="anna")


def test_a_failed_job_goes_on_where_it_stopped_also_with_what_was_sent(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"], ["c"]])
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.finish(session, held, verdicts(held))
        assert len(batches.dispatch(session, window=1)) == 1
        jobs.fail(session, job, "the model file is missing")
    with writing(engine) as session:
        assert "goes on" in jobs.retry(session, job, actor="anna")
    inspect_all(engine)
    assert state_of(engine, job) is JobState.DONE


def test_a_retry_inspects_unreadable_images_as_a_new_revision(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"]])
    good = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.finish(session, good, verdicts(good))
    inspect_all(engine, Disposition.UNREADABLE)
    with writing(engine) as session:
        assert "revision 2" in jobs.retry(session, job, actor="anna")
    inspect_all(engine, Disposition.FAIL)
    with reading(engine) as session:
        ledger = jobs.ledger(session, job)
        history = session.execute(text("SELECT path, revision, disposition FROM v_result_history ORDER BY 1, 2")).all()
        current = session.execute(text("SELECT path, disposition FROM v_results ORDER BY path")).all()
    assert (ledger.submitted, ledger.passed, ledger.failed, ledger.unreadable) == (2, 1, 1, 0)
    assert [tuple(row) for row in history] == [("a", 1, "PASS"), ("b", 1, "UNREADABLE"), ("b", 2, "FAIL")]
    assert [tuple(row) for row in current] == [("a", "PASS"), ("b", "FAIL")]
    with pytest.raises(Refused, match="no unreadable"), writing(engine) as session:
        jobs.retry(session, job, actor="anna")


def test_a_job_opened_again_by_a_retry_is_not_finished_by_a_late_scheduler(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        batches.finish(session, held, verdicts(held, Disposition.UNREADABLE))
    with writing(engine) as session:
        assert jobs.finish(session, job)
        assert not jobs.finish(session, job), "a second scheduler comes too late"
    with writing(engine) as session:
        jobs.retry(session, job, actor="anna")
    with writing(engine) as session:
        assert not jobs.finish(session, job)
    assert state_of(engine, job) is JobState.RUNNING


def test_of_two_retries_at_once_one_is_refused(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    inspect_all(engine, Disposition.UNREADABLE)
    with reading(engine) as session:
        seen_before = jobs.get(session, job)
    with writing(engine) as session:
        jobs.retry(session, job, actor="anna")
    with pytest.raises(Refused, match="retried already"), writing(engine) as session:
        jobs._inspect_unreadable_again(session, seen_before, "bert")


def test_a_failed_job_can_be_cancelled_so_that_its_ledger_closes(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"]])
    with writing(engine) as session:
        jobs.fail(session, job, "no model")
    with writing(engine) as session:
        assert jobs.cancel(session, job, actor="anna").closed


def test_the_ghost_of_a_dead_planner_cannot_fail_the_job_of_its_heir(engine: Engine) -> None:
    job = submit_job(engine)
    with writing(engine) as session:
        assert plans.claim(session)
    with writing(engine) as session:
        assert not jobs.fail(session, job, "stale", planner_token="another's")
    assert state_of(engine, job) is JobState.PLANNING


def test_an_unknown_job_is_a_sentence_that_says_what_to_do(engine: Engine) -> None:
    with pytest.raises(NotFound, match="inspectq jobs list"), reading(engine) as session:
        jobs.get(session, 77)


def test_the_newest_jobs_come_first(engine: Engine) -> None:
    first, second = add_job(engine, [["a"]]), add_job(engine, [["a"]])
    with reading(engine) as session:
        assert [job.id for job in jobs.newest(session, limit=5)] == [second, first]
