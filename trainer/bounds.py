"""How sure is a figure, having been measured on so few images?

Rates get exact (Clopper-Pearson) bounds. What is computed from scores gets bootstrap bounds. Reported bounds are
two-sided at 95%; a *target* is about one side only, and is met where the one-sided 95% bound meets it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

CONFIDENCE = 0.95
RESAMPLES = 1000
_SEED = 20_210  # the same scores, the same bounds
_WEIGHTS_AT_ONCE = 2**22  # numbers, 32 MiB

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Lower and upper 95% confidence limit of one figure, two-sided."""

    lcl: float
    ucl: float


def exact_bounds(found: int, of: int, confidence: float = CONFIDENCE) -> Bounds:
    """Clopper-Pearson bounds of the rate found / of, `of` >= 1 (Clopper and Pearson 1934, Biometrika 26:404)."""
    tail = (1 - confidence) / 2
    return Bounds(lcl=_lower(found, of, tail), ucl=_upper(found, of, tail))


def paired_difference_bounds(both: int, only_first: int, only_second: int, neither: int) -> Bounds:
    """Bounds of the second's rate less the first's, of the same images: how many have what is counted by which.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Statistics in Medicine 17:2635, method 10: score intervals, joined with the correlation of the pairs.
    """
    of = both + only_first + only_second + neither
    first, second = _score_bounds(both + only_first, of), _score_bounds(both + only_second, of)
    rates = (both + only_first) / of, (both + only_second) / of
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    surplus = both * neither - only_first * only_second
    correlation = (max(surplus - of / 2, 0) if surplus > 0 else surplus) / math.sqrt(margins) if margins else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))

    difference = rates[1] - rates[0]
    return Bounds(
        lcl=difference - reach(rates[1] - second.lcl, first.ucl - rates[0]),
        ucl=difference + reach(second.ucl - rates[1], rates[0] - first.lcl),
    )


def _score_bounds(found: int, of: int) -> Bounds:
    """Wilson's score interval of the rate found / of (1927, Journal of the American Statistical Association 22:209)."""
    z = float(ndtri((1 + CONFIDENCE) / 2))
    rate, spread = found / of, z * math.sqrt(found * (of - found) / of + z**2 / 4)
    return Bounds(
        lcl=max(0.0, (rate * of + z**2 / 2 - spread) / (of + z**2)),
        ucl=min(1.0, (rate * of + z**2 / 2 + spread) / (of + z**2)),
    )


def lower_bound(found: int, of: int) -> float:
    """The exact one-sided 95% lower bound of the rate found / of; 0 of 0 images says nothing: 0."""
    return _lower(found, of, 1 - CONFIDENCE)


def upper_bound(found: int, of: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided upper bound of the rate found / of; 0 of 0 images says nothing: 1."""
    return _upper(found, of, 1 - confidence)


def images_needed(target: float) -> int:
    """Of how many images none may be wrong so that the one-sided 95% upper bound is at most `target`, 0 < target < 1.

    The smallest n with (1 - target) ** n <= 0.05: 59 for 5%, 299 for 1%.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-target) - 1e-9)


def most_wrong(of: int, target: float) -> int | None:
    """How many of `of` images may be wrong at most so that the one-sided bound meets `target`; None: not even 0."""
    if upper_bound(0, of) > target:
        return None
    low, high = 0, of  # upper_bound(low) meets it; that of all being wrong, which is 1, does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if upper_bound(middle, of) <= target else (low, middle)
    return low


@dataclass(frozen=True, kw_only=True)
class RankingBounds:
    """Bootstrap bounds of what is computed from truth and scores. None: every resample gave the same figure.

    That is so of a perfect ranking, which a bootstrap can say nothing about.
    """

    auroc: Bounds | None
    average_precision: Bounds | None


def ranking_bounds(truth: Bools, scores: Floats) -> RankingBounds:
    """Percentile bounds over RESAMPLES bootstrap samples, drawn within each class so that neither ever is empty."""
    auroc, average_precision = _resampled(truth, _ranking(truth, scores))
    return RankingBounds(auroc=_percentiles(auroc), average_precision=_percentiles(average_precision))


def auroc_difference(truth: Bools, first: Floats, second: Floats) -> tuple[float, Bounds | None]:
    """By how much the second scores' AUROC is higher than the first's on the same images, with bootstrap bounds.

    Drawn as for `ranking_bounds`, the same images for both; None where every resample gave the same.
    """
    ranks = _ranking(truth, first), _ranking(truth, second)

    def difference(weights: Floats) -> tuple[Floats]:
        return (ranks[1](weights)[0] - ranks[0](weights)[0],)

    return float(difference(np.ones((1, truth.size)))[0][0]), _percentiles(_resampled(truth, difference)[0])


def _ranking(truth: Bools, scores: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """What gives AUROC and average precision of rows of weights, one for each image."""
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where each group of equal scores begins

    def figures(weights: Floats) -> tuple[Floats, Floats]:
        weighted = weights[:, order]
        defective = np.add.reduceat(weighted * truth[order], ties, axis=1)
        good = np.add.reduceat(weighted * ~truth[order], ties, axis=1)
        # From the highest score down: of the images so far, and of those above this group.
        found = np.cumsum(defective[:, ::-1], axis=1)[:, ::-1]
        predicted = found + np.cumsum(good[:, ::-1], axis=1)[:, ::-1]
        above = found - defective
        total = found[:, :1]
        auroc = ((above + defective / 2) * good).sum(axis=1) / (total[:, 0] * good.sum(axis=1))
        precision = np.divide(found, predicted, out=np.zeros_like(found), where=predicted > 0)
        return auroc, (precision * defective).sum(axis=1) / total[:, 0]

    return figures


def f1_bounds(truth: Bools, predicted: Bools) -> Bounds | None:
    """Bootstrap bounds of the F1 of `truth`, drawn as for `ranking_bounds`; None where every resample gave the same."""

    def figures(weights: Floats) -> tuple[Floats]:
        both = weights @ (truth & predicted).astype(float)
        either = weights @ truth.astype(float) + weights @ predicted.astype(float)
        return (np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0),)

    return _percentiles(_resampled(truth, figures)[0])


def _resampled(truth: Bools, figures: Callable[[Floats], tuple[Floats, ...]]) -> tuple[Floats, ...]:
    """`figures` of RESAMPLES rows of weights: how often a resample holds each image."""
    generator = np.random.default_rng(_SEED)
    rows = max(1, _WEIGHTS_AT_ONCE // truth.size)
    parts = []
    for first in range(0, RESAMPLES, rows):
        weights = np.zeros((min(rows, RESAMPLES - first), truth.size))
        for side in (truth, ~truth):
            count = int(side.sum())
            if count:
                weights[:, side] = generator.multinomial(count, np.full(count, 1 / count), size=len(weights))
        parts.append(figures(weights))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _percentiles(figures: Floats) -> Bounds | None:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(figures, [tail, 100 - tail])
    return None if np.ptp(figures) < 1e-12 else Bounds(lcl=float(low), ucl=float(high))


def _lower(found: int, of: int, tail: float) -> float:
    return 0.0 if found == 0 else float(betaincinv(found, of - found + 1, tail))


def _upper(found: int, of: int, tail: float) -> float:
    return 1.0 if found >= of else float(betaincinv(found + 1, of - found, 1 - tail))
