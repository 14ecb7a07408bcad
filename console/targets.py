"""What is a model worth by the limits that its scans are judged by: is a rate shown, and could its images show it?

Shown is what the exact one-sided 95% bound keeps, not what the rate on these images happens to be. Asked is the model
as its scans are judged: by its current operating point, or by another one that the person names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from console.terminal import shown
from db.models import OperatingPoint
from db.operating_points import approval_words
from trainer.bounds import upper_bound
from trainer.dataset import Sample
from trainer.evaluation import JudgedImage
from trainer.operating_point import Limits, Outcome, mistakes_allowed, outcome
from trainer.prevalence import AtPrevalence, at_prevalence


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asks of an evaluation beside its figures; None: not asked."""

    prevalence: float | None = None  # what the verdicts are worth where so many of the parts are defective
    max_miss_rate: float | None = None  # is it shown that of the defective parts no more pass?
    max_false_alarm_rate: float | None = None  # and of the good ones no more fail?

    @property
    def asks(self) -> bool:
        return self != Question()


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


def refuse_too_few(samples: Sequence[Sample], split: str, question: Question) -> None:
    """Raises TargetRefused where so few images could not show it even without a mistake."""
    defective = sum(sample.is_defective for sample in samples)
    for target, images, what in (
        (question.max_miss_rate, defective, "defective"),
        (question.max_false_alarm_rate, len(samples) - defective, "good"),
    ):
        if target is not None:
            mistakes_allowed(images, target, f"{what} {split}".removesuffix(" all"))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an evaluation says to a question, at the limits of an operating point."""

    operating_point: int
    approval: str
    limits: Limits
    outcome: Outcome
    prevalence: float | None
    there: AtPrevalence | None  # None: not asked, or a class is missing
    findings: tuple[Finding, ...]

    @property
    def all_shown(self) -> bool:
        return all(found.shown for found in self.findings)

    def printed(self) -> list[str]:
        """For a person."""
        found, limits = self.outcome, self.limits
        reviewed = found.defective_reviewed + found.good_reviewed
        lines = [
            f"by operating point {self.operating_point} (PASS below {limits.pass_below!r}, FAIL from "
            f"{limits.fail_from!r}; {shown(self.approval)}): {found.missed} of {found.defective} defective passed, "
            f"{found.alarms} of {found.good} good failed, {reviewed} to review"
        ]
        if self.prevalence is not None:
            lines.append(_worth(self.prevalence, self.there))
        return [*lines, *map(str, self.findings)]


def answer(images: Sequence[JudgedImage], point: OperatingPoint, question: Question) -> Answer:
    """What these judged images say, by the point's limits and not by the 0.5 of the confusion matrix."""
    limits = Limits(pass_below=point.pass_below, fail_from=point.fail_from)
    truth = np.array([image.is_defective for image in images], dtype=bool)
    found = outcome(truth, np.array([image.score for image in images], dtype=np.float64), limits)
    return Answer(
        operating_point=point.id,
        approval=approval_words(point),
        limits=limits,
        outcome=found,
        prevalence=question.prevalence,
        there=None if question.prevalence is None else at_prevalence(found, question.prevalence),
        findings=tuple(
            Finding(name=name, target=target, wrong=wrong, images=images, bound=upper_bound(wrong, images))
            for name, target, wrong, images in (
                ("miss_rate", question.max_miss_rate, found.missed, found.defective),
                ("false_alarm_rate", question.max_false_alarm_rate, found.alarms, found.good),
            )
            if target is not None
        ),
    )


def _worth(prevalence: float, there: AtPrevalence | None) -> str:
    if there is None:
        return f"at a prevalence of {prevalence:.4%} nothing can be said: one class is missing"
    escapes, precision = there.escapes_ppm_bounds, there.precision_bounds
    escaping = "none passes"
    if there.escapes_ppm is not None:
        escaping = f"{there.escapes_ppm:,.0f} of a million passed would be ({escapes.lcl:,.0f} to {escapes.ucl:,.0f})"
    return (
        f"where {prevalence:.4g} of the parts are defective: {escaping}, and "
        f"{'none' if there.precision is None else f'{there.precision:.1%}'} of the rejected "
        f"({precision.lcl:.1%} to {precision.ucl:.1%})"
    )
