"""How does a batch become verdicts? The same code in a Celery worker and in an embedded scan.

Claim, score under a lease, then all results and `done` in one transaction. Permanent faults of
an image are verdicts (UNREADABLE); passing faults of the world give the batch back.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from db import batches, jobs, results, runtimes, stage_times
from db.batches import Claim
from db.engine import Engine, Session, reading, writing
from db.errors import ServiceAway
from db.models import Checkpoint
from db.results import Judgement, NewResult
from db.schema import open_database
from db.settings import Settings, settings
from vision.checkpoint import CheckpointAltered, CheckpointFormat, CheckpointMissing
from vision.decode import Limits
from vision.faults import OutOfMemory, StorageTrouble
from vision.preprocessing import PreprocessingError
from vision.reading import OutsideRoots
from vision.runtime import (
    DeviceFailed,
    DeviceOutOfMemory,
    DeviceUnavailable,
    InvalidScore,
    Runtime,
    is_of_the_device,
)
from vision.stages import seconds_by_stage
from worker.choice import AUTO, RuntimeRefused, best_runtime
from worker.lease import LeaseLost, Leases, WorkerStopping
from worker.shift import Bench, NotSaved, OnImage, Shift, told
from worker.versions import versions

log = logging.getLogger(__name__)

DATABASE_PATIENCE_SECONDS = 180  # how long finished verdicts are held while the database is away
LONGEST_WAIT_SECONDS = 5.0
# How long a batch rests after a passing fault, doubled with each attempt: five attempts span two minutes.
PAUSE_SECONDS = 8.0
LONGEST_PAUSE_SECONDS = 120.0
REST_SECONDS = 1.0
# After a shift, for batches that a fault has met: as long as a shift, so that neither kind keeps the other waiting.
TROUBLED_SECONDS = 10.0
MODELS_KEPT = 2  # jobs of an old and a new model side by side; each takes about 50 MB

# What no attempt and no other worker can change.
STOPS_THE_JOB = (CheckpointAltered, CheckpointFormat, PreprocessingError, InvalidScore, RuntimeRefused)
# What this worker lacks, or has too little of: another, or a guarded attempt, may do.
FAILS_THE_BATCH = (OutOfMemory, CheckpointMissing, DeviceUnavailable, DeviceOutOfMemory, OutsideRoots)
EXIT_CODE = 70  # of a process that ends itself

T = TypeVar("T")


def end_process(reason: str) -> None:
    """End this process at once, since a call that does not return cannot be called off."""
    log.critical("this process ends itself: %s", reason)
    os._exit(EXIT_CODE)


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a worker works with: where models lie, on which device, within which limits."""

    name: str
    models_folder: Path
    device: str
    runtime: str
    limits: Limits
    lease_seconds: float
    stall_seconds: float
    decode_threads: int | None
    roots: tuple[bytes, ...] = ()
    stopping: Callable[[], bool] = lambda: False
    end_process: Callable[[str], None] = end_process

    @property
    def host(self) -> str:
        """The machine, by the worker's full name."""
        return self.name.rpartition("@")[2]


class Inspector:
    """One per process. Keeps the models it has loaded."""

    def __init__(self, engine: Engine, workplace: Workplace) -> None:
        self._engine = engine
        self._workplace = workplace
        self._runtimes: dict[tuple[str, str], Runtime] = {}
        self._added = seconds_by_stage()  # what the database has of this process's seconds

    def prepare(self, job: int) -> None:
        """Load a job's model before its first batch comes. What stands in the way will be said of that batch."""
        with suppress(ServiceAway, *STOPS_THE_JOB, *FAILS_THE_BATCH):
            with reading(self._engine) as session:
                row = jobs.get(session, job)
                digest = session.get_one(Checkpoint, row.checkpoint_id).digest
            self._runtime(row.checkpoint_id, digest, row.runtime)

    def inspect(self, batch: int, attempt: int, on_image: OnImage | None = None) -> str:
        """Inspect a batch, then others of the same model for a while; say in one line what became of them.

        Then those that a fault has met and that are due, for about as long. `on_image` is called with its job's number
        after each image. Raises only what is no fact about an image and no passing fault either, after giving the
        batches back.
        """
        token = uuid4().hex
        first = patiently(lambda: self._claim(batch, attempt, token))
        if first is None:
            return f"batch {batch}, attempt {attempt}: nothing to do (late or repeated message, or the job has ended)"
        said, went_well = self._shift(first, token, on_image)
        lines, ends_at = [said], time.monotonic() + TROUBLED_SECONDS
        while went_well and not self._workplace.stopping():
            token = uuid4().hex
            troubled = self._draw_troubled(token)
            if troubled is None:
                break
            said, went_well = self._shift(troubled, token, on_image)
            lines.append(said)
            went_well &= time.monotonic() < ends_at
        return "; ".join(lines)

    def _shift(self, first: Claim, token: str, on_image: OnImage | None) -> tuple[str, bool]:
        """(what became of its batches, whether all of them were saved)."""
        shift = Shift(first)
        try:
            with self._leases(shift, token) as leases:
                leases.add(first)
                shift.work(self._bench(first, token, leases, on_image or (lambda _: None)))
        except BaseException as error:
            ended = self._ended(shift, error)
            if ended is None:
                if isinstance(error, NotSaved):
                    raise error.error from None
                raise
            return "; ".join([*told(shift.saved), ended]), False
        return "; ".join(told(shift.saved)), all(item.kept for item in shift.saved)

    def _ended(self, shift: Shift, error: BaseException) -> str | None:
        """Let go of what the shift still held, each batch in its way. None: the error is nobody's fact and goes on."""
        for other in list(shift.open)[1:]:  # held beside it, and not at fault
            self._give_back(other)
        return self._let_go_of(shift.open[0], error) if shift.open else None

    def _let_go_of(self, held: Claim, error: BaseException) -> str | None:
        """The batch whose turn it was, by what ended its shift."""
        named = f"job {held.job}, batch {held.batch}"
        match error:
            case LeaseLost():
                return f"{named}: not saved, it was cancelled or taken back"
            case WorkerStopping():
                self._give_back(held)
                return f"{named}: given back, the worker stops"
            case _ if isinstance(error, STOPS_THE_JOB):
                self._stop_job(held, str(error))
                return f"job {held.job} failed: {error}"
            case _ if isinstance(error, FAILS_THE_BATCH):
                self._fault(held, str(error))
                return f"{named}: given back ({error})"
            case StorageTrouble():
                self._wait(held, str(error))
                return f"{named}: waits ({error})"
            case DeviceFailed():
                self._fault(held, str(error), pause_seconds=0)
                self._workplace.end_process(str(error))
                return f"{named}: given back ({error})"
            case NotSaved():
                self._give_back(held)
            case Exception():
                self._fault(held, f"{type(error).__name__}: {error}")
                if is_of_the_device(error):  # met outside of scoring: copying to the device, or loading the model
                    self._workplace.end_process(str(error))
            case _:
                self._give_back(held)
        return None

    def _leases(self, shift: Shift, token: str) -> Leases:
        place = self._workplace
        # Under guard one image may take its whole time and is a verdict after that, not a stall.
        stall_seconds = place.stall_seconds + (place.limits.decode_seconds if shift.first.faults else 0)

        def stalled() -> None:
            reason = f"no image got through for {stall_seconds:g} seconds"
            held, *others = list(shift.open) or [shift.first]
            self._fault(held, reason, pause_seconds=0)
            for other in others:
                self._give_back(other)
            place.end_process(f"batch {held.batch}: {reason}")

        return Leases(
            self._engine,
            token,
            lease_seconds=place.lease_seconds,
            stall_seconds=stall_seconds,
            stopping=place.stopping,
            on_stall=stalled,
        )

    def _bench(self, first: Claim, token: str, leases: Leases, on_image: OnImage) -> Bench:
        place = self._workplace
        runtime = self._runtime(first.checkpoint_id, first.checkpoint_digest, first.runtime)
        return Bench(
            worker=place.name,
            runtime=runtime,
            limits=place.limits,
            roots=place.roots,
            threads=place.decode_threads,
            leases=leases,
            draw=lambda beside: self._draw(beside, token),
            known=lambda held, digests: self._known(held, digests, runtime),
            save=lambda held, rows: patiently(lambda: self._finish(held, rows)),
            on_image=on_image,
        )

    def _draw(self, beside: Claim, token: str) -> Claim | None:
        try:
            with writing(self._engine) as session:
                return batches.draw(
                    session,
                    beside,
                    worker=self._workplace.name,
                    lease_seconds=self._workplace.lease_seconds,
                    token=token,
                )
        except ServiceAway as error:
            log.warning("no further batch is drawn: %s", error)
            return None

    def _draw_troubled(self, token: str) -> Claim | None:
        place = self._workplace
        try:
            with writing(self._engine) as session:
                return batches.draw_troubled(session, worker=place.name, lease_seconds=place.lease_seconds, token=token)
        except ServiceAway as error:
            log.warning("no batch that met a fault is looked for: %s", error)
            return None

    def _claim(self, batch: int, attempt: int, token: str) -> Claim | None:
        with writing(self._engine) as session:
            return batches.claim(
                session,
                batch,
                attempt,
                worker=self._workplace.name,
                lease_seconds=self._workplace.lease_seconds,
                token=token,
            )

    def _known(self, held: Claim, digests: Sequence[str], runtime: Runtime) -> Mapping[str, object]:
        by = Judgement(
            checkpoint_id=held.checkpoint_id,
            operating_point_id=held.operating_point_id,
            engine=runtime.engine,
            precision=runtime.precision,
        )
        try:
            with reading(self._engine) as session:
                return results.known(session, digests, by, before_job=held.job)
        except ServiceAway as error:
            log.warning("verdicts on identical files are not looked up: %s", error)
            return {}

    def _finish(self, held: Claim, rows: list[NewResult]) -> bool:
        """With it goes the time since the batch before: what its own saving takes, and the next one's files, too."""
        spent = seconds_by_stage()
        more = {name: spent[name] - before for name, before in self._added.items() if spent[name] > before}
        with writing(self._engine) as session:
            kept = batches.finish(session, held, rows, versions=versions(rows[0].engine) if rows else None)
            if kept:
                stage_times.add(session, self._workplace.host, more)
        if kept:
            self._added = spent
        return kept

    def _fault(self, held: Claim, fault: str, pause_seconds: float | None = None) -> None:
        pause = _pause(held.faults) if pause_seconds is None else pause_seconds
        self._let_go(held, lambda session: batches.give_back(session, held, fault=fault, pause_seconds=pause))

    def _wait(self, held: Claim, reason: str) -> None:
        pause = _pause(held.attempt - 1 - held.faults)
        self._let_go(held, lambda session: batches.wait(session, held, reason=reason, pause_seconds=pause))
        # If only this worker's mount is gone, the others should be the faster ones to ask for the next batch.
        time.sleep(REST_SECONDS)

    def _give_back(self, held: Claim) -> None:
        """Neither its fault nor one of the world: somebody can have it at once."""
        self._let_go(held, lambda session: batches.give_back(session, held))

    def _let_go(self, held: Claim, arrow: Callable[[Session], bool]) -> None:
        """At best now; where even that fails, the lease runs out."""
        try:
            with writing(self._engine) as session:
                arrow(session)
        except ServiceAway as error:
            log.warning("batch %s could not be given back: %s", held.batch, error)

    def _stop_job(self, held: Claim, reason: str) -> None:
        def stop() -> None:
            with writing(self._engine) as session:
                batches.give_back(session, held, fault=reason)
                jobs.fail(session, held.job, reason)

        patiently(stop)

    def _runtime(self, checkpoint: int, digest: str, asked_for: str) -> Runtime:
        asked = (digest, asked_for)
        if asked not in self._runtimes:
            while len(self._runtimes) >= MODELS_KEPT:
                self._runtimes.pop(next(iter(self._runtimes)))
            place = self._workplace
            wanted = place.runtime if asked_for == AUTO else asked_for
            with reading(self._engine) as session:
                compared = runtimes.of_checkpoint(session, checkpoint)
            self._runtimes[asked] = best_runtime(wanted, compared, place.models_folder, digest, place.device)
        return self._runtimes[asked]


def from_settings(
    name: str,
    chosen: Settings | None = None,
    *,
    stopping: Callable[[], bool] = lambda: False,
    end_process: Callable[[str], None] = end_process,
) -> Inspector:
    """An inspector as the environment describes it. It gives its batch back once `stopping` answers true."""
    chosen = chosen or settings()
    workplace = Workplace(
        name=name,
        models_folder=chosen.models_folder,
        device=chosen.device,
        runtime=chosen.runtime,
        limits=decode_limits(chosen),
        lease_seconds=chosen.lease_seconds,
        stall_seconds=chosen.stall_seconds,
        decode_threads=chosen.decode_threads or None,
        roots=chosen.root_folders,
        stopping=stopping,
        end_process=end_process,
    )
    return Inspector(open_database(chosen.effective_database_url), workplace)


def decode_limits(chosen: Settings) -> Limits:
    """What an image may be and take, as the environment describes it."""
    return Limits(
        max_pixels=chosen.max_pixels,
        max_bytes=chosen.max_bytes,
        decode_seconds=chosen.decode_seconds,
        decode_memory=chosen.decode_memory,
    )


def _pause(times: int) -> float:
    """Seconds before the next attempt, after so many like this one."""
    return min(PAUSE_SECONDS * 2.0 ** min(times, 10), LONGEST_PAUSE_SECONDS)


def patiently(ask: Callable[[], T]) -> T:
    """Ask the database again, with growing pauses, while it is away: a computed verdict is worth the wait."""
    deadline, pause = time.monotonic() + DATABASE_PATIENCE_SECONDS, 0.2
    while True:
        try:
            return ask()
        except ServiceAway as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("waiting for the database: %s", error)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_WAIT_SECONDS)
