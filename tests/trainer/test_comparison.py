"""Do paired figures count the pairs, and do their bounds hold what they say?"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial
from sklearn.metrics import roc_auc_score

from trainer.bounds import auroc_difference, paired_difference_bounds
from trainer.comparison import compare
from trainer.operating_point import Limits

HALF = Limits(pass_below=0.5, fail_from=0.5)
cells = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


def test_mistakes_are_told_apart_by_who_makes_them() -> None:
    truth = np.array([True, True, True, True, False, False, False])
    first = np.array([0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1])
    second = np.array([0.2, 0.8, 0.8, 0.2, 0.2, 0.2, 0.2])
    found = compare(truth, (first, second), (HALF, HALF))
    misses, alarms, mistakes = found.misses, found.false_alarms, found.mistakes
    assert (misses.images, misses.both, misses.only_first, misses.only_second) == (4, 1, 1, 1)
    assert (alarms.images, alarms.both, alarms.only_first, alarms.only_second) == (3, 0, 1, 0)
    assert (mistakes.images, mistakes.both, mistakes.only_first, mistakes.only_second) == (7, 1, 2, 1)
    assert misses.difference == 0
    assert alarms.difference == pytest.approx(-1 / 3)


def test_a_part_in_review_is_nobodys_mistake() -> None:
    truth, scores = np.array([True, False]), np.array([0.5, 0.5])
    found = compare(truth, (scores, scores), (Limits(pass_below=0.4, fail_from=0.6), HALF))
    assert (found.misses.only_first, found.misses.only_second) == (0, 0)
    assert (found.false_alarms.only_first, found.false_alarms.only_second) == (0, 1)


@pytest.mark.parametrize(("only_first", "only_second", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (1, 7, 2 * 9 / 256)])
def test_mcnemars_test_is_exact(only_first: int, only_second: int, p: float) -> None:
    truth = np.ones(20, dtype=bool)
    first, second = np.full(20, 0.9), np.full(20, 0.9)
    first[:only_first] = 0.1
    second[len(second) - only_second :] = 0.1
    assert compare(truth, (first, second), (HALF, HALF)).misses.p_value == pytest.approx(p)


def test_of_one_class_alone_there_is_no_ranking_and_of_no_images_no_difference() -> None:
    found = compare(np.ones(3, dtype=bool), (np.zeros(3), np.ones(3)), (HALF, HALF))
    assert (found.auroc_difference, found.auroc_bounds) == (None, None)
    assert (found.false_alarms.difference, found.false_alarms.bounds) == (None, None)


@given(cells)
def test_bounds_hold_the_difference_and_turn_with_the_models(counts: tuple[int, int, int, int]) -> None:
    both, first, second, neither = counts
    bounds = paired_difference_bounds(both, first, second, neither)
    assert -1 <= bounds.lcl <= (second - first) / sum(counts) <= bounds.ucl <= 1
    turned = paired_difference_bounds(both, second, first, neither)
    assert (turned.lcl, turned.ucl) == (pytest.approx(-bounds.ucl, abs=1e-12), pytest.approx(-bounds.lcl, abs=1e-12))


@pytest.mark.parametrize("shares", [(0.1, 0.1, 0.02, 0.78), (0.6, 0.05, 0.2, 0.15), (0.02, 0.1, 0.1, 0.78)])
def test_bounds_hold_the_true_difference_about_as_often_as_they_say(shares: tuple[float, ...]) -> None:
    images = 30
    held = 0.0
    for both, first, second in itertools.product(range(images + 1), repeat=3):
        neither = images - both - first - second
        if neither < 0:
            continue
        bounds = paired_difference_bounds(both, first, second, neither)
        if bounds.lcl - 1e-12 <= shares[2] - shares[1] <= bounds.ucl + 1e-12:
            held += float(multinomial.pmf((both, first, second, neither), images, shares))
    assert 0.93 <= held <= 1


def test_the_difference_of_two_rankings_is_that_of_their_areas_and_knows_of_the_pairs() -> None:
    draw = np.random.default_rng(3)
    truth = draw.random(300) < 0.4
    shared = draw.normal(size=300) + truth
    first, second = shared + draw.normal(scale=0.1, size=300), shared + draw.normal(scale=0.1, size=300)
    difference, bounds = auroc_difference(truth, first, second)
    assert difference == pytest.approx(roc_auc_score(truth, second) - roc_auc_score(truth, first))
    assert bounds is not None
    assert bounds.lcl < difference < bounds.ucl
    # As if of other images: the standard error of one area is about 0.027 here, of a difference 0.038.
    assert bounds.ucl - bounds.lcl < 2 * 1.96 * 0.027 * math.sqrt(2) / 3
    assert auroc_difference(truth, first, first) == (0.0, None)
