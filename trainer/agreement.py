"""Do reviewers agree with themselves, with each other and with what is known, and does the model?

An attribute agreement analysis, in the words of the Automotive Industry Action Group's manual "Measurement Systems
Analysis" (4th edition, 2010, chapter III, section C). How what is neither PASS nor FAIL is counted:
- UNSURE, and the model's REVIEW, is not right: it costs effectiveness.
- It is no miss, since the part does not pass, and no false alarm, since the part does not fail; but it stands among the
  opportunities for both.
- For kappa it is a third word.
Rates have exact bounds, as if one person's answers about one image in several trials told as much as answers about
several images; they tell less, so bounds of rates of answers are narrower than they should be.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from trainer.bounds import Bounds, exact_bounds
from trainer.kappa import cohen_kappa, fleiss_kappa

PASS, FAIL = "PASS", "FAIL"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One image: what is known of it, what the model said, and what each reviewer did in each trial."""

    reference: str | None
    verdict: str
    answers: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share, with its exact two-sided 95% bounds."""

    found: int
    of: int
    value: float
    bounds: Bounds


@dataclass(frozen=True, kw_only=True)
class Against:
    """How somebody's answers are against the reference. None where there is nothing to count, or no kappa."""

    effectiveness: Rate | None  # images answered rightly in all trials
    miss_rate: Rate | None  # answers PASS about defective images
    false_alarm_rate: Rate | None  # answers FAIL about good images
    kappa: float | None  # between answers and reference


@dataclass(frozen=True, kw_only=True)
class Reviewer:
    """One reviewer: alone, and against the reference."""

    repeatability: Rate | None  # images with the same answer in all trials; None of a single trial
    kappa: float | None  # between the first two trials
    against: Against


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a study came to."""

    by_majority: bool  # nothing was known: the reference is what more than half of the answers say
    references: Sequence[str | None]  # by which all are judged, image by image; None: there is none
    reviewers: Mapping[str, Reviewer]
    model: Against
    all_agree: Rate  # images about which all reviewers said the same in all trials
    pairs: Mapping[tuple[str, str], float | None]  # Cohen's kappa of each two, over all trials
    fleiss: Sequence[float | None]  # of all reviewers, in each trial


def agreement(images: Sequence[Judged]) -> Agreement:
    """Everything, of n >= 1 images that all reviewers have answered about in every trial."""
    by_majority = all(image.reference is None for image in images)
    references = [_majority(image) if by_majority else image.reference for image in images]
    names, trials = list(images[0].answers), len(next(iter(images[0].answers.values())))
    unanimous = sum(len({word for some in image.answers.values() for word in some}) == 1 for image in images)
    return Agreement(
        by_majority=by_majority,
        references=references,
        reviewers={name: _reviewer([image.answers[name] for image in images], references) for name in names},
        model=_against([[image.verdict] for image in images], references),
        all_agree=_rate_of(unanimous, len(images)),
        pairs={
            (one, other): cohen_kappa(
                pair for image in images for pair in zip(image.answers[one], image.answers[other], strict=True)
            )
            for one, other in combinations(names, 2)
        },
        fleiss=[
            fleiss_kappa([[image.answers[name][at] for name in names] for image in images]) for at in range(trials)
        ],
    )


def _majority(image: Judged) -> str | None:
    """What more than half of all answers say, if that is PASS or FAIL."""
    answers = [word for some in image.answers.values() for word in some]
    word, times = Counter(answers).most_common(1)[0]
    return word if 2 * times > len(answers) and word in (PASS, FAIL) else None


def _reviewer(answers: Sequence[Sequence[str]], references: Sequence[str | None]) -> Reviewer:
    several = len(answers[0]) > 1
    same = sum(len(set(some)) == 1 for some in answers)
    return Reviewer(
        repeatability=_rate(same, len(answers)) if several else None,
        kappa=cohen_kappa((some[0], some[1]) for some in answers) if several else None,
        against=_against(answers, references),
    )


def _against(answers: Sequence[Sequence[str]], references: Sequence[str | None]) -> Against:
    """`answers`: of each image those of all trials."""
    known = [(some, reference) for some, reference in zip(answers, references, strict=True) if reference is not None]
    said = [(word, reference) for some, reference in known for word in some]
    of_defective = [word for word, reference in said if reference == FAIL]
    of_good = [word for word, reference in said if reference == PASS]
    return Against(
        effectiveness=_rate(sum(set(some) == {reference} for some, reference in known), len(known)),
        miss_rate=_rate(of_defective.count(PASS), len(of_defective)),
        false_alarm_rate=_rate(of_good.count(FAIL), len(of_good)),
        kappa=cohen_kappa(said),
    )


def _rate(found: int, of: int) -> Rate | None:
    return _rate_of(found, of) if of else None


def _rate_of(found: int, of: int) -> Rate:
    return Rate(found=found, of=of, value=found / of, bounds=exact_bounds(found, of))
