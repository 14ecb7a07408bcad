"""How large is a share in all of it, where each part was sampled by itself, and not all at the same rate?

Each part counts by its size: the stratified estimate, the sum of size / all * found / looked at. Two bounds:

Where every part was sampled at the same rate, the weights fall out, and what was found in all of them is bounded as if
it came from one sample, by Clopper and Pearson. That the parts differ does not matter: a sum of hits of unequal chances
varies less than a binomial one of the same mean (Hoeffding 1956, Annals of Mathematical Statistics 27:713), so these
bounds are wide enough.

Where the rates differ no exact bounds are known that are of use: each part by itself, with Bonferroni's correction,
asks for thousands of images of every one. So the gamma bounds are taken by which registries bound rates that are
standardised for age (Fay and Feuer 1997, Statistics in Medicine 16:791). They take counts for Poisson, which vary more
than binomial ones, and the upper one reckons with one more hit where it weighs most. In all published simulations they
hold the truth at least as often as they say, and so they do here (tests/trainer/test_strata.py); of no hit at all that
can be proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from scipy.special import gammaincinv

from trainer.bounds import CONFIDENCE, Bounds, exact_bounds, upper_bound


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """One part, and a random sample of it."""

    size: int
    looked: int  # at so many, 1 to `size`
    found: int  # of these, so many have what is counted


@dataclass(frozen=True, kw_only=True)
class Share:
    """Of all parts together."""

    rate: float
    bounds: Bounds  # two-sided, 95%
    at_most: float  # one-sided, 95%


def share_of(strata: Sequence[Stratum]) -> Share:
    """The share in all parts, at least one."""
    total = sum(part.size for part in strata)
    weights = [part.size / total / part.looked for part in strata]
    rate = float(sum(Fraction(part.size * part.found, part.looked) for part in strata) / total)  # 3 of 200 is 0.015
    if len({Fraction(part.looked, part.size) for part in strata}) == 1:
        found, looked = sum(part.found for part in strata), sum(part.looked for part in strata)
        return Share(rate=rate, bounds=exact_bounds(found, looked), at_most=upper_bound(found, looked))
    variance = sum(weight**2 * part.found for weight, part in zip(weights, strata, strict=True))
    more = rate + max(weights), variance + max(weights) ** 2
    tail = (1 - CONFIDENCE) / 2
    return Share(
        rate=rate,
        bounds=Bounds(lcl=_quantile(rate, variance, tail), ucl=min(1.0, _quantile(*more, 1 - tail))),
        at_most=min(1.0, _quantile(*more, CONFIDENCE)),
    )


def _quantile(mean: float, variance: float, below: float) -> float:
    """Of the gamma distribution with this mean and variance."""
    return 0.0 if mean == 0 else float(gammaincinv(mean**2 / variance, below) * variance / mean)
