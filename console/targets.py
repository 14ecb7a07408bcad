"""Is a rate that a person asks for shown by an evaluation, and could its images show it at all?

Shown is what the exact one-sided 95% bound keeps, not what the rate on these images happens to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.bounds import upper_bound
from trainer.dataset import Sample
from trainer.metrics import Metrics
from trainer.operating_point import mistakes_allowed


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asks of an evaluation beside its figures; None: not asked."""

    prevalence: float | None = None  # what the verdicts are worth where so many of the parts are defective
    max_miss_rate: float | None = None  # is it shown that of the defective parts no more are called good?
    max_false_alarm_rate: float | None = None  # and of the good ones no more defective?


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


def findings(metrics: Metrics, question: Question) -> list[Finding]:
    """What was found, for each rate that is question."""
    (tp, fn), (fp, tn) = metrics.confusion_rows()
    return [
        Finding(name=name, target=target, wrong=wrong, images=images, bound=upper_bound(wrong, images))
        for name, target, wrong, images in (
            ("miss_rate", question.max_miss_rate, fn, tp + fn),
            ("false_alarm_rate", question.max_false_alarm_rate, fp, fp + tn),
        )
        if target is not None
    ]
