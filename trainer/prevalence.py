"""What would the verdicts be worth where defects are as rare as they are on the line?

A test set holds far more defective parts than a production line. Miss rate and false alarm rate do not depend on
that; how many defects a million passed parts hide, and how many of the rejected ones are defective, do. What is left
to a person counts as neither passed nor rejected.
"""

from dataclasses import dataclass

from trainer.bounds import CONFIDENCE, Bounds, exact_bounds
from trainer.operating_point import Outcome

_EACH = 1 - (1 - CONFIDENCE) / 2  # two rates have to be within their bounds at once (Bonferroni)


@dataclass(frozen=True, kw_only=True)
class AtPrevalence:
    """By Bayes' theorem, with bounds that hold with at least 95% confidence."""

    prevalence: float  # share of defective parts
    escapes_ppm: float | None  # defective per million passed; None where nothing would pass
    escapes_ppm_bounds: Bounds
    precision: float | None  # share of the rejected that is defective; None where nothing would be rejected
    precision_bounds: Bounds


def at_prevalence(found: Outcome, prevalence: float) -> AtPrevalence | None:
    """What limits made of labelled images, 0 < prevalence < 1; None without a defective or without a good image."""
    if found.defective == 0 or found.good == 0:
        return None
    caught = found.defective - found.missed - found.defective_reviewed
    good_passed = found.good - found.alarms - found.good_reviewed
    miss, passed = exact_bounds(found.missed, found.defective, _EACH), exact_bounds(good_passed, found.good, _EACH)
    catch, alarm = exact_bounds(caught, found.defective, _EACH), exact_bounds(found.alarms, found.good, _EACH)
    rates = (caught / found.defective, found.alarms / found.good)
    pass_rates = (found.missed / found.defective, good_passed / found.good)
    return AtPrevalence(
        prevalence=prevalence,
        escapes_ppm=_escapes_ppm(prevalence, *pass_rates) if any(pass_rates) else None,
        escapes_ppm_bounds=Bounds(
            lcl=_escapes_ppm(prevalence, miss.lcl, passed.ucl), ucl=_escapes_ppm(prevalence, miss.ucl, passed.lcl)
        ),
        precision=_precision(prevalence, *rates) if any(rates) else None,
        precision_bounds=Bounds(
            lcl=_precision(prevalence, catch.lcl, alarm.ucl), ucl=_precision(prevalence, catch.ucl, alarm.lcl)
        ),
    )


def _escapes_ppm(prevalence: float, miss: float, passed: float) -> float:
    missed, rightly = prevalence * miss, (1 - prevalence) * passed
    return 1e6 * missed / (missed + rightly) if missed else 0.0


def _precision(prevalence: float, catch: float, alarm: float) -> float:
    found, alarmed = prevalence * catch, (1 - prevalence) * alarm
    return found / (found + alarmed) if found else 0.0
