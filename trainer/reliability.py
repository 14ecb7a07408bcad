"""How far is what a score says from what is so?

Ten equal bins of the score, the usual choice since Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from trainer.bounds import exact_bounds

_BINS = 10

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """For each tenth of the scores that holds an image: what was said, and what was so. All of one length."""

    mean_score: Floats
    share_defective: Floats
    lcl: Floats  # exact 95% bounds of that share
    ucl: Floats


def reliability(truth: Bools, scores: Floats) -> Reliability:
    """Of truth and scores (n,), True for defective, n >= 1."""
    bins = _bins(scores)
    members = [bins == which for which in np.unique(bins)]
    counts = [(int(truth[of].sum()), int(of.sum())) for of in members]
    bounds = [exact_bounds(*count) for count in counts]
    return Reliability(
        mean_score=np.array([scores[of].mean() for of in members]),
        share_defective=np.array([found / of for found, of in counts]),
        lcl=np.array([one.lcl for one in bounds]),
        ucl=np.array([one.ucl for one in bounds]),
    )


def expected_calibration_error(truth: Bools, scores: Floats) -> float:
    """Mean |share of defectives - mean score| over equal bins of the score, weighted by bin size."""
    gaps = np.bincount(_bins(scores), weights=truth - scores, minlength=_BINS)
    return float(np.abs(gaps).sum() / truth.size)


def uncalibrated(scores: Floats, temperature: float) -> Floats:
    """What the scores would be had the logits not been divided by the temperature."""
    hot: Floats = expit(temperature * logit(scores))
    return hot


def _bins(scores: Floats) -> NDArray[np.int64]:
    return np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
