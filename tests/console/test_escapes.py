"""Is the share of defective parts among those that passed told with bounds that are right?"""

import pytest
from scipy.stats import beta, binom

from console.escapes import escapes, fields, more_needed, needs, words
from db.samples import Sampled
from trainer.bounds import upper_bound


def sampled(defective: int, decided: int, *, unsure: int = 0, passed: int = 100_000) -> Sampled:
    return Sampled(passed=passed, drawn=decided + unsure, good=decided - defective, defective=defective, unsure=unsure)


def test_the_bounds_are_those_of_clopper_and_pearson() -> None:
    told = escapes(sampled(3, 200))
    assert told is not None
    assert told.rate == 0.015
    assert told.lcl == pytest.approx(beta.ppf(0.025, 3, 198))
    assert told.ucl == pytest.approx(beta.ppf(0.975, 4, 197))
    assert binom.cdf(3, 200, told.at_most) == pytest.approx(0.05)


def test_who_was_not_sure_may_have_seen_a_defect() -> None:
    told = escapes(sampled(0, 59, unsure=1))
    assert told is not None
    assert told.at_most <= 0.05 < told.at_most_with_unsure == upper_bound(1, 60)
    assert "If the 1 that somebody was not sure of" in words(sampled(0, 59, unsure=1))[-1]


@pytest.mark.parametrize(("defective", "decided"), [(1, 100), (2, 500), (1, 1000), (7, 10_000), (3, 199)])
@pytest.mark.parametrize("target", [0.05, 0.02, 0.01])
def test_so_many_more_images_show_it_and_one_fewer_does_not(defective: int, decided: int, target: float) -> None:
    more = more_needed(sampled(defective, decided), target)
    rate = defective / decided
    if more is None:
        assert rate >= target
        return
    then = decided + more
    assert upper_bound(-int(-rate * then // 1), then) <= target
    if more:
        assert any(
            upper_bound(-int(-rate * fewer // 1), fewer) > target for fewer in range(max(decided, then - 200), then)
        )


def test_where_no_defect_was_found_it_takes_as_many_without() -> None:
    assert more_needed(sampled(0, 100), 0.01) == 199
    assert more_needed(sampled(0, 300), 0.01) == 0
    assert more_needed(sampled(0, 0), 0.05) == 59


def test_a_target_that_is_shown_needs_nothing() -> None:
    assert [target for target, _ in needs(sampled(0, 300))] == [0.005, 0.001]
    assert needs(sampled(5, 100))[0] == (0.05, None)


def test_nothing_is_told_of_a_sample_that_nobody_has_looked_at() -> None:
    assert words(Sampled(passed=5, drawn=0, good=0, defective=0, unsure=0)) == []
    assert fields(Sampled(passed=5, drawn=0, good=0, defective=0, unsure=0)) is None
    assert words(Sampled(passed=5, drawn=2, good=0, defective=0, unsure=0)) == [
        "Of 5 images that passed 2 were drawn at random: 0 are decided."
    ]
    told = fields(Sampled(passed=5, drawn=2, good=0, defective=0, unsure=0))
    assert told is not None
    assert told["escape_share"] is None
