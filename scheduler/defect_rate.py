"""What share of a job's parts is defective, given that the model misses some and rejects good ones?

The share that it flags, corrected by its sensitivity and specificity (Rogan and Gladen 1978, "Estimating prevalence
from the results of a screening test"). All three are estimates from a limited number of images, and the bounds say so:
Lang and Reiczigel 2014, "Confidence limits for prevalence of disease adjusted for estimated sensitivity and
specificity", a closed form that adds successes and failures as Agresti and Coull do.
"""

import math
from dataclasses import dataclass

_Z = 1.959963984540054  # 95%, two-sided


@dataclass(frozen=True, kw_only=True)
class Flagged:
    """How many of some images a model flags."""

    images: int
    flagged: int


@dataclass(frozen=True, kw_only=True)
class DefectRate:
    """A share of defective parts with its 95% bounds."""

    rate: float
    lcl: float
    ucl: float


def corrected(job: Flagged, defective: Flagged, good: Flagged) -> DefectRate | None:
    """The defect rate of a job, by what the same limits do to labelled images.

    None where it cannot be told: no images, or a model that flags good images as readily as defective ones.
    """
    if not (job.images and defective.images and good.images):
        return None
    sensitivity, specificity = _share(defective), 1 - _share(good)
    if sensitivity + specificity <= 1:
        return None
    rate = (_share(job) + specificity - 1) / (sensitivity + specificity - 1)
    lcl, ucl = _bounds(job, defective, Flagged(images=good.images, flagged=good.images - good.flagged))
    return DefectRate(rate=_clamped(rate), lcl=min(lcl, _clamped(rate)), ucl=max(ucl, _clamped(rate)))


def _bounds(job: Flagged, found: Flagged, passed: Flagged) -> tuple[float, float]:
    """Equations 12 to 16 of Lang and Reiczigel; `found` and `passed`: what is right among defective and good."""
    images, of_defective, of_good = job.images + _Z**2, found.images + 2, passed.images + 2
    flagged = (job.flagged + _Z**2 / 2) / images
    sensitivity, specificity = (found.flagged + 1) / of_defective, (passed.flagged + 1) / of_good
    youden = sensitivity + specificity - 1
    if youden <= 0:
        return 0.0, 1.0
    rate = (flagged + specificity - 1) / youden
    of_sensitivity = sensitivity * (1 - sensitivity) / of_defective
    of_specificity = specificity * (1 - specificity) / of_good
    variance = flagged * (1 - flagged) / images + rate**2 * of_sensitivity + (1 - rate) ** 2 * of_specificity
    middle = rate + 2 * _Z**2 * (rate * of_sensitivity - (1 - rate) * of_specificity)
    half = _Z * math.sqrt(variance) / youden
    return _clamped(middle - half), _clamped(middle + half)


def _share(found: Flagged) -> float:
    return found.flagged / found.images


def _clamped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
