"""What would the verdicts be worth where defects are as rare as they are on the line?

A test set holds far more defective parts than a production line. Miss rate and false alarm rate do not depend on
that; how many defects a million passed parts hide, and how many of the rejected ones are defective, do.
"""

from dataclasses import dataclass

from trainer.bounds import CONFIDENCE, Bounds, exact_bounds

_EACH = 1 - (1 - CONFIDENCE) / 2  # two rates have to be within their bounds at once (Bonferroni)


@dataclass(frozen=True, kw_only=True)
class AtPrevalence:
    """By Bayes' theorem, with bounds that hold with at least 95% confidence."""

    prevalence: float  # share of defective parts
    escapes_ppm: float | None  # defective per million passed; None where nothing would pass
    escapes_ppm_bounds: Bounds
    precision: float | None  # share of the rejected that is defective; None where nothing would be rejected
    precision_bounds: Bounds


def at_prevalence(confusion: list[list[int]], prevalence: float) -> AtPrevalence | None:
    """Of [[TP, FN], [FP, TN]], 0 < prevalence < 1; None without a defective or without a good image."""
    (tp, fn), (fp, tn) = confusion
    if tp + fn == 0 or fp + tn == 0:
        return None
    miss, alarm = fn / (tp + fn), fp / (fp + tn)
    misses, alarms = exact_bounds(fn, tp + fn, _EACH), exact_bounds(fp, fp + tn, _EACH)
    rejected = prevalence * (1 - miss) + (1 - prevalence) * alarm
    passed = fn + tn > 0
    return AtPrevalence(
        prevalence=prevalence,
        escapes_ppm=_escapes_ppm(prevalence, miss, alarm) if passed else None,
        escapes_ppm_bounds=Bounds(
            lcl=_escapes_ppm(prevalence, misses.lcl, alarms.lcl), ucl=_escapes_ppm(prevalence, misses.ucl, alarms.ucl)
        ),
        precision=_precision(prevalence, miss, alarm) if rejected else None,
        precision_bounds=Bounds(
            lcl=_precision(prevalence, misses.ucl, alarms.ucl), ucl=_precision(prevalence, misses.lcl, alarms.lcl)
        ),
    )


def _escapes_ppm(prevalence: float, miss: float, alarm: float) -> float:
    missed, rightly = prevalence * miss, (1 - prevalence) * (1 - alarm)
    return 1e6 * missed / (missed + rightly) if missed else 0.0


def _precision(prevalence: float, miss: float, alarm: float) -> float:
    found, alarmed = prevalence * (1 - miss), (1 - prevalence) * alarm
    return found / (found + alarmed) if found else 0.0
