"""Do the bounds of a share hold it as often as they say, whatever the parts and the rates of sampling?"""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from trainer.bounds import exact_bounds, upper_bound
from trainer.strata import Share, Stratum, share_of

PARTS = {  # sizes, images looked at
    "one rate": ((1000, 500), (40, 20)),
    "the small one more closely": ((5000, 300), (25, 30)),
    "the small one hardly at all": ((5000, 300), (40, 8)),
    "three at three rates": ((900, 100, 400), (9, 10, 14)),
}
SHARES = ((0.002, 0.002, 0.002), (0.01, 0.2, 0.0), (0.05, 0.0, 0.3), (0.15, 0.1, 0.05), (0.6, 0.9, 0.3))


def found_in(sizes: tuple[int, ...], looked: tuple[int, ...], found: tuple[int, ...]) -> Share:
    return share_of(
        [Stratum(size=size, looked=n, found=x) for size, n, x in zip(sizes, looked, found, strict=True)],
    )


@pytest.mark.parametrize("parts", list(PARTS))
@pytest.mark.parametrize("shares", SHARES)
def test_bounds_hold_the_share_as_often_as_they_say(parts: str, shares: tuple[float, ...]) -> None:
    """By every outcome there is, each with its own chance: nothing is left to luck."""
    sizes, looked = PARTS[parts]
    truth = sum(size * share for size, share in zip(sizes, shares, strict=False)) / sum(sizes)
    chances = [binom.pmf(range(n + 1), n, share) for n, share in zip(looked, shares, strict=False)]
    two_sided = one_sided = 0.0
    for found in itertools.product(*(range(n + 1) for n in looked)):
        told = found_in(sizes, looked, found)
        chance = math.prod(float(of[x]) for of, x in zip(chances, found, strict=True))
        two_sided += chance * (told.bounds.lcl <= truth + 1e-12 and truth - 1e-12 <= told.bounds.ucl)
        one_sided += chance * (truth - 1e-12 <= told.at_most)
    assert two_sided >= 0.95
    assert one_sided >= 0.95


def test_bounds_hold_the_share_of_a_dozen_jobs_with_few_defects() -> None:
    """Too many outcomes to list: drawn, always the same ones."""
    draw = np.random.default_rng(20_210)
    sizes = tuple(draw.integers(200, 20_000, 12).tolist())
    looked = tuple(draw.integers(20, 400, 12).tolist())
    shares = draw.beta(0.5, 60, 12)
    truth = float(np.average(shares, weights=sizes))
    bounded = cache(lambda found: found_in(sizes, looked, found))
    told = [bounded(tuple(found)) for found in draw.binomial(looked, shares, (4000, 12)).tolist()]
    assert np.mean([one.bounds.lcl <= truth <= one.bounds.ucl for one in told]) >= 0.95
    assert np.mean([truth <= one.at_most for one in told]) >= 0.95
    assert np.mean([one.rate for one in told]) == pytest.approx(truth, rel=0.03)


def test_one_part_has_the_bounds_of_clopper_and_pearson_and_so_have_several_of_one_rate() -> None:
    for sizes, looked, found in (
        ((800,), (200,), (3,)),
        ((400, 400), (100, 100), (3, 0)),
        ((600, 200), (150, 50), (1, 2)),
    ):
        told = found_in(sizes, looked, found)
        assert (told.rate, told.bounds, told.at_most) == (0.015, exact_bounds(3, 200), upper_bound(3, 200))


def test_a_part_counts_by_its_size_and_not_by_how_closely_it_was_looked_at() -> None:
    told = found_in((9000, 1000), (100, 900), (1, 90))
    assert told.rate == pytest.approx(0.9 * 0.01 + 0.1 * 0.1)
    assert told.bounds.lcl < told.rate < told.at_most < told.bounds.ucl


def test_where_nothing_was_found_the_part_that_was_looked_at_least_decides() -> None:
    """Three in the rule of three, by the largest weight: 0.9 / 100."""
    told = found_in((9000, 1000), (100, 900), (0, 0))
    assert told.at_most == pytest.approx(-math.log(0.05) * 0.9 / 100)
    assert (told.rate, told.bounds.lcl) == (0, 0)


def test_the_published_bounds_of_a_standardised_rate_come_out() -> None:
    """Of the gamma distribution as Fay and Feuer write it, by chi-squared quantiles."""
    from scipy.stats import chi2

    told = found_in((9000, 1000), (100, 900), (2, 30))
    weights, found = (0.9 / 100, 0.1 / 900), (2, 30)
    y = sum(w * x for w, x in zip(weights, found, strict=True))
    v = sum(w**2 * x for w, x in zip(weights, found, strict=True))
    assert told.bounds.lcl == pytest.approx(v / (2 * y) * chi2.ppf(0.025, 2 * y**2 / v))
    y, v = y + weights[0], v + weights[0] ** 2
    assert told.bounds.ucl == pytest.approx(v / (2 * y) * chi2.ppf(0.975, 2 * y**2 / v))
