"""Is a rate that a person asks for shown by an evaluation, and could its images show it at all?

Shown is what the exact one-sided 95% bound keeps, not what the rate on these images happens to be. Asked is the model
as its scans are judged: by its current operating point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from console.terminal import shown
from db import operating_points
from db.engine import Session
from db.models import Checkpoint
from trainer.bounds import upper_bound
from trainer.dataset import Sample
from trainer.evaluation import JudgedImage
from trainer.operating_point import Limits, mistakes_allowed, outcome


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which rates a person asks to be shown; None: not asked."""

    max_miss_rate: float | None = None  # is it shown that of the defective parts no more pass?
    max_false_alarm_rate: float | None = None  # and of the good ones no more fail?


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What an evaluation says about one of them."""

    name: str  # miss_rate or false_alarm_rate
    target: float
    wrong: int
    images: int
    bound: float

    @property
    def shown(self) -> bool:
        return self.bound <= self.target

    def __str__(self) -> str:
        verdict = "shown" if self.shown else "NOT shown"
        return (
            f"{self.name.replace('_', ' ')} of at most {self.target:g}: {verdict} ({self.wrong} of {self.images}, with "
            f"95% confidence at most {self.bound:.4g})"
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found, and by which limits. A part in REVIEW is neither missed nor a false alarm."""

    operating_point: int
    pass_below: float
    fail_from: float
    approval: str  # who answers for the limits, or that nobody does
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        review = "" if self.pass_below == self.fail_from else ", REVIEW between"
        limits = f"PASS below {self.pass_below!r}, FAIL from {self.fail_from!r}{review}"
        return "\n".join(
            [f"by operating point {self.operating_point}, {limits} ({shown(self.approval)}):", *map(str, self.findings)]
        )


def refuse_too_few(samples: Sequence[Sample], split: str, question: Question) -> None:
    """Raises TargetRefused where so few images could not show it even without a mistake."""
    defective = sum(sample.is_defective for sample in samples)
    for target, images, what in (
        (question.max_miss_rate, defective, "defective"),
        (question.max_false_alarm_rate, len(samples) - defective, "good"),
    ):
        if target is not None:
            mistakes_allowed(images, target, f"{what} {split}".removesuffix(" all"))


def answered(
    session: Session, checkpoint: Checkpoint, images: Sequence[JudgedImage], question: Question
) -> Answer | None:
    """What the judged images say of each rate that is in question; None where none is."""
    point = operating_points.current(session, checkpoint)
    found = outcome(
        np.array([image.is_defective for image in images], dtype=bool),
        np.array([image.score for image in images], dtype=np.float64),
        Limits(pass_below=point.pass_below, fail_from=point.fail_from),
    )
    findings = tuple(
        Finding(name=name, target=target, wrong=wrong, images=of, bound=upper_bound(wrong, of))
        for name, target, wrong, of in (
            ("miss_rate", question.max_miss_rate, found.missed, found.defective),
            ("false_alarm_rate", question.max_false_alarm_rate, found.alarms, found.good),
        )
        if target is not None
    )
    if not findings:
        return None
    return Answer(
        operating_point=point.id,
        pass_below=point.pass_below,
        fail_from=point.fail_from,
        approval=operating_points.approval_words(point),
        findings=findings,
    )
