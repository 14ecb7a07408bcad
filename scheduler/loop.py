"""What does the scheduler do, again and again, so that every job gets finished?

One tick: claim and plan, take back what dead workers held, send again what the queue lost,
fill the queue, finish. Each step is one transaction that does nothing when there is nothing to
do, so a tick may be cut off anywhere, and two schedulers at once only share the work.
"""

import logging
import threading
from collections.abc import Callable

from db import batches, heartbeats, jobs
from db.batches import Message
from db.engine import Engine, reading, writing
from db.errors import BrokerAway, ServiceAway
from scheduler.planning import Planner

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
PLANNED_AT_ONCE = 4  # folders walked side by side, so that a small urgent job need not wait for a huge one
CHUNKS_PER_TICK = 4  # per folder; the queue is filled in between
SENT_AGAIN_AFTER_SECONDS = 600  # however many messages the queue holds: a repeated one costs a refused claim
LOST_AFTER_SECONDS = 15  # a message takes milliseconds; a queue that holds fewer than were sent has lost some


class Scheduler:
    """`publish` puts messages on the queue; `held` says how many wait there for a worker."""

    def __init__(
        self,
        engine: Engine,
        *,
        publish: Callable[[list[Message]], None],
        held: Callable[[], int],
        window: int,
        max_attempts: int,
    ) -> None:
        self._engine = engine
        self._publish = publish
        self._held = held
        self._window = window
        self._max_attempts = max_attempts
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
        """Tick until `stop` is set, with a heartbeat. Services that are away are waited for."""
        pause = TICK_SECONDS
        while not stop.is_set():
            try:
                with writing(self._engine) as session:
                    heartbeats.beat(session, name=name, role="scheduler")
                busy = self.tick()
                pause = 0.0 if busy else TICK_SECONDS
            except ServiceAway as error:
                log.warning("waiting: %s", error)
                if not isinstance(error, BrokerAway):
                    self._planners.clear()  # their leases run out; whoever is first then goes on
                pause = min(max(pause, TICK_SECONDS) * 2, heartbeats.BEAT_SECONDS)
            stop.wait(pause)

    def _plan(self) -> bool:
        if len(self._planners) < PLANNED_AT_ONCE:
            with writing(self._engine) as session:
                job = jobs.claim_planning(session, beside=[planner.id for planner in self._planners])
            if job is not None:
                self._planners.append(Planner(self._engine, job))
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
            for job, batch, note in batches.exhausted(session, max_attempts=self._max_attempts):
                reason = (
                    f"Batch {batch} was given up after {self._max_attempts} attempts (the last time: {note}). "
                    f"When that is mended: inspectq jobs retry {job}"
                )
                jobs.fail(session, job, reason)

    def _resend_lost(self) -> None:
        with reading(self._engine) as session:
            late = batches.waiting_on_queue(session, longer_than_seconds=LOST_AFTER_SECONDS)
            # Each worker may have taken one that it has not claimed yet: the first waits for torch to load.
            taken = len(heartbeats.alive(session, role="worker"))
        missing = late and self._held() < late - taken
        with writing(self._engine) as session:
            age = LOST_AFTER_SECONDS if missing else SENT_AGAIN_AFTER_SECONDS
            if lost := batches.resend(session, longer_than_seconds=age):
                log.warning("%d batches are sent again: their messages were lost, or wait very long", lost)

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
        with writing(self._engine) as session:
            ready = jobs.ready_to_finish(session)
            done = [job for job in ready if jobs.finish(session, job)]
        for job in done:
            log.info("job %d is done", job)
        return bool(done)
