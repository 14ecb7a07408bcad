"""Is one model better than another on the same images, or does it only look so?

Both judge the same images, so what tells them apart are the images on which they differ: McNemar's test asks whether
as many turn out in favour of the one as of the other, and bounds of a difference know of the pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from trainer.bounds import Bounds, auroc_difference, paired_difference_bounds
from trainer.operating_point import Limits

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Who makes which mistakes on the same images. The models are the first and the second."""

    images: int
    both: int  # images on which both make it
    only_first: int
    only_second: int
    p_value: float  # exact, two-sided (McNemar 1947, Psychometrika 12:153); 1 where they differ on no image
    difference: float | None  # the second's rate less the first's; None of no images
    bounds: Bounds | None  # of the difference, 95%


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same labelled images, each at its own limits. A part in REVIEW is nobody's mistake."""

    misses: Paired  # of the defective images, those that pass
    false_alarms: Paired  # of the good images, those that fail
    mistakes: Paired  # of all
    auroc_difference: float | None  # the second's less the first's; None where a class is missing, or nobody asked
    auroc_bounds: Bounds | None


def compare(
    truth: Bools, scores: tuple[Floats, Floats], limits: tuple[Limits, Limits], *, ranking: bool = True
) -> Comparison:
    """truth and each model's scores (n,), in the same order, n >= 1; True for defective.

    `ranking`: also compare the areas, whose bootstrap bounds take seconds where there are ten thousand images.
    """
    missed = [truth & (each < limit.pass_below) for each, limit in zip(scores, limits, strict=True)]
    alarmed = [~truth & (each >= limit.fail_from) for each, limit in zip(scores, limits, strict=True)]
    difference, bounds = None, None
    if ranking and truth.any() and not truth.all():
        difference, bounds = auroc_difference(truth, *scores)
    return Comparison(
        misses=_paired(missed[0][truth], missed[1][truth]),
        false_alarms=_paired(alarmed[0][~truth], alarmed[1][~truth]),
        mistakes=_paired(missed[0] | alarmed[0], missed[1] | alarmed[1]),
        auroc_difference=difference,
        auroc_bounds=bounds,
    )


def _paired(first: Bools, second: Bools) -> Paired:
    both, only_first, only_second = (int(part.sum()) for part in (first & second, first & ~second, ~first & second))
    differing = only_first + only_second
    return Paired(
        images=first.size,
        both=both,
        only_first=only_first,
        only_second=only_second,
        p_value=float(binomtest(only_first, differing).pvalue) if differing else 1.0,
        difference=(only_second - only_first) / first.size if first.size else None,
        bounds=paired_difference_bounds(both, only_first, only_second, first.size - both - differing)
        if first.size
        else None,
    )
