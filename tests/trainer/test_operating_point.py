"""Do limits keep their target by its bound, and is a target refused that nothing or nobody could keep?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.bounds import upper_bound
from trainer.errors import TargetRefused
from trainer.operating_point import Limits, Targets, outcome, propose, review_bound


def scored(defective: list[float], good: list[float]) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([True, False], [len(defective), len(good)])
    return truth, np.array(defective + good)


def overlapping(defective: int = 400, good: int = 800, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return scored(list(generator.beta(5, 1.5, defective)), list(generator.beta(1.5, 5, good)))


def test_without_a_mistake_the_limit_lies_half_way_to_the_next_score() -> None:
    truth, scores = scored([0.8] * 59, [0.1] * 30 + [0.4])
    limits = propose(truth, scores, Targets(max_miss_rate=0.05))
    assert limits == Limits(pass_below=pytest.approx(0.6), fail_from=pytest.approx(0.6))


def test_limits_have_no_more_decimals_than_the_gap_between_two_scores_takes() -> None:
    truth, scores = scored([0.123712345678] * 59, [0.1] * 30 + [0.123512345678])
    limits = propose(truth, scores, Targets(max_miss_rate=0.05))
    assert limits.pass_below == 0.1236
    far = propose(*scored([0.9] * 59, [0.0001] * 30), Targets(max_miss_rate=0.05))
    assert far.pass_below == 0.5


def test_one_defective_image_too_few_is_refused_with_the_number_it_takes() -> None:
    with pytest.raises(TargetRefused, match=r"58 defective validation images .* it takes 59"):
        propose(*scored([0.8] * 58, [0.1] * 30), Targets(max_miss_rate=0.05))
    with pytest.raises(TargetRefused, match=r"298 good validation images .* it takes 299"):
        propose(*scored([0.8] * 58, [0.1] * 298), Targets(max_false_alarm_rate=0.01))


@pytest.mark.parametrize(("defective", "good", "missing"), [([], [0.1, 0.2], "defective"), ([0.9], [], "good")])
def test_without_one_class_limits_would_be_a_guess(defective: list[float], good: list[float], missing: str) -> None:
    for targets in (Targets(max_miss_rate=0.9), Targets(cost_miss=50, cost_alarm=1)):
        with pytest.raises(TargetRefused, match=f"no {missing} one"):
            propose(*scored(defective, good), targets)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 12),  # few decimals: ties
    st.sampled_from([0.02, 0.05, 0.2, None]),
    st.sampled_from([0.02, 0.05, 0.2, None]),
    st.sampled_from([0.05, 0.3, None]),
    st.sampled_from([0.01, None]),
)
def test_limits_keep_by_their_bounds_what_was_asked_or_are_refused(
    seed: int,
    defective: int,
    good: int,
    digits: int,
    miss: float | None,
    alarm: float | None,
    review: float | None,
    prevalence: float | None,
) -> None:
    if miss is None and alarm is None:
        return
    truth, scores = overlapping(defective, good, seed)
    scores = scores.round(digits)
    targets = Targets(max_miss_rate=miss, max_false_alarm_rate=alarm, max_review_rate=review, prevalence=prevalence)
    try:
        limits = propose(truth, scores, targets)
    except TargetRefused:
        return
    assert 0 <= limits.pass_below <= limits.fail_from <= 1
    found = outcome(truth, scores, limits)
    assert miss is None or upper_bound(found.missed, found.defective) <= miss
    assert alarm is None or upper_bound(found.alarms, found.good) <= alarm
    if review is not None and limits.pass_below < limits.fail_from:
        assert review_bound(found, targets) <= review


def test_no_limit_that_keeps_the_target_has_fewer_mistakes_of_the_other_kind() -> None:
    truth, scores = overlapping()
    limits = propose(truth, scores, Targets(max_miss_rate=0.05))
    found = outcome(truth, scores, limits)
    for cut in np.linspace(0, 1, 2001):
        other = outcome(truth, scores, Limits(pass_below=cut, fail_from=cut))
        if upper_bound(other.missed, other.defective) <= 0.05:
            assert other.alarms >= found.alarms


def test_the_bound_holds_on_new_parts_as_often_as_it_says() -> None:
    """The limit is read off the images that it is judged on; on ten thousand others it has to hold in 95% of cases."""
    fresh = overlapping(10_000, 1, seed=99)[1][:10_000]
    kept = 0
    for seed in range(400):
        truth, scores = overlapping(150, 150, seed)
        limits = propose(truth, scores, Targets(max_miss_rate=0.05))
        kept += float((fresh < limits.pass_below).mean()) <= 0.05
    assert 0.93 <= kept / 400 <= 0.99


def test_where_one_limit_keeps_both_rates_nothing_is_reviewed() -> None:
    truth, scores = scored([0.7 + 0.001 * n for n in range(100)], [0.003 * n for n in range(100)])
    limits = propose(truth, scores, Targets(max_miss_rate=0.05, max_false_alarm_rate=0.05))
    assert limits.pass_below == limits.fail_from
    found = outcome(truth, scores, limits)
    assert (found.missed, found.alarms) == (0, 0)


def test_where_no_single_limit_keeps_both_rates_a_person_looks_at_what_lies_between() -> None:
    truth, scores = overlapping()
    targets = Targets(max_miss_rate=0.02, max_false_alarm_rate=0.02)
    limits = propose(truth, scores, targets)
    found = outcome(truth, scores, limits)
    assert limits.pass_below < limits.fail_from
    assert upper_bound(found.missed, found.defective) <= 0.02
    assert upper_bound(found.alarms, found.good) <= 0.02
    assert found.defective_reviewed + found.good_reviewed > 0
    with pytest.raises(TargetRefused, match=r"parts in REVIEW, more than 0\.05"):
        propose(truth, scores, Targets(max_miss_rate=0.02, max_false_alarm_rate=0.02, max_review_rate=0.05))


def test_a_share_for_review_spares_false_alarms_and_no_more_than_that_share() -> None:
    truth, scores = overlapping()
    alone = outcome(truth, scores, propose(truth, scores, Targets(max_miss_rate=0.05)))
    targets = Targets(max_miss_rate=0.05, max_review_rate=0.1)
    shared = outcome(truth, scores, propose(truth, scores, targets))
    assert shared.missed == alone.missed
    assert shared.alarms < alone.alarms
    assert review_bound(shared, targets) <= 0.1


def test_costs_decide_how_many_alarms_a_miss_is_worth() -> None:
    truth, scores = overlapping()

    def cost(limits: Limits, miss: float, alarm: float) -> float:
        found = outcome(truth, scores, limits)
        return found.missed * miss + found.alarms * alarm

    dear, cheap = (propose(truth, scores, Targets(cost_miss=miss, cost_alarm=1)) for miss in (50, 0.02))
    assert dear.pass_below < cheap.pass_below
    for cut in np.linspace(0, 1, 2001):
        other = Limits(pass_below=cut, fail_from=cut)
        assert cost(dear, 50, 1) <= cost(other, 50, 1)
        assert cost(cheap, 0.02, 1) <= cost(other, 0.02, 1)


def test_rare_defects_make_the_same_miss_cheaper() -> None:
    truth, scores = overlapping()
    often, rarely = (
        propose(truth, scores, Targets(cost_miss=50, cost_alarm=1, prevalence=share)) for share in (0.3, 0.001)
    )
    assert rarely.pass_below > often.pass_below


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.2),
    st.sampled_from([0.03, 0.05, 0.2, None]),
    st.sampled_from([0.03, 0.05, 0.2, None]),
    st.sampled_from([0.1, 0.3, None]),
)
def test_limits_keep_what_was_asked_for_every_runtime_that_scored_the_images(
    seed: int, away: float, miss: float | None, alarm: float | None, review: float | None
) -> None:
    if miss is None and alarm is None:
        return
    truth, scores = overlapping(150, 300, seed)
    other = np.clip(scores + np.random.default_rng(seed).normal(-away, away, scores.size), 0, 1)
    targets = Targets(max_miss_rate=miss, max_false_alarm_rate=alarm, max_review_rate=review)
    try:
        limits = propose(truth, scores, targets, [(truth, other)])
    except TargetRefused:
        return
    for each in (scores, other):
        found = outcome(truth, each, limits)
        assert miss is None or upper_bound(found.missed, found.defective) <= miss
        assert alarm is None or upper_bound(found.alarms, found.good) <= alarm
        if review is not None and limits.pass_below < limits.fail_from:
            assert review_bound(found, targets) <= review


def test_costs_are_those_with_the_runtime_that_costs_most() -> None:
    truth, scores = overlapping()
    targets = Targets(cost_miss=50, cost_alarm=1)

    def cost(limits: Limits) -> float:
        both = [outcome(truth, each, limits) for each in (scores, scores - 0.1)]
        return max(found.missed * 50 + found.alarms for found in both)

    alone, both = propose(truth, scores, targets), propose(truth, scores, targets, [(truth, scores - 0.1)])
    assert cost(both) < cost(alone)


def test_a_model_that_knows_nothing_is_refused() -> None:
    truth, scores = scored([0.5] * 200, [0.5] * 200)
    with pytest.raises(TargetRefused, match="Only by passing nothing"):
        propose(truth, scores, Targets(max_miss_rate=0.05))


@pytest.mark.parametrize(
    "targets",
    [
        Targets(max_false_alarm_rate=0.05),
        Targets(cost_miss=1, cost_alarm=50),
        Targets(cost_miss=1, cost_alarm=1, prevalence=0.001),
    ],
)
def test_limits_that_find_no_defect_are_refused(targets: Targets) -> None:
    truth, scores = scored([0.5] * 200, [0.5] * 200)
    with pytest.raises(TargetRefused, match="Only by passing everything that is defective"):
        propose(truth, scores, targets)


def test_a_limit_beyond_every_defective_image_is_refused_though_it_fails_some_good_ones() -> None:
    truth, scores = scored([0.2] * 100, [0.1] * 80 + [0.3] * 17 + [0.5] * 3)
    with pytest.raises(TargetRefused, match="Only by passing everything that is defective"):
        propose(truth, scores, Targets(max_false_alarm_rate=0.1))


@pytest.mark.parametrize(
    "targets",
    [{}, {"max_review_rate": 0.1}, {"cost_miss": 5.0}, {"cost_miss": 5.0, "cost_alarm": 1.0, "max_miss_rate": 0.1}],
)
def test_targets_that_say_nothing_or_two_things_are_refused(targets: dict[str, float]) -> None:
    with pytest.raises(TargetRefused):
        Targets(**targets)
