"""How does a batch become verdicts? The same code in a Celery worker and in an embedded scan.

Claim, score under a lease, then all results and `done` in one transaction. Permanent faults of
an image are verdicts (UNREADABLE); passing faults of the world give the batch back.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from db import batches, jobs
from db.batches import Claim
from db.engine import Engine, writing
from db.errors import ServiceAway
from db.models import Disposition
from db.paths import to_bytes
from db.results import NewResult
from db.schema import open_database
from db.settings import Settings, settings
from vision.checkpoint import CheckpointAltered, CheckpointFormat, CheckpointMissing, load_checkpoint
from vision.decode import Limits
from vision.faults import Reason, StorageTrouble
from vision.inspection import ImageScore, score_images
from vision.preprocessing import PreprocessingError
from vision.runtime import DeviceUnavailable, InvalidScore, TorchRuntime
from worker.lease import Lease, LeaseLost, kept

log = logging.getLogger(__name__)

DATABASE_PATIENCE_SECONDS = 180  # how long finished verdicts are held while the database is away
LONGEST_WAIT_SECONDS = 5.0
# How long a batch rests after a passing fault, doubled with each attempt: five attempts span two minutes.
PAUSE_SECONDS = 8.0
LONGEST_PAUSE_SECONDS = 120.0
MODELS_KEPT = 2  # jobs of an old and a new model side by side; each takes about 50 MB

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a worker works with: where models lie, on which device, within which limits."""

    name: str
    models_folder: Path
    device: str
    limits: Limits
    lease_seconds: float
    decode_threads: int | None


class Inspector:
    """One per process. Keeps the models it has loaded."""

    def __init__(self, engine: Engine, workplace: Workplace) -> None:
        self._engine = engine
        self._workplace = workplace
        self._runtimes: dict[str, TorchRuntime] = {}

    def inspect(self, batch: int, attempt: int, on_image: Callable[[], None] | None = None) -> str:
        """Inspect one batch and say in one line what became of it.

        `on_image` is called after each image. Raises only what is no fact about an image and no
        passing fault either, after giving the batch back.
        """
        held = patiently(lambda: self._claim(batch, attempt))
        if held is None:
            return f"batch {batch}, attempt {attempt}: nothing to do (late or repeated message, or the job has ended)"
        try:
            with kept(self._engine, held, self._workplace.lease_seconds) as lease:
                rows = self._verdicts(held, lease, on_image)
                if not patiently(lambda: self._finish(held, rows)):
                    raise LeaseLost
        except LeaseLost:
            return f"job {held.job}, batch {batch}: not saved, it was cancelled or taken back"
        except (CheckpointAltered, CheckpointFormat, PreprocessingError, InvalidScore) as error:
            self._stop_job(held, str(error))
            return f"job {held.job} failed: {error}"
        except (StorageTrouble, CheckpointMissing, DeviceUnavailable) as error:
            # This worker's storage, models folder or device; another's, or this one's later, may do.
            self._give_back(held, str(error))
            return f"job {held.job}, batch {batch}: given back ({error})"
        except Exception as error:
            self._give_back(held, f"{type(error).__name__}: {error}")
            raise
        except BaseException:
            self._give_back(held, None)
            raise
        return f"job {held.job}, batch {batch}: {_counted(rows)}"

    def _claim(self, batch: int, attempt: int) -> Claim | None:
        with writing(self._engine) as session:
            return batches.claim(
                session,
                batch,
                attempt,
                worker=self._workplace.name,
                lease_seconds=self._workplace.lease_seconds,
            )

    def _finish(self, held: Claim, rows: list[NewResult]) -> bool:
        with writing(self._engine) as session:
            return batches.finish(session, held, rows)

    def _give_back(self, held: Claim, fault: str | None) -> None:
        """At best now; where even that fails, the lease runs out."""
        pause = min(PAUSE_SECONDS * 2 ** (held.attempt - 1), LONGEST_PAUSE_SECONDS)
        try:
            with writing(self._engine) as session:
                batches.give_back(session, held, fault=fault, pause_seconds=pause)
        except ServiceAway as error:
            log.warning("batch %s could not be given back: %s", held.batch, error)

    def _stop_job(self, held: Claim, reason: str) -> None:
        with writing(self._engine) as session:
            batches.give_back(session, held, fault=reason)
            jobs.fail(session, held.job, reason)

    def _verdicts(self, held: Claim, lease: Lease, on_image: Callable[[], None] | None) -> list[NewResult]:
        runtime = self._runtime(held.checkpoint_digest)
        rows = []
        for path, outcome in zip(held.paths, self._outcomes(held, runtime), strict=True):
            lease.check()
            rows.append(_result(held, path, outcome, runtime, self._workplace.name))
            if on_image is not None:
                on_image()
        if any(row.reason_code == Reason.VANISHED for row in rows) and _is_away(to_bytes(held.root)):
            raise StorageTrouble(f"the job's folder {held.root} is not there, or empty: is it mounted?")
        return rows

    def _outcomes(self, held: Claim, runtime: TorchRuntime) -> Iterator[ImageScore]:
        """One per path, in order. A path that leads out of the job's folder is never opened."""
        root = os.path.realpath(to_bytes(held.root))
        inside: list[bytes | None] = []
        for path in held.paths:
            full = os.path.join(root, to_bytes(path))
            inside.append(full if _is_beneath(os.path.realpath(full), root) else None)
        scores = score_images(
            [full for full in inside if full is not None],
            runtime,
            limits=self._workplace.limits,
            threads=self._workplace.decode_threads,
        )
        for index, place in enumerate(inside):
            yield _outside(index) if place is None else next(scores)

    def _runtime(self, digest: str) -> TorchRuntime:
        if digest not in self._runtimes:
            file = self._workplace.models_folder / f"{digest}.safetensors"
            while len(self._runtimes) >= MODELS_KEPT:
                self._runtimes.pop(next(iter(self._runtimes)))
            self._runtimes[digest] = TorchRuntime(load_checkpoint(file, digest), self._workplace.device)
        return self._runtimes[digest]


def from_settings(name: str, chosen: Settings | None = None) -> Inspector:
    """An inspector as the environment describes it."""
    chosen = chosen or settings()
    workplace = Workplace(
        name=name,
        models_folder=chosen.models_folder,
        device=chosen.device,
        limits=Limits(max_pixels=chosen.max_pixels, max_bytes=chosen.max_bytes),
        lease_seconds=chosen.lease_seconds,
        decode_threads=chosen.decode_threads or None,
    )
    return Inspector(open_database(chosen.effective_database_url), workplace)


def judge(score: float, held: Claim) -> tuple[str, Disposition]:
    """(label, disposition) of a score by the job's operating point."""
    label = held.positive_class if score >= held.fail_from else held.negative_class
    if score < held.pass_below:
        return label, Disposition.PASS
    return label, Disposition.FAIL if score >= held.fail_from else Disposition.REVIEW


def _result(held: Claim, path: str, outcome: ImageScore, runtime: TorchRuntime, worker: str) -> NewResult:
    label, disposition = (None, Disposition.UNREADABLE) if outcome.score is None else judge(outcome.score, held)
    return NewResult(
        path=path,
        sha256=outcome.sha256,
        size=outcome.size,
        width=outcome.width,
        height=outcome.height,
        score=outcome.score,
        label=label,
        disposition=disposition,
        reason_code=outcome.reason,
        detail=outcome.detail,
        checkpoint_id=held.checkpoint_id,
        operating_point_id=held.operating_point_id,
        engine=runtime.engine,
        precision=runtime.precision,
        device=runtime.device,
        worker=worker,
    )


def _outside(index: int) -> ImageScore:
    return ImageScore(
        index=index,
        sha256=None,
        size=None,
        width=None,
        height=None,
        score=None,
        reason=Reason.OUTSIDE_ROOT.value,
        detail="a symbolic link that leads out of the submitted folder",
    )


def _is_away(root: bytes) -> bool:
    """A folder that is not mounted is missing, or an empty mount point."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def _is_beneath(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def _counted(rows: list[NewResult]) -> str:
    counts = Counter(row.disposition for row in rows)
    return ", ".join(f"{counts[disposition]} {disposition}" for disposition in Disposition if counts[disposition])


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
