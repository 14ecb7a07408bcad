"""Does the network still say what it said? A job's images, inspected once more, each as its verdict was given.

By the recorded checkpoint and runtime, through the very pipeline of the workers. A file's sha256 is compared before
anything is decoded: other bytes than those that were judged say nothing about the verdict. What only a guarded decoder
survived is decoded under guard again; all else was decoded without one before.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path

from db import replaying, runtimes
from db.engine import Engine, reading
from db.errors import Refused
from db.models import Checkpoint, Disposition, InspectionJob
from db.paths import to_bytes
from db.replaying import GivenBy, Recorded, Wanted
from vision.decode import Limits
from vision.faults import Reason, StorageTrouble
from vision.guard import Guard
from vision.pipeline import Group, ImageScore, score_groups
from vision.reading import InspectedFolder
from vision.runtime import Runtime
from vision.runtimes import FP32_DIFFERENCE, name_of
from worker.choice import recorded_runtime
from worker.verdicts import is_away, judge

# PyTorch's score depends on which images it was computed beside, by 3e-7 where that was measured: 1 to 16 at a time.
SAME_DIFFERENCE = 1e-6
GUARDED = (Reason.CRASHED_WORKER.value, Reason.DECODE_TIMEOUT.value, Reason.DECODE_MEMORY.value)
_OTHER_BYTES = object()


class Found(StrEnum):
    """What a second inspection says about a verdict."""

    SAME = "same"
    UNREADABLE_AGAIN = "unreadable_again"  # for the same reason
    SCORE_CHANGED = "score_changed"
    VERDICT_FLIPPED = "verdict_flipped"
    LABEL_CHANGED = "label_changed"  # the same verdict, but another word for the class is recorded
    ALTERED = "altered"  # other bytes
    MISSING = "missing"
    OTHER_REASON = "other_reason"  # the same bytes are unreadable for another reason, or only then, or only now

    @property
    def confirms(self) -> bool:
        """Whether the verdict stands."""
        return self in (Found.SAME, Found.UNREADABLE_AGAIN)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What verdicts were given by, and what they are replayed by."""

    by: GivenBy
    engine: str
    precision: str
    device: str
    tolerance: float  # difference of two scores up to which they are the same

    @property
    def is_the_recorded(self) -> bool:
        """Whether nothing had to stand in."""
        return (self.by.engine, self.by.precision, self.by.device) == (self.engine, self.precision, self.device)


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """One verdict, then and now."""

    recorded: Recorded
    found: Found
    sha256: str | None  # of the file now
    score: float | None = None
    disposition: Disposition | None = None  # by the recorded limits; None where the bytes are others
    reason: str | None = None  # why it is unreadable now
    detail: str | None = None

    @property
    def difference(self) -> float | None:
        """Of the two scores, where there are two."""
        if self.score is None or self.recorded.score is None:
            return None
        return abs(self.score - self.recorded.score)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where, and within which limits, a job is replayed."""

    engine: Engine
    models_folder: Path
    limits: Limits
    roots: tuple[bytes, ...]
    threads: int | None


def replay(place: Place, job: InspectionJob, paths: Sequence[str] | None) -> Iterator[tuple[Means, Replayed]]:
    """The verdicts of `job` that count, of `paths` or all of them, each with what is said of its image now.

    Raises StorageTrouble where the job's folder is away, OutsideRoots, CheckpointError where the model's file is not
    the recorded one, RuntimeRefused, and Refused where this version does not know the recorded runtime.
    """
    with reading(place.engine) as session:
        everything = replaying.given_by(session, job.id)
    for by in everything:
        opened: tuple[Means, Runtime] | None = None
        for guarded in (False, True):
            pages = replaying.pages(place.engine, job, Wanted(by=by, reasons=GUARDED, among=guarded, paths=paths))
            first = next(pages, None)
            if first is None:
                continue
            means, runtime = opened = opened or _opened(place, job, by)
            for replayed in _inspected(place, job, runtime, means.tolerance, chain([first], pages), guarded):
                yield means, replayed


def compared(recorded: Recorded, outcome: ImageScore, tolerance: float) -> Replayed:
    """What the outcome of a second inspection says about the recorded verdict."""
    now = partial(Replayed, recorded=recorded, sha256=outcome.sha256, reason=outcome.reason, detail=outcome.detail)
    if outcome.reason == Reason.VANISHED and recorded.reason_code != Reason.VANISHED:
        return now(found=Found.MISSING)
    if outcome.sha256 is not None and outcome.sha256 != recorded.sha256:
        return now(found=Found.ALTERED)
    if outcome.score is None:
        again = outcome.reason == recorded.reason_code and recorded.disposition is Disposition.UNREADABLE
        found = Found.UNREADABLE_AGAIN if again else Found.OTHER_REASON
        return now(found=found, disposition=Disposition.UNREADABLE)
    label, disposition = judge(outcome.score, recorded)
    if recorded.score is None:
        found = Found.OTHER_REASON
    elif disposition != recorded.disposition:
        found = Found.VERDICT_FLIPPED
    elif label != recorded.label:
        found = Found.LABEL_CHANGED
    elif abs(outcome.score - recorded.score) > tolerance:
        found = Found.SCORE_CHANGED
    else:
        found = Found.SAME
    return now(found=found, score=outcome.score, disposition=disposition)


def _opened(place: Place, job: InspectionJob, by: GivenBy) -> tuple[Means, Runtime]:
    name = name_of(by.engine, by.precision)
    if name is None:
        raise Refused(
            f"Job {job.id} has verdicts by {by.engine} in {by.precision}, which this version of inspectq does not know."
        )
    with reading(place.engine) as session:
        digest = session.get_one(Checkpoint, by.checkpoint_id).digest
        comparison = runtimes.counted_at(session, by.checkpoint_id, name, job.finished_at or job.submitted_at)
    runtime = recorded_runtime(name, by.device, comparison, place.models_folder, digest)
    if (runtime.engine, runtime.precision, runtime.device, by.device) == (by.engine, by.precision, "cpu", "cpu"):
        tolerance = SAME_DIFFERENCE
    elif by.precision == runtime.precision == "fp32":
        tolerance = FP32_DIFFERENCE
    else:  # as far as the two were from each other when this runtime was accepted
        tolerance = max(FP32_DIFFERENCE, comparison.largest_difference if comparison else 0.0)
    means = Means(by=by, engine=runtime.engine, precision=runtime.precision, device=runtime.device, tolerance=tolerance)
    return means, runtime


def _inspected(
    place: Place,
    job: InspectionJob,
    runtime: Runtime,
    tolerance: float,
    pages: Iterator[list[Recorded]],
    guarded: bool,
) -> Iterator[Replayed]:
    root = to_bytes(job.root)
    with ExitStack() as held:
        folder = held.enter_context(InspectedFolder(root, place.roots))
        guard = held.enter_context(Guard(runtime.preprocessing, place.limits)) if guarded else None
        groups = (
            Group(
                of=page,
                paths=[to_bytes(recorded.path) for recorded in page],
                folder=folder,
                guard=guard,
                known=partial(_other_bytes, frozenset(recorded.sha256 for recorded in page)),
            )
            for page in pages
        )
        threads = place.threads if guard is None else 1
        scored = held.enter_context(closing(score_groups(groups, runtime, limits=place.limits, threads=threads)))
        for group, outcomes in scored:
            for outcome in outcomes:
                replayed = compared(group.of[outcome.index], outcome, tolerance)
                if replayed.found is Found.MISSING and is_away(root):
                    raise StorageTrouble(None, f"the job's folder {job.root} is not there, or empty: is it mounted?")
                yield replayed


def _other_bytes(judged: frozenset[str | None], digests: Sequence[str]) -> Mapping[str, object]:
    """Of these sha256s, those that no verdict is about: such files are not decoded."""
    return {digest: _OTHER_BYTES for digest in digests if digest not in judged}
