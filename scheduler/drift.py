"""Does this job look like what its model was judged on?

A line does not make a third of its parts defective, as an evaluation's images often are. So the job's scores are not
compared with the evaluation's, but with the mixture of what the model said of defective and of good ones that fits
them best: whatever the share of defects, a job of such parts, photographed in such a way, looks like one.

An alarm takes an effect that matters and that chance does not make. Effect: a population stability index of 0.25
(Siddiqi 2006, "Credit Risk Scorecards"), the same as half a standard deviation of normal scores, for which the
distance of Kolmogorov and Smirnov is 0.2. Chance: the index by its distribution where nothing has changed (Yurdakul
2018, "Statistical Properties of Population Stability Index"), the distance by Smirnov's, the share of images far
from anything seen by Fisher's exact test, each at 1%.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from db.drift import Counts, Reference

FEWEST = 30  # images, of the job and of the evaluation: of fewer nothing can be told
PSI = 0.25
DISTANCE = 0.2
FAR_SHARE = 0.02  # by which the share of far images has to exceed the evaluation's

BINS = 10  # of the index, at most
_FEWEST_IN_A_BIN = 10
_FEWEST_TO_FIT = 5  # images of the rarer class for each bin
# 99% quantiles of chi-squared with 1, 2, … degrees of freedom.
_CHI2_99 = (6.635, 9.210, 11.345, 13.277, 15.086, 16.812, 18.475, 20.090, 21.666)
_SMIRNOV_99 = 1.628
_CHANCE = 0.01


class Likeness(StrEnum):
    """What came of a comparison."""

    ALIKE = "alike"
    DIFFERENT = "different"
    TOO_FEW = "too few"
    NO_REFERENCE = "no reference"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A job beside its model's evaluation."""

    likeness: Likeness
    reasons: tuple[str, ...]  # what is different, each as the end of a sentence
    images: int  # of the job, with a score
    reference_images: int
    prevalence: float  # share of defective images whose mixture fits the job best
    plain_psi: float  # of the job's scores and the evaluation's as they are
    psi: float  # of the job's scores and the mixture's
    psi_limit: float
    ks: float
    ks_limit: float
    far: float | None  # share of images far from anything seen in training; None where that is not known
    reference_far: float | None  # of the mixture


def compare(job: Counts, reference: Reference) -> Comparison:
    """Whether the job's scores and novelties could be of the same kind of images as the evaluation's.

    Of no image at all the figures are zeros.
    """
    defective, good = reference.defective, reference.good
    prevalence = fitting_prevalence(job.cells, defective.cells, good.cells)
    expected = _mixture(prevalence, defective.cells, good.cells)
    images, others = job.images, _worth(prevalence, defective.images, good.images)
    psi, bins = stability_index(job.cells, expected, others)
    ks = distance(job.cells, expected)
    chance = 1 / max(images, 1) + 1 / max(others, 1)
    psi_limit = max(PSI, chance * _CHI2_99[bins - 2])
    ks_limit = max(DISTANCE, _SMIRNOV_99 * math.sqrt(chance))
    far, reference_far = _share(job.far, job.with_novelty), _expected_far(prevalence, reference)
    reasons = []
    if far is not None and reference_far is not None:
        known = _worth(prevalence, defective.with_novelty, good.with_novelty)
        by_chance = chance_of_as_many(job.far, job.with_novelty, round(reference_far * known), round(known))
        if far - reference_far >= FAR_SHARE and by_chance < _CHANCE:
            reasons.append(
                f"{_percent(far)} of the images are far from anything seen in training "
                f"(evaluation: {_percent(reference_far)})"
            )
    if psi >= psi_limit or ks >= ks_limit:
        reasons.append(
            "the scores are spread in another way than any share of defects explains "
            f"(stability index {psi:.2f}, limit {psi_limit:.2f}; distance {ks:.2f}, limit {ks_limit:.2f})"
        )
    reference_images = defective.images + good.images
    likeness = Likeness.DIFFERENT if reasons else Likeness.ALIKE
    if images < FEWEST or reference_images < FEWEST:
        likeness, reasons = Likeness.TOO_FEW, []
    plain = tuple(sum(pair) for pair in zip(defective.cells, good.cells, strict=True))
    return Comparison(
        likeness=likeness,
        reasons=tuple(reasons),
        images=images,
        reference_images=reference_images,
        prevalence=prevalence,
        plain_psi=stability_index(job.cells, _shares(plain), reference_images)[0],
        psi=psi,
        psi_limit=psi_limit,
        ks=ks,
        ks_limit=ks_limit,
        far=far,
        reference_far=reference_far,
    )


def fitting_prevalence(job: Sequence[int], defective: Sequence[int], good: Sequence[int]) -> float:
    """The share of defective images under which the job's scores are likeliest; counts by cell.

    Cells are joined until they hold enough labelled images: from the gaps between a few scores nothing follows. The
    likelihood has one peak, so its slope is halved down. 0 or 1 where the evaluation has one class alone.
    """
    if not sum(defective) or not sum(good):
        return 1.0 if sum(defective) else 0.0
    fewer = min(sum(defective), sum(good))
    bins = _joined(_mixture(0.5, defective, good), max(2, min(BINS, fewer // _FEWEST_TO_FIT)))
    pairs = []
    for cells in bins:
        count, found, passed = (sum(counts[cell] for cell in cells) for counts in (job, defective, good))
        # An image more of either class, spread over the bins: a score that none had must not decide alone.
        high, low = ((part + 1 / len(bins)) / (sum(of) + 1) for part, of in ((found, defective), (passed, good)))
        pairs.append((count, high, low))

    def slope(share: float) -> float:
        return sum(count * (high - low) / (share * high + (1 - share) * low) for count, high, low in pairs)

    below, above = 0.0, 1.0
    if slope(below) <= 0:
        return below
    if slope(above) >= 0:
        return above
    for _ in range(40):
        middle = (below + above) / 2
        below, above = (middle, above) if slope(middle) > 0 else (below, middle)
    return (below + above) / 2


def _joined(shares: Sequence[float], wanted: int) -> list[range]:
    """The cells in at most so many bins of about equal shares, each bin as the range of its cells."""
    ends, here = [], 0.0
    for cell, share in enumerate(shares, start=1):
        here += share
        if here >= 1 / wanted:
            ends.append(cell)
            here = 0.0
    if not ends or here >= 0.5 / wanted:
        ends.append(len(shares))
    ends[-1] = len(shares)
    return [range(first, last) for first, last in zip([0, *ends], ends, strict=False)]


def stability_index(job: Sequence[int], expected: Sequence[float], others: float) -> tuple[float, int]:
    """(the population stability index, its bins): the job's counts by cell, and the shares they are compared with.

    `others`: as many images as those shares are worth. Cells are joined to bins of about equal shares, at most ten and
    with ten images each; half an image is added to each, since the logarithm of nothing is none.
    """
    images = sum(job)
    bins = _joined(expected, max(2, min(BINS, int(min(images, others) / _FEWEST_IN_A_BIN))))
    index = 0.0
    for cells in bins:
        count, share = (sum(values[cell] for cell in cells) for values in (job, expected))
        here = (count + 0.5) / (images + 0.5 * len(bins))
        there = (share * others + 0.5) / (others + 0.5 * len(bins))
        index += (here - there) * math.log(here / there)
    return index, max(len(bins), 2)


def distance(job: Sequence[int], expected: Sequence[float]) -> float:
    """The largest difference between the two cumulated shares, at the edges of the cells; 0 of no images."""
    images, largest, difference = sum(job), 0.0, 0.0
    for count, share in zip(job, expected, strict=True):
        difference += (count / images if images else share) - share
        largest = max(largest, abs(difference))
    return largest


def chance_of_as_many(part: int, whole: int, other_part: int, other_whole: int) -> float:
    """How likely `part` or more of `whole` are, where both shares are one: Fisher's exact test, one-sided."""
    both, everything = part + other_part, whole + other_whole
    most = min(both, whole)
    logarithm = _log_choose(both, part) + _log_choose(everything - both, whole - part) - _log_choose(everything, whole)
    term = total = math.exp(logarithm)
    for more in range(part, most):
        term *= (both - more) * (whole - more) / ((more + 1) * (everything - both - whole + more + 1))
        total += term
        if term < total * 1e-9:
            break
    return min(total, 1.0)


def _log_choose(of: int, these: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(these + 1) - math.lgamma(of - these + 1)


def _mixture(prevalence: float, defective: Sequence[int], good: Sequence[int]) -> list[float]:
    pairs = zip(_shares(defective), _shares(good), strict=True)
    return [prevalence * high + (1 - prevalence) * low for high, low in pairs]


def _shares(counts: Sequence[int]) -> list[float]:
    images = max(sum(counts), 1)
    return [count / images for count in counts]


def _worth(prevalence: float, defective: int, good: int) -> float:
    """How many images of one kind would tell a share as exactly as the mixture of so many of two kinds does."""
    parts = [(prevalence, defective), (1 - prevalence, good)]
    variance = sum(share**2 / images for share, images in parts if images)
    return 1 / variance if variance else 0.0


def _expected_far(prevalence: float, reference: Reference) -> float | None:
    """Of the mixture; None where it is not known."""
    parts = [(prevalence, reference.defective), (1 - prevalence, reference.good)]
    shares = [(weight, _share(counts.far, counts.with_novelty)) for weight, counts in parts if weight]
    known = [weight * share for weight, share in shares if share is not None]
    return sum(known) if len(known) == len(shares) else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"
