"""Are the exact bounds exact, do the bootstrap's agree with a plain one, and how many images does a target take?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from trainer.bounds import (
    Bounds,
    exact_bounds,
    f1_bounds,
    images_needed,
    lower_bound,
    most_wrong,
    ranking_bounds,
    upper_bound,
)

counts = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(counts)
def test_exact_bounds_are_those_of_the_binomial_test(count: tuple[int, int]) -> None:
    theirs = binomtest(*count).proportion_ci(0.95, method="exact")
    ours = exact_bounds(*count)
    assert (ours.lcl, ours.ucl) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(counts)
def test_one_sided_bounds_are_those_of_the_one_sided_test(count: tuple[int, int]) -> None:
    assert upper_bound(*count) == pytest.approx(
        binomtest(*count, alternative="less").proportion_ci(0.95, method="exact").high, abs=1e-9
    )
    assert lower_bound(*count) == pytest.approx(
        binomtest(*count, alternative="greater").proportion_ci(0.95, method="exact").low, abs=1e-9
    )


def test_the_reports_misses_are_not_known_better_than_this() -> None:
    bounds = exact_bounds(23, 126)
    assert (bounds.lcl, bounds.ucl) == pytest.approx((0.1193, 0.2612), abs=1e-4)


def test_no_images_say_nothing() -> None:
    assert (lower_bound(0, 0), upper_bound(0, 0)) == (0.0, 1.0)


@pytest.mark.parametrize(("target", "images"), [(0.05, 59), (0.01, 299), (0.02, 149), (0.5, 5), (0.95, 1)])
def test_a_target_takes_this_many_images_without_a_mistake(target: float, images: int) -> None:
    assert images_needed(target) == images
    assert upper_bound(0, images) <= target < upper_bound(0, images - 1)


@given(st.integers(0, 300), st.floats(0.001, 0.999))
def test_as_many_may_be_wrong_as_the_bound_allows_and_no_more(of: int, target: float) -> None:
    allowed = [wrong for wrong in range(of) if upper_bound(wrong, of) <= target]
    assert most_wrong(of, target) == (max(allowed) if allowed else None)


def plain_bootstrap(truth: np.ndarray, scores: np.ndarray) -> list[Bounds]:
    """With scikit-learn, one resample at a time; other draws than ours."""
    generator = np.random.default_rng(3)
    sides = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    figures = []
    for _ in range(200):
        drawn = np.concatenate([generator.choice(side, side.size) for side in sides])
        chosen, of = scores[drawn], truth[drawn]
        figures.append((roc_auc_score(of, chosen), average_precision_score(of, chosen), f1_score(of, chosen >= 0.5)))
    low, high = np.percentile(figures, [2.5, 97.5], axis=0)
    return [Bounds(lcl=first, ucl=last) for first, last in zip(low, high, strict=True)]


def test_bootstrap_bounds_agree_with_a_plain_bootstrap() -> None:
    generator = np.random.default_rng(1)
    truth = np.repeat([True, False], [60, 140])
    scores = np.clip(np.where(truth, 0.62, 0.38) + generator.normal(0, 0.2, truth.size), 0, 1).round(1)  # most are tied
    auroc, average_precision, f1 = plain_bootstrap(truth, scores)
    ranking = ranking_bounds(truth, scores)
    for ours, theirs in (
        (ranking.auroc, auroc),
        (ranking.average_precision, average_precision),
        (f1_bounds(truth, scores >= 0.5), f1),
    ):
        assert ours is not None
        assert (ours.lcl, ours.ucl) == pytest.approx((theirs.lcl, theirs.ucl), abs=0.02)


def test_one_resample_of_each_image_once_gives_scikit_learns_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.array([True, True, False, True, False, False, True])
    scores = np.array([0.9, 0.4, 0.4, 0.4, 0.2, 0.7, 0.1])
    seen: list[tuple[np.ndarray, ...]] = []

    def once(of: np.ndarray, figures: object) -> tuple[np.ndarray, ...]:
        seen.append(figures(np.ones((1, of.size))))  # type: ignore[operator]
        return seen[-1]

    monkeypatch.setattr("trainer.bounds._resampled", once)
    ranking_bounds(truth, scores)
    f1_bounds(truth, scores >= 0.4)
    (auroc, average_precision), (f1,) = seen
    assert auroc[0] == pytest.approx(roc_auc_score(truth, scores))
    assert average_precision[0] == pytest.approx(average_precision_score(truth, scores))
    assert f1[0] == pytest.approx(f1_score(truth, scores >= 0.4))


def test_a_perfect_ranking_gets_no_bootstrap_bounds() -> None:
    truth, scores = np.array([True, True, False]), np.array([0.9, 0.8, 0.1])
    assert ranking_bounds(truth, scores).auroc is None
    assert f1_bounds(truth, scores >= 0.5) is None


def test_the_same_scores_get_the_same_bounds() -> None:
    truth, scores = np.repeat([True, False], 40), np.random.default_rng(0).random(80)
    assert ranking_bounds(truth, scores) == ranking_bounds(truth, scores)
