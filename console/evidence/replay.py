"""What did a second inspection of a job find, in counts and by name, and who is told that it was made?"""

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from console.terminal import progress_bar, shown
from db import audit, jobs, replaying
from db.engine import Engine, reading, writing
from db.errors import DatabaseNotWritable, Refused
from db.models import OPEN_JOBS, InspectionJob
from db.settings import Settings
from scheduler.submission import person
from worker.inspection import decode_limits
from worker.replay import Found, Means, Place, Replayed, replay

DEFAULT_SAMPLE = 20
MOST_LISTED = 1000
_SEEDS = 1_000_000

_WORDS = {
    Found.SAME: "are judged as before",
    Found.UNREADABLE_AGAIN: "are unreadable for the same reason as before",
    Found.SCORE_CHANGED: "have another score",
    Found.VERDICT_FLIPPED: "have another verdict",
    Found.LABEL_CHANGED: "have the same verdict, but another label",
    Found.ALTERED: "are other bytes than those that were judged",
    Found.MISSING: "are missing",
    Found.OTHER_REASON: "can or cannot be read, otherwise than before",
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Which images are replayed."""

    sample: int | None  # None: all of them
    seed: int | None

    @classmethod
    def of(cls, *, everything: bool, sample: int | None, seed: int | None) -> "Drawn":
        """A seed that nobody gave is drawn: whoever alters a verdict must not know which ones are looked at."""
        if everything:
            return cls(sample=None, seed=None)
        return cls(sample=sample or DEFAULT_SAMPLE, seed=secrets.randbelow(_SEEDS) if seed is None else seed)


@dataclass(kw_only=True)
class Tally:
    """What was found so far; of millions of images as small as of one."""

    job: int
    revision: int
    verdicts: int  # that the job has
    drawn: Drawn
    most_listed: int = MOST_LISTED
    counts: Counter[Found] = field(default_factory=Counter)
    by_means: Counter[Means] = field(default_factory=Counter)
    bit_identical: int = 0
    largest_difference: float = 0.0
    listed: list[Replayed] = field(default_factory=list)
    recorded: bool = False  # as an audit event

    def add(self, means: Means, replayed: Replayed) -> None:
        """Count one image; keep it where its verdict does not stand."""
        self.counts[replayed.found] += 1
        self.by_means[means] += 1
        if (difference := replayed.difference) is not None:
            self.bit_identical += difference == 0
            self.largest_difference = max(self.largest_difference, difference)
        if not replayed.found.confirms and len(self.listed) < self.most_listed:
            self.listed.append(replayed)

    @property
    def replayed(self) -> int:
        """Images."""
        return self.counts.total()

    @property
    def refuted(self) -> int:
        """Images whose verdict does not stand."""
        return sum(number for found, number in self.counts.items() if not found.confirms)

    def fields(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "job": self.job,
            "revision": self.revision,
            "verdicts": self.verdicts,
            "sample": self.drawn.sample,
            "seed": self.drawn.seed,
            "replayed": self.replayed,
            "confirmed": self.refuted == 0,
            "counts": self._counted(),
            "bit_identical": self.bit_identical,
            "largest_difference": self.largest_difference,
            "means": [_means(means, images) for means, images in self.by_means.items()],
            "differences": [_difference(each) for each in self.listed],
            "differences_left_out": self.refuted - len(self.listed),
            "recorded": self.recorded,
        }

    def printed(self) -> str:
        """For a person: what was done, what was found, and with what."""
        which = "all of them" if self.drawn.sample is None else f"a sample of {self.replayed}, seed {self.drawn.seed}"
        lines = [f"Job {self.job}, revision {self.revision}: {self.verdicts} images, replayed {which}"]
        lines += [f"{self.counts[found]:>8} {words}" for found, words in _WORDS.items() if self.counts[found]]
        if self.counts[Found.SAME]:
            lines.append(
                f"{self.bit_identical} scores are the same bit for bit; the largest difference is "
                f"{self.largest_difference:.1e}"
            )
        return "\n".join(lines + [_told(means, images) for means, images in self.by_means.items()])

    def table(self) -> list[dict[str, Any]]:
        """A row for each image whose verdict does not stand."""
        return [
            {
                "path": each.recorded.path,
                "found": each.found.value,
                "then": _verdict(each.recorded.disposition.value, each.recorded.score, each.recorded.reason_code),
                "now": _now(each),
            }
            for each in self.listed
        ]

    def record(self, engine: Engine) -> None:
        """As an event of the audit chain, where this account may write."""
        with writing(engine) as session:
            audit.record(
                session,
                actor=person(),
                action="job.replay",
                subject=f"job:{self.job}",
                revision=self.revision,
                sample=self.drawn.sample,
                seed=self.drawn.seed,
                replayed=self.replayed,
                **self._counted(),
            )
        self.recorded = True

    def _counted(self) -> dict[str, int]:
        return {found.value: self.counts[found] for found in Found}


def replayed(engine: Engine, chosen: Settings, job: int, drawn: Drawn, most_listed: int) -> Tally:
    """Replay what is drawn of `job`, and record that in the audit chain.

    Raises Refused where the job goes on or has no verdict, and what `worker.replay.replay` raises.
    """
    found, verdicts = _ended(engine, job)
    paths = None
    if drawn.sample is not None and drawn.seed is not None:
        with reading(engine) as session:
            paths = replaying.sample(session, job, drawn.sample, drawn.seed)
    place = Place(
        engine=engine,
        models_folder=chosen.models_folder,
        limits=decode_limits(chosen),
        roots=chosen.root_folders,
        threads=chosen.decode_threads or None,
    )
    tally = Tally(job=job, revision=found.revision, verdicts=verdicts, drawn=drawn, most_listed=most_listed)
    with progress_bar() as progress:
        task = progress.add_task("Inspecting again", total=verdicts if paths is None else len(paths))
        for means, each in replay(place, found, paths):
            tally.add(means, each)
            progress.advance(task)
    try:
        tally.record(engine)
    except DatabaseNotWritable:  # an auditor's account: the answer is theirs all the same
        tally.recorded = False
    return tally


def _ended(engine: Engine, job: int) -> tuple[InspectionJob, int]:
    with reading(engine) as session:
        found = jobs.get(session, job)
        if found.state in OPEN_JOBS:
            raise Refused(f"Job {job} is {found.state.value}: it can be replayed when it has ended.")
        ledger = jobs.ledger(session, job)
    verdicts = ledger.passed + ledger.failed + ledger.review + ledger.unreadable
    if not verdicts:
        raise Refused(f"Job {job} is {found.state.value} and has no verdict that could be replayed.")
    return found, verdicts


def _means(means: Means, images: int) -> dict[str, Any]:
    return {
        "images": images,
        "engine": means.by.engine,
        "precision": means.by.precision,
        "device": means.by.device,
        "as_recorded": means.is_the_recorded,
        "replayed_engine": means.engine,
        "replayed_precision": means.precision,
        "replayed_device": means.device,
        "tolerance": means.tolerance,
    }


def _told(means: Means, images: int) -> str:
    then = f"{means.by.engine} {means.by.precision} on {means.by.device}"
    instead = "" if means.is_the_recorded else f"; HERE BY {means.engine} {means.precision} on {means.device} INSTEAD"
    within = f"scores within {means.tolerance:.1g} are the same"
    return f"{images} given by {shown(then)}{shown(instead)}: {within}"


def _difference(each: Replayed) -> dict[str, Any]:
    then = each.recorded
    return {
        "path": then.path,
        "found": each.found.value,
        "sha256": then.sha256,
        "sha256_now": each.sha256,
        "score": then.score,
        "score_now": each.score,
        "disposition": then.disposition.value,
        "disposition_now": None if each.disposition is None else each.disposition.value,
        "reason_code": then.reason_code,
        "reason_code_now": each.reason,
        "detail_now": each.detail,
    }


def _now(each: Replayed) -> str:
    match each.found:
        case Found.ALTERED:
            return f"sha256 {(each.sha256 or '')[:12]} instead of {(each.recorded.sha256 or 'none')[:12]}"
        case Found.MISSING:
            return "the file is not there"
        case _:
            return _verdict(each.disposition.value if each.disposition else "", each.score, each.reason)


def _verdict(disposition: str, score: float | None, reason: str | None) -> str:
    return f"{disposition} {reason}" if score is None else f"{disposition} {score!r}"
