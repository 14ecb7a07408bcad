"""How does a submitted folder get its verdicts while a person waits?

Without a broker this process does the work itself; with one it only watches the database.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

from console.exits import ExitCode
from console.terminal import progress_bar, say
from db import drift, heartbeats, jobs
from db.batches import Message
from db.engine import Engine, reading
from db.errors import ServiceAway
from db.models import OPEN_JOBS, InspectionJob, JobState
from db.settings import Settings
from scheduler.comparing import compare_finished
from scheduler.loop import TICK_SECONDS, Scheduler
from scheduler.planning import PlanningBounds
from scheduler.receivers import Receivers, receivers
from scheduler.webhooks import deliver

log = logging.getLogger(__name__)

EMBEDDED_WINDOW = 2  # one process works on one batch; the second is there so that planning never holds it up
EMBEDDED_LOST_AFTER_SECONDS = 1.0  # the queue is this process's own: what an earlier one had on its is lost
WATCH_SECONDS = 0.5
COMPARED_AT_ONCE = 10  # this job, and some that an interrupted scan has left behind
SERVICES_SECONDS = 5  # by then a living scheduler has planned, and a living worker begun


def inspect_here(engine: Engine, settings: Settings, job: int) -> ExitCode:
    """Work off the open jobs in this process until `job` has ended; show progress, then its ledger."""
    say("Loading the model …")
    # Imported here: torch takes seconds, and only this path needs it.
    from worker.inspection import from_settings

    sent = _Sent()
    scheduler = Scheduler(
        engine,
        publish=sent.extend,
        held=sent.waiting,
        window=EMBEDDED_WINDOW,
        max_attempts=settings.max_attempts,
        storage_patience=settings.storage_patience,
        bounds=PlanningBounds(roots=settings.root_folders, max_files=settings.max_files),
        lost_after=EMBEDDED_LOST_AFTER_SECONDS,
    )

    def end_process(reason: str) -> None:
        say(f"Stopped: {reason}. Nothing is lost; go on with more care: inspectq jobs retry {job}")
        os._exit(ExitCode.ENDED_BADLY)

    name = f"embedded-{os.getpid()}@{socket.gethostname()}"
    inspector = from_settings(name, settings, end_process=end_process)
    with _terminated_like_interrupted(), progress_bar() as progress, _Ticking(scheduler, sent.nudge) as ticking:
        bar = _Bar(engine, progress, job)
        inspector.prepare(job)  # while the scheduler's thread plans
        while bar.refresh().state in OPEN_JOBS:
            ticking.check()
            if (message := sent.next(TICK_SECONDS)) is not None:
                log.info(inspector.inspect(message.batch, message.attempt, bar.advance))
                ticking.wake()
    _compare(engine)
    _tell(engine, receivers(settings))
    return conclude(engine, job)


def _tell(engine: Engine, to: Receivers | None) -> None:
    """Whoever wants to know of an end. What does not arrive at once `inspectq web` sends again, or the next scan."""
    try:
        while to is not None and deliver(engine, to):
            pass
    except ServiceAway as error:
        log.warning("nobody is told of an end: %s", error)


def _compare(engine: Engine) -> None:
    """Finished jobs with their models' evaluations. The verdicts stand, whatever becomes of this."""
    try:
        compare_finished(engine, limit=COMPARED_AT_ONCE)
    except ServiceAway as error:
        log.warning("not compared with the evaluation: %s", error)


class _Sent:
    """This process's own queue."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._nudged = False
        self._changed = threading.Condition()

    def extend(self, messages: list[Message]) -> None:
        with self._changed:
            self._messages.extend(messages)
            self._changed.notify()

    def waiting(self) -> set[tuple[int, int]]:
        with self._changed:
            return {(message.batch, message.attempt) for message in self._messages}

    def nudge(self) -> None:
        """Whoever waits for a message had better look whether there will be one."""
        with self._changed:
            self._nudged = True
            self._changed.notify()

    def next(self, seconds: float) -> Message | None:
        """The oldest message, waited for so long at most, or until a nudge."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._nudged, seconds)
            self._nudged = False
            return self._messages.popleft() if self._messages else None


class _Ticking:
    """The scheduler at work in a thread, so that planning and inspecting go on side by side."""

    def __init__(self, scheduler: Scheduler, moved: Callable[[], None]) -> None:
        """`moved` is called after each round that changed something, and where an error ends the thread."""
        self._scheduler = scheduler
        self._moved = moved
        self._stopped = False
        self._awake = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._tick_until_stopped, name="scheduler", daemon=True)

    def __enter__(self) -> "_Ticking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._awake.set()
        self._thread.join()

    def wake(self) -> None:
        """There is something to do at once: a batch is finished."""
        self._awake.set()

    def check(self) -> None:
        """Raises what ended the thread."""
        if self._error is not None:
            raise self._error

    def _tick_until_stopped(self) -> None:
        try:
            while not self._stopped:
                if self._scheduler.tick():
                    self._moved()
                else:
                    self._awake.wait(TICK_SECONDS)
                self._awake.clear()  # before `_stopped` is read: what is set in this moment is seen there
        except BaseException as error:
            self._error = error
            self._moved()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM gives the batch in hand back, as Ctrl-C does; the default would leave it to its lease."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there can a signal be heard
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch(engine: Engine, job: int) -> ExitCode:
    """Show the progress of a job that schedulers and workers elsewhere are doing, then its ledger."""
    began, warned = time.monotonic(), False
    with progress_bar() as progress:
        bar = _Bar(engine, progress, job)
        while (state := bar.refresh().state) in OPEN_JOBS:
            idle = state is JobState.PENDING or bar.done == 0
            if idle and not warned and time.monotonic() - began > SERVICES_SECONDS:
                warned = True
                _warn_of_missing_services(engine)
            time.sleep(min(WATCH_SECONDS, (time.monotonic() - began) / 10 + 0.05))  # a short job is no longer for it
    return conclude(engine, job)


def conclude(engine: Engine, job: int) -> ExitCode:
    """Say how the job ended. Done is a success whatever the verdicts are."""
    with reading(engine) as session:
        row, ledger = jobs.get(session, job), jobs.ledger(session, job)
        compared = drift.of_job(session, row)
    why = f": {row.state_reason.rstrip('.')}" if row.state_reason else ""
    say(f"Job {job} is {row.state.value}{why}.")
    say(
        f"{ledger.submitted} submitted = {ledger.passed} pass + {ledger.failed} fail + {ledger.review} review "
        f"+ {ledger.unreadable} unreadable + {ledger.cancelled} cancelled"
    )
    if compared is not None:
        say(compared.sentence)
    return ExitCode.DONE if row.state is JobState.DONE else ExitCode.ENDED_BADLY


class _Bar:
    """The progress of one job, read from the database and moved on image by image in between."""

    def __init__(self, engine: Engine, progress: Progress, job: int) -> None:
        self._engine, self._progress, self._job = engine, progress, job
        self.done = 0
        self._refreshed_at = time.monotonic()
        self._task = progress.add_task(f"Job {job}", total=None)

    def refresh(self) -> InspectionJob:
        with reading(self._engine) as session:
            row = jobs.get(session, self._job)
            self.done, planned = jobs.progress(session, self._job)
        self._progress.update(self._task, completed=self.done, total=planned or None)
        return row

    def advance(self, job: int) -> None:
        """An image of some job got its verdict."""
        if job != self._job:
            return
        self._progress.advance(self._task)
        if time.monotonic() - self._refreshed_at > WATCH_SECONDS:  # more may have been planned meanwhile
            with reading(self._engine) as session:
                self._progress.update(self._task, total=jobs.progress(session, self._job)[1] or None)
            self._refreshed_at = time.monotonic()


def _warn_of_missing_services(engine: Engine) -> None:
    with reading(engine) as session:
        for role in ("scheduler", "worker"):
            if not heartbeats.alive(session, role=role):
                say(f"No {role} has been seen in the last minute. Start one: inspectq {role}")
