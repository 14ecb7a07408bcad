"""One test per arrow of the batch's states, and one per way of losing a race."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from db import batches, jobs
from db.batches import Message
from db.clock import database_now
from db.engine import Engine, connect, reading, writing
from db.models import Batch, BatchState, InspectionResult
from tests.rows import add_job, claim_next, verdicts


def state_of(engine: Engine, batch: int) -> tuple[BatchState, int]:
    with reading(engine) as session:
        row = session.get_one(Batch, batch)
        return row.state, row.attempt


def results_of(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(InspectionResult.path).order_by(InspectionResult.path)))


def expiries_of(engine: Engine) -> list[int]:
    with reading(engine) as session:
        return list(session.scalars(select(Batch.expiries).order_by(Batch.id)))


def test_a_planned_batches_are_numbered_through_the_job(engine: Engine) -> None:
    add_job(engine, [["a", "b"], ["c"]])
    with reading(engine) as session:
        rows = session.scalars(select(Batch).order_by(Batch.sequence)).all()
    assert [(row.sequence, row.images, row.paths, row.state) for row in rows] == [
        (0, 2, ["a", "b"], BatchState.PLANNED),
        (1, 1, ["c"], BatchState.PLANNED),
    ]


def test_b_dispatch_fills_the_window_and_no_more(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"], ["c"]])
    with writing(engine) as session:
        first = batches.dispatch(session, window=2)
    with writing(engine) as session:
        second = batches.dispatch(session, window=2)
    assert [(message.job, message.attempt, message.images) for message in first] == [(job, 1, 1)] * 2
    assert second == []


def test_b_dispatch_takes_the_job_of_higher_priority_first(engine: Engine) -> None:
    add_job(engine, [["a"]])
    urgent = add_job(engine, [["b"]], priority=5)
    with writing(engine) as session:
        assert [message.job for message in batches.dispatch(session, window=1)] == [urgent]


def test_c_a_claim_hands_out_what_judging_takes(engine: Engine) -> None:
    job = add_job(engine, [["a", "b"]], root="/photos")
    held = claim_next(engine)
    assert (held.job, held.root, held.paths, held.attempt) == (job, "/photos", ("a", "b"), 1)
    assert (held.pass_below, held.fail_from, held.positive_class) == (0.5, 0.5, "defective")
    assert state_of(engine, held.batch) == (BatchState.RUNNING, 1)


def test_c_a_repeated_message_claims_nothing(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.claim(session, held.batch, held.attempt, worker="other", lease_seconds=60) is None


def test_c_a_message_of_an_earlier_attempt_claims_nothing(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.give_back(session, held, fault="a passing one")
    with writing(engine) as session:
        again = batches.dispatch(session, window=1)
        assert [message.attempt for message in again] == [2]
        assert batches.claim(session, held.batch, 1, worker="late", lease_seconds=60) is None
        assert batches.claim(session, held.batch, 2, worker="new", lease_seconds=60) is not None


def test_c_a_forged_message_claims_nothing(engine: Engine) -> None:
    add_job(engine, [["a"]])
    with writing(engine) as session:
        assert batches.claim(session, 4711, 1, worker="w", lease_seconds=60) is None
        planned_but_not_sent = session.scalars(select(Batch.id)).one()
        assert batches.claim(session, planned_but_not_sent, 1, worker="w", lease_seconds=60) is None


def test_d_finishing_writes_the_results_and_done_together(engine: Engine) -> None:
    add_job(engine, [["a", "b"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.finish(session, held, verdicts(held))
    assert state_of(engine, held.batch)[0] is BatchState.DONE
    assert results_of(engine) == ["a", "b"]


def test_d_a_crash_between_results_and_commit_leaves_neither(engine: Engine) -> None:
    add_job(engine, [["a", "b"]])
    held = claim_next(engine)
    with pytest.raises(KeyboardInterrupt), writing(engine) as session:
        batches.finish(session, held, verdicts(held))
        raise KeyboardInterrupt
    assert state_of(engine, held.batch)[0] is BatchState.RUNNING
    assert results_of(engine) == []


def test_d_who_lost_the_lease_writes_nothing(engine: Engine) -> None:
    add_job(engine, [["a"]])
    late = claim_next(engine, lease_seconds=-1)
    with writing(engine) as session:
        assert batches.take_back_expired(session) == 1
    new = claim_next(engine)
    with writing(engine) as session:
        assert not batches.finish(session, late, verdicts(late))
    assert results_of(engine) == []
    with writing(engine) as session:
        assert batches.finish(session, new, verdicts(new))
    assert results_of(engine) == ["a"]


def test_d_a_lease_that_ran_out_untaken_may_still_finish(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine, lease_seconds=-1)
    with writing(engine) as session:
        assert batches.finish(session, held, verdicts(held))


def test_d_a_result_too_few_is_a_fault_of_the_caller(engine: Engine) -> None:
    add_job(engine, [["a", "b"]])
    held = claim_next(engine)
    with pytest.raises(ValueError, match="2 paths"), writing(engine) as session:
        batches.finish(session, held, verdicts(held)[:1])


def test_e_an_expired_lease_is_taken_back_as_the_next_attempt(engine: Engine) -> None:
    add_job(engine, [["a"], ["b"]])
    expired = claim_next(engine, lease_seconds=-1)
    with writing(engine) as session:
        message = batches.dispatch(session, window=10)
        assert message == []
    with writing(engine) as session:
        assert batches.take_back_expired(session) == 1
    assert state_of(engine, expired.batch) == (BatchState.PLANNED, 2)
    assert expiries_of(engine) == [1, 0]


def test_e_a_lease_without_an_end_counts_as_ended(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        session.execute(update(Batch).values(lease_until=None))
        assert batches.take_back_expired(session) == 1
    assert state_of(engine, held.batch) == (BatchState.PLANNED, 2)


def test_e_a_renewed_lease_is_left_alone(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine, lease_seconds=-1)
    with writing(engine) as session:
        assert batches.renew(session, held.token, [held.batch], lease_seconds=60) == {held.batch}
        assert batches.take_back_expired(session) == 0


def test_f_a_batch_of_a_stopped_worker_is_planned_at_once_and_does_not_count(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.give_back(session, held)
        assert not batches.give_back(session, held)
        assert not batches.renew(session, held.token, [held.batch], lease_seconds=60)
    assert state_of(engine, held.batch) == (BatchState.PLANNED, 1)
    assert claim_next(engine).batch == held.batch


def test_f_a_batch_given_back_for_a_fault_rests_before_its_next_attempt(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.give_back(session, held, fault="the driver failed", pause_seconds=60)
    assert state_of(engine, held.batch) == (BatchState.PLANNED, 2)
    with writing(engine) as session:
        assert batches.dispatch(session, window=10) == []
        (given_up,) = batches.given_up(session, max_faults=1, patience_seconds=60)
        assert (given_up.job, given_up.batch, given_up.waited) == (job, held.batch, False)
        assert given_up.note == "the driver failed"
        session.execute(update(Batch).values(not_before=database_now(-1)))
        assert [message.attempt for message in batches.dispatch(session, window=10)] == [2]


def test_f_a_wait_for_storage_is_no_fault_and_is_over_when_an_attempt_gets_through(engine: Engine) -> None:
    add_job(engine, [["a"]])
    first = claim_next(engine)
    with writing(engine) as session:
        assert batches.wait(session, first, reason="not mounted", pause_seconds=0)
        assert not batches.wait(session, first, reason="not mounted", pause_seconds=0)
    second = claim_next(engine)
    assert (first.attempt, first.faults, first.waited_seconds) == (1, 0, 0)
    assert (second.attempt, second.faults) == (2, 0)
    assert second.waited_seconds >= 0
    with writing(engine) as session:
        session.execute(update(Batch).values(waiting_since=database_now(-100)))
        assert batches.wait(session, second, reason="not mounted", pause_seconds=0)
        assert batches.given_up(session, max_faults=1, patience_seconds=110) == []
        assert batches.given_up(session, max_faults=1, patience_seconds=90)[0].waited
    third = claim_next(engine)
    assert 99 < third.waited_seconds < 160
    with writing(engine) as session:
        assert batches.finish(session, third, verdicts(third))
    with reading(engine) as session:
        assert session.get_one(Batch, third.batch).waiting_since is None


def test_e_the_batch_of_a_dead_process_is_released_by_its_parent(engine: Engine) -> None:
    add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert not batches.lost(session, held.batch, held.attempt, worker="other@h", note="died")
        assert not batches.lost(session, held.batch, held.attempt + 1, worker="w@h", note="died")
        assert batches.lost(session, held.batch, held.attempt, worker="w@h", note="died")
        assert not batches.finish(session, held, verdicts(held)), "the ghost's verdicts"
    again = claim_next(engine)
    assert (again.attempt, again.faults) == (2, 1)
    assert expiries_of(engine) == [0], "nobody had to wait for its lease"


def draw(engine: Engine, beside: batches.Claim, *, checkpoint: int | None = None) -> batches.Claim | None:
    """The next batch, for the worker and token of the claim."""
    with writing(engine) as session:
        return batches.draw(
            session,
            beside if checkpoint is None else replace(beside, checkpoint_id=checkpoint),
            worker="w@h",
            lease_seconds=60,
            token=beside.token,
        )


def test_e_what_was_drawn_beside_a_dead_processes_batch_is_released_with_it(engine: Engine) -> None:
    add_job(engine, [["a"], ["b"], ["c"]])
    first = claim_next(engine, window=1)
    second = draw(engine, first)
    assert second is not None
    with writing(engine) as session:
        assert batches.finish(session, first, verdicts(first))
        assert batches.lost(session, first.batch, first.attempt, worker="w@h", note="died") == 1
    assert state_of(engine, first.batch) == (BatchState.DONE, 1)
    assert state_of(engine, second.batch) == (BatchState.PLANNED, 2)


def test_i_what_is_drawn_is_what_comes_next_and_rather_what_was_not_sent(engine: Engine) -> None:
    add_job(engine, [["a"], ["b"], ["c"], ["d"]])
    first = claim_next(engine, window=2)
    drawn = [draw(engine, first) for _ in range(4)]
    assert [held and held.paths for held in drawn] == [("c",), ("d",), ("b",), None]
    assert {held.token for held in drawn if held} == {first.token}
    urgent = add_job(engine, [["u"]], priority=5)
    add_job(engine, [["late"]])
    drawn_next = draw(engine, first)
    assert drawn_next is not None
    assert drawn_next.job == urgent


def test_i_nothing_is_drawn_for_another_model_after_a_fault_or_while_it_rests(engine: Engine) -> None:
    add_job(engine, [["a"], ["b"]])
    first = claim_next(engine, window=1)
    assert draw(engine, first, checkpoint=first.checkpoint_id + 1) is None
    second = claim_next(engine, window=1)
    with writing(engine) as session:
        assert batches.give_back(session, second, fault="odd")
    assert draw(engine, first) is None
    with writing(engine) as session:
        session.execute(update(Batch).where(Batch.id == second.batch).values(faults=0, not_before=database_now(60)))
    assert draw(engine, first) is None
    with writing(engine) as session:
        session.execute(update(Batch).where(Batch.id == second.batch).values(not_before=None))
    assert draw(engine, first) is not None


def test_i_two_workers_draw_different_batches(postgres_with_tables: str) -> None:
    engine = connect(postgres_with_tables)
    add_job(engine, [["a"], ["b"], ["c"]])
    first = claim_next(engine, window=1)
    with writing(engine) as one, writing(engine) as other:
        mine = batches.draw(one, first, worker="v@h", token="mine", lease_seconds=60)
        theirs = batches.draw(other, first, worker="w@h", token="theirs", lease_seconds=60)
    assert mine is not None
    assert theirs is not None
    assert mine.batch != theirs.batch


def test_c_who_did_not_hear_the_answer_may_ask_again(engine: Engine) -> None:
    add_job(engine, [["a"]])
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)

    def ask(token: str) -> batches.Claim | None:
        with writing(engine) as session:
            return batches.claim(session, message.batch, 1, worker="w", lease_seconds=60, token=token)

    first, again, other = ask("mine"), ask("mine"), ask("theirs")
    assert first is not None
    assert first == again
    assert other is None


def test_g_a_lost_message_is_sent_again_as_the_same_attempt(engine: Engine) -> None:
    add_job(engine, [["a"]])
    with writing(engine) as session:
        (lost,) = batches.dispatch(session, window=1)
    with writing(engine) as session:
        assert batches.late(session, longer_than_seconds=60) == []
        assert batches.resend(session, [lost.batch], longer_than_seconds=60) == 0
        assert batches.late(session, longer_than_seconds=-1) == [(lost.batch, lost.attempt)]
        assert batches.resend(session, [lost.batch + 1], longer_than_seconds=-1) == 0
        assert batches.resend(session, [lost.batch], longer_than_seconds=-1) == 1
    with writing(engine) as session:
        assert batches.dispatch(session, window=1) == [lost]


def test_g_messages_that_could_not_be_published_are_recalled(engine: Engine) -> None:
    add_job(engine, [["a"], ["b"]])
    with writing(engine) as session:
        first, second = batches.dispatch(session, window=2)
        assert batches.claim(session, first.batch, 1, worker="w", lease_seconds=60)
        assert batches.recall(session, [first.batch, second.batch]) == 1
    assert state_of(engine, first.batch)[0] is BatchState.RUNNING
    assert state_of(engine, second.batch)[0] is BatchState.PLANNED


def test_h_cancelling_takes_open_batches_out_of_their_workers_hands(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"], ["c"]])
    done = claim_next(engine, window=1)
    with writing(engine) as session:
        assert batches.finish(session, done, verdicts(done))
    running = claim_next(engine, window=1)
    with writing(engine) as session:
        assert jobs.cancel(session, job, actor="tester").cancelled == 2
    with writing(engine) as session:
        assert not batches.renew(session, running.token, [running.batch], lease_seconds=60)
        assert not batches.finish(session, running, verdicts(running))
        assert batches.dispatch(session, window=10) == []
    assert state_of(engine, done.batch)[0] is BatchState.DONE
    assert results_of(engine) == ["a"]


def test_a_message_of_a_failed_job_claims_nothing(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
        assert jobs.fail(session, job, "the model is gone")
        assert batches.claim(session, message.batch, 1, worker="w", lease_seconds=60) is None


def test_batches_that_used_up_their_attempts_are_named(engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"]])
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        batches.give_back(session, held, fault="odd")
        assert batches.given_up(session, max_faults=2, patience_seconds=60) == []
        (given_up,) = batches.given_up(session, max_faults=1, patience_seconds=60)
    assert (given_up.job, given_up.batch, given_up.note) == (job, held.batch, "odd")


def test_the_message_shows_ids_and_the_number_of_images_only(engine: Engine) -> None:
    add_job(engine, [["secret name.jpg", "b"]])
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    assert message == Message(batch=message.batch, attempt=1, job=message.job, images=2)
