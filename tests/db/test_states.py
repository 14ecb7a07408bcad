"""Is there any order of events in which an image gets no verdict, or two?

Two schedulers, two planners and two workers do whatever hypothesis can think of, on a queue that loses,
repeats and reorders; leases run out at any moment, and whoever lost one goes on as if nothing had been.
After every step the invariants hold; at the end an honest round finishes what is open.
"""

from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from db import batches, jobs, plans
from db.batches import Claim, Message
from db.clock import database_now
from db.engine import Engine, Session, reading, writing
from db.errors import Refused
from db.models import OPEN_BATCHES, OPEN_JOBS, Batch, BatchState, InspectionJob, InspectionResult, JobState
from db.plans import PlannedChunk
from tests.rows import submit_job, verdicts

FOLDER = [f"{number}.jpg" for number in range(7)]  # what the walk finds, in order
MAX_FAULTS = 4
INDEX = st.integers(0, 5)


class Planning:
    """A planner's own view of the walk, which may be that of a ghost."""

    def __init__(self, job: InspectionJob) -> None:
        self.job = job
        self.token = job.planner_token or ""
        self.left = [path for path in FOLDER if job.cursor is None or path > job.cursor]


class Machine(RuleBasedStateMachine):
    """One job from submission to its end."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        self.job = submit_job(self.engine)
        self.queue: list[Message] = []
        self.planners: list[Planning] = []
        self.held: list[Claim] = []  # every claim ever made: some are ghosts
        self.settled: dict[int, BatchState] = {}
        self.attempts: dict[int, int] = {}

    @initialize(chunks=st.integers(0, 2), claims=st.integers(0, 2))
    def it_has_begun(self, chunks: int, claims: int) -> None:
        """Random events seldom get a job under way by themselves."""
        self.a_planner_claims()
        for _ in range(chunks):
            self.a_planner_adds_a_chunk(0, 4)
        self.a_scheduler_dispatches(4, True)
        for _ in range(min(claims, len(self.queue))):
            self.a_worker_claims(0, "w1@h", True)

    # The planners.

    @rule()
    def a_planner_claims(self) -> None:
        with writing(self.engine) as session:
            claimed = plans.claim(session)
        if claimed is not None:
            assert claimed.id == self.job
            self.planners.append(Planning(claimed))

    @precondition(lambda self: self.planners)
    @rule(which=INDEX, images=st.integers(1, 4))
    def a_planner_adds_a_chunk(self, which: int, images: int) -> None:
        planner = self.planners[which % len(self.planners)]
        paths = planner.left[:images]
        chunks = [paths[start : start + 2] for start in range(0, len(paths), 2)]
        chunk = PlannedChunk(batches=chunks, cursor=paths[-1] if paths else None, other_files=0, linked_folders=0)
        with writing(self.engine) as session:
            if plans.add_chunk(session, planner.job, planner.token, chunk):
                planner.left = planner.left[images:]
                if not planner.left:
                    plans.finish(session, self.job, planner.token)

    @precondition(lambda self: self.planners)
    @rule(which=INDEX)
    def a_planner_finds_the_folder_away(self, which: int) -> None:
        planner = self.planners[which % len(self.planners)]
        with writing(self.engine) as session:
            plans.rest(session, self.job, planner.token, reason="away", pause_seconds=0)

    @rule()
    def another_scheduler_begins_to_lead(self) -> None:
        with writing(self.engine) as session:
            plans.forget_planners(session)

    # The schedulers.

    @rule(window=st.integers(1, 4), arrives=st.booleans())
    def a_scheduler_dispatches(self, window: int, arrives: bool) -> None:
        with writing(self.engine) as session:
            messages = batches.dispatch(session, window=window)
        if arrives:
            self.queue += messages

    @rule(window=st.integers(1, 4))
    def two_schedulers_dispatch_at_once(self, window: int) -> None:
        if self.engine.dialect.name != "postgresql":  # SQLite's writers take turns
            return
        with writing(self.engine) as one, writing(self.engine) as other:
            first = batches.dispatch(one, window=window)
            second = batches.dispatch(other, window=window)
        assert not {message.batch for message in first} & {message.batch for message in second}
        self.queue += [*first, *second]

    @rule(by_two=st.booleans())
    def expired_leases_are_taken_back(self, by_two: bool) -> None:
        for _ in range(1 + by_two):
            with writing(self.engine) as session:
                batches.take_back_expired(session)

    @rule()
    def what_is_not_on_the_queue_is_sent_again(self) -> None:
        there = {(message.batch, message.attempt) for message in self.queue}
        with writing(self.engine) as session:
            late = batches.late(session, longer_than_seconds=-1)
            missing = [batch for batch, attempt in late if (batch, attempt) not in there]
            batches.resend(session, missing, longer_than_seconds=-1)

    @rule()
    def jobs_are_given_up_or_finished(self) -> None:
        with writing(self.engine) as session:
            for given_up in batches.given_up(session, max_faults=MAX_FAULTS, patience_seconds=1e6):
                jobs.fail(session, given_up.job, "given up")
            for job in jobs.ready_to_finish(session):
                jobs.finish(session, job)

    # The queue.

    @precondition(lambda self: self.queue)
    @rule(which=INDEX)
    def a_message_is_lost(self, which: int) -> None:
        del self.queue[which % len(self.queue)]

    @precondition(lambda self: self.queue)
    @rule(which=INDEX)
    def a_message_is_repeated_and_out_of_order(self, which: int) -> None:
        self.queue.insert(0, self.queue[which % len(self.queue)])

    # The workers.

    @precondition(lambda self: self.queue)
    @rule(which=INDEX, worker=st.sampled_from(["w1@h", "w2@h"]), acknowledged=st.booleans())
    def a_worker_claims(self, which: int, worker: str, acknowledged: bool) -> None:
        message = self.queue[which % len(self.queue)]
        if acknowledged:
            self.queue.remove(message)
        with writing(self.engine) as session:
            held = batches.claim(session, message.batch, message.attempt, worker=worker, lease_seconds=600)
        if held is not None:
            self.held.append(held)

    @precondition(lambda self: self.held)
    @rule(which=INDEX, worker=st.sampled_from(["w1@h", "w2@h"]))
    def a_worker_draws_another_batch(self, which: int, worker: str) -> None:
        beside = self.held[which % len(self.held)]
        with writing(self.engine) as session:
            drawn = batches.draw(session, beside, worker=worker, lease_seconds=600, token=beside.token)
        if drawn is not None:
            self.held.append(drawn)

    @precondition(lambda self: self.held)
    @rule(which=INDEX)
    def a_worker_saves(self, which: int) -> None:
        held = self.held[which % len(self.held)]
        with writing(self.engine) as session:
            saved = batches.finish(session, held, verdicts(held))
        if saved:
            assert held.batch not in self.settled, "a batch was saved twice"

    @precondition(lambda self: self.held)
    @rule(which=INDEX)
    def a_worker_dies_while_it_saves(self, which: int) -> None:
        held = self.held[which % len(self.held)]
        with pytest.raises(KeyboardInterrupt), writing(self.engine) as session:
            batches.finish(session, held, verdicts(held))
            raise KeyboardInterrupt

    @precondition(lambda self: self.held)
    @rule(which=INDEX, how=st.sampled_from(["renew", "stop", "fault", "wait", "lost"]))
    def a_worker_renews_or_lets_go(self, which: int, how: str) -> None:
        held = self.held[which % len(self.held)]
        with writing(self.engine) as session:
            if how == "renew":
                batches.renew(session, held.token, [held.batch], lease_seconds=600)
            elif how == "stop":
                batches.give_back(session, held)
            elif how == "fault":
                batches.give_back(session, held, fault="odd")
            elif how == "wait":
                batches.wait(session, held, reason="away", pause_seconds=0)
            else:
                batches.lost(session, held.batch, held.attempt, worker="w1@h", note="died")

    # The world and the people in it.

    @rule()
    def time_passes(self) -> None:
        past = database_now(-1)
        with writing(self.engine) as session:
            session.execute(update(Batch).where(Batch.lease_until.is_not(None)).values(lease_until=past))
            session.execute(update(Batch).where(Batch.not_before.is_not(None)).values(not_before=past))
            planning = InspectionJob.planner_lease_until.is_not(None)
            session.execute(update(InspectionJob).where(planning).values(planner_lease_until=past))

    @rule()
    def somebody_retries(self) -> None:
        try:
            with writing(self.engine) as session:
                jobs.retry(session, self.job, actor="tester")
        except Refused:
            return

    @rule(chance=st.integers(0, 9))
    def somebody_cancels(self, chance: int) -> None:
        if chance:  # seldom: little happens afterwards
            return
        try:
            with writing(self.engine) as session:
                jobs.cancel(session, self.job, actor="tester")
        except Refused:
            return

    # What must always hold.

    @invariant()
    def nothing_is_counted_twice_and_nothing_settled_moves(self) -> None:
        with reading(self.engine) as session:
            rows = session.scalars(select(Batch).where(Batch.job_id == self.job).order_by(Batch.sequence)).all()
            job = jobs.get(session, self.job)
            ledger = jobs.ledger(session, self.job)
            found = _results(session, self.job)
        assert not [path for path, times in Counter(path for _, path in found).items() if times > 1]
        assert sorted(found) == sorted(
            (row.id, path) for row in rows if row.state is BatchState.DONE for path in row.paths
        )
        assert [path for row in rows for path in row.paths] == FOLDER[: job.submitted]
        assert [row.sequence for row in rows] == list(range(job.planned_batches))
        for row in rows:
            assert self.settled.get(row.id, row.state) is row.state, "a settled batch has moved"
            assert self.attempts.get(row.id, 1) <= row.attempt, "an attempt number came back"
            if row.state in OPEN_BATCHES:
                assert (row.token is not None) == (row.state is BatchState.RUNNING)
            self.attempts[row.id] = row.attempt
            if row.state in (BatchState.DONE, BatchState.CANCELLED):
                self.settled[row.id] = row.state
        if job.state is JobState.DONE:
            assert ledger.closed
            assert ledger.submitted == len(FOLDER)
        if job.state is JobState.CANCELLED:
            assert ledger.closed

    def teardown(self) -> None:
        """An honest round: whatever has happened, the job can still be brought to its end."""
        for _ in range(4 * len(FOLDER)):
            if self._state() not in (*OPEN_JOBS, JobState.FAILED):
                break
            self.time_passes()
            self.somebody_retries()
            self.another_scheduler_begins_to_lead()
            self.planners.clear()
            self.a_planner_claims()
            if self.planners:
                self.a_planner_adds_a_chunk(0, 4)
            self.expired_leases_are_taken_back(False)
            self.what_is_not_on_the_queue_is_sent_again()
            self.a_scheduler_dispatches(4, True)
            while self.queue:
                self.held.clear()
                self.a_worker_claims(0, "w1@h", True)
                if self.held:
                    self.a_worker_saves(0)
            self.jobs_are_given_up_or_finished()
        assert self._state() in (JobState.DONE, JobState.CANCELLED)
        self.nothing_is_counted_twice_and_nothing_settled_moves()

    def _state(self) -> JobState:
        with reading(self.engine) as session:
            return jobs.get(session, self.job).state


def _results(session: Session, job: int) -> list[tuple[int, str]]:
    rows: Any = session.execute(
        select(InspectionResult.batch_id, InspectionResult.path).where(InspectionResult.job_id == job)
    )
    return [(batch, path) for batch, path in rows]


def test_no_order_of_events_loses_or_repeats_a_verdict(engine: Engine) -> None:
    class OnThisDatabase(Machine):
        pass

    OnThisDatabase.engine = engine
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=40 if engine.dialect.name == "sqlite" else 20,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
