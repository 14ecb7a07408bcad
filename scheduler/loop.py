"""What does the scheduler do, again and again, so that every job gets finished?

One tick: claim and plan, take back what dead workers held, send again what the queue lost,
fill the queue, finish. Each step is one transaction that does nothing when there is nothing to
do, so a tick may be cut off anywhere, and two schedulers at once would only share the work.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from db import batches, jobs, plans
from db.batches import Message
from db.engine import Engine, Session, reading, writing
from db.errors import BrokerAway, ServiceAway
from scheduler.comparing import Comparing
from scheduler.leading import Leading
from scheduler.planning import Planner, PlanningBounds
from scheduler.receivers import Receivers
from scheduler.webhooks import Delivering

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
GLANCE_SECONDS = 0.1  # between two looks, in a pause, for what somebody may be waiting for
STANDBY_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
PLANNED_AT_ONCE = 4  # folders walked side by side, so that a small urgent job need not wait for a huge one
CHUNKS_PER_TICK = 4  # per folder; the queue is filled in between
# A message takes milliseconds. One that is neither on the queue nor claimed by then is lost, or with a worker
# that is still loading torch; sent once more, it costs that worker a refused claim.
LOST_AFTER_SECONDS = 15
LOOK_SECONDS = 5  # between two looks at the queue's content


class Scheduler:
    """`publish` puts messages on the queue; `held` says which (batch, attempt) wait there for a worker.

    A message that is neither there nor claimed after `lost_after` seconds is sent again. `receivers`: who may be told
    of a job's end.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        publish: Callable[[list[Message]], None],
        held: Callable[[], set[tuple[int, int]]],
        window: int,
        max_attempts: int,
        storage_patience: float,
        bounds: PlanningBounds,
        lost_after: float = LOST_AFTER_SECONDS,
        receivers: Receivers | None = None,
    ) -> None:
        self._engine = engine
        self._lost_after = lost_after
        self._publish = publish
        self._held = held
        self._window = window
        self._max_attempts = max_attempts
        self._storage_patience = storage_patience
        self._bounds = bounds
        self._receivers = receivers
        self._looked_at = -math.inf
        self._planners: list[Planner] = []

    def tick(self) -> bool:
        """One round. True if it moved something, so that the next should follow at once.

        Raises ServiceAway where the database or the broker does not answer; the next tick goes on.
        """
        planned = self._plan()
        self._recover()
        finished = self._finish()  # before what needs the broker: a job whose work is done need not wait for it
        self._resend_lost()
        sent = self._dispatch()
        return planned or finished or sent

    def run(self, name: str, stop: threading.Event) -> None:
        """Tick until `stop` is set, whenever this scheduler leads. Services that are away are waited for."""
        pause, term = TICK_SECONDS, None
        with (
            Leading(self._engine, name) as leading,
            Comparing(self._engine, lambda: leading.term is not None),
            self._delivering(lambda: leading.term is not None),
        ):
            while not stop.is_set():
                try:
                    if leading.term is None:
                        pause, term = STANDBY_SECONDS, None
                    else:
                        if leading.term != term:
                            self._begin_to_lead()
                            term = leading.term
                        if not self.tick():
                            self._rest(stop)
                        pause = 0.0
                except ServiceAway as error:
                    log.warning("waiting: %s", error)
                    if not isinstance(error, BrokerAway):
                        term = None  # what was committed is not known: begin anew
                    pause = min(max(pause, TICK_SECONDS) * 2, LONGEST_PAUSE_SECONDS)
                stop.wait(pause)

    def _delivering(self, leads: Callable[[], bool]) -> AbstractContextManager[object]:
        return nullcontext() if self._receivers is None else Delivering(self._engine, self._receivers, leads)

    def _rest(self, stop: threading.Event) -> None:
        """Until the next tick is due; sooner where a job has come, or can end. A glance costs less than a tick."""
        ends_at = time.monotonic() + TICK_SECONDS
        while time.monotonic() < ends_at and not stop.wait(GLANCE_SECONDS):
            with reading(self._engine) as session:
                if plans.any_to_begin_or_end(session):
                    return

    def _begin_to_lead(self) -> None:
        """Whoever led before plans nothing any more: its folders are free, and our own are walked anew."""
        self._planners.clear()
        with writing(self._engine) as session:
            plans.forget_planners(session)

    def _plan(self) -> bool:
        if len(self._planners) < PLANNED_AT_ONCE:
            with writing(self._engine) as session:
                job = plans.claim(session, beside=[planner.id for planner in self._planners])
            if job is not None:
                self._planners.append(Planner(self._engine, job, self._bounds))
        worked = bool(self._planners)
        self._planners = [planner for planner in self._planners if self._advance(planner)]
        return worked

    @staticmethod
    def _advance(planner: Planner) -> bool:
        return all(planner.advance() for _ in range(CHUNKS_PER_TICK))

    def _recover(self) -> None:
        with writing(self._engine) as session:
            if taken := batches.take_back_expired(session):
                log.warning("took back %d batches whose worker stopped renewing its lease", taken)
            self._give_up(session)

    def _give_up(self, session: Session) -> None:
        """Jobs that nothing but a person can help."""
        hours = f"{self._storage_patience / 3600:g} hours"
        for given_up in batches.given_up(
            session, max_faults=self._max_attempts, patience_seconds=self._storage_patience
        ):
            tried = f"waited {hours} for its files" if given_up.waited else f"failed {self._max_attempts} attempts"
            reason = (
                f"Batch {given_up.batch} {tried} (the last time: {given_up.note}). "
                f"When that is mended: inspectq jobs retry {given_up.job}"
            )
            jobs.fail(session, given_up.job, reason)
        for job, note in plans.waited_too_long(session, patience_seconds=self._storage_patience):
            jobs.fail(session, job, f"{note} That was {hours} ago. When it is mended: inspectq jobs retry {job}")

    def _resend_lost(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        with reading(self._engine) as session:
            late = batches.late(session, longer_than_seconds=self._lost_after)
        if late:
            held = self._held()
            missing = [batch for batch, attempt in late if (batch, attempt) not in held]
            with writing(self._engine) as session:
                if lost := batches.resend(session, missing, longer_than_seconds=self._lost_after):
                    log.warning("%d batches are sent again: their messages are neither on the queue nor claimed", lost)
        self._looked_at = time.monotonic()

    def _dispatch(self) -> bool:
        with writing(self._engine) as session:
            messages = batches.dispatch(session, window=self._window)
        if messages:
            try:
                self._publish(messages)
            except BrokerAway:
                self._return(messages)
                raise
        return bool(messages)

    def _return(self, messages: list[Message]) -> None:
        """What could not be published waits in the database, not for the time-out of a message that never was."""
        with writing(self._engine) as session:
            batches.recall(session, [message.batch for message in messages])

    def _finish(self) -> bool:
        with reading(self._engine) as session:
            ready = jobs.ready_to_finish(session)
        done = [job for job in ready if self._finish_one(job)]
        return bool(done)

    def _finish_one(self, job: int) -> bool:
        """In a transaction of its own: nobody else's verdicts can be committed between its event and its commit."""
        with writing(self._engine) as session:
            done = jobs.finish(session, job)
        if done:
            log.info("job %d is done", job)
        return done
