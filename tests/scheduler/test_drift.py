"""Is an alarm raised where a job is of other images, and neither by chance nor by another share of defects?

The scores are drawn from fixed seeds: a model that tells the classes well, and one that does not.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from db.drift import CELLS, EDGES, FAR, Counts, Reference
from scheduler import drift
from scheduler.drift import (
    FEWEST,
    Comparison,
    Likeness,
    chance_of_as_many,
    compare,
    distance,
    fitting_prevalence,
    stability_index,
)

REPETITIONS = 100


@dataclass(frozen=True)
class World:
    """How a model answers: log-odds of defective and of good images, each (mean, deviation)."""

    defective: tuple[float, float]
    good: tuple[float, float]


SURE = World(defective=(5, 2), good=(-6, 1.5))
UNSURE = World(defective=(1.5, 1.5), good=(-1.5, 1.5))

Draw = Callable[[random.Random, World, bool], tuple[float, float]]


def ordinary(draw: random.Random, world: World, defective: bool) -> tuple[float, float]:
    """(log-odds, novelty); one in a hundred good images lies beyond 1, and some more of the defective ones."""
    odds = draw.gauss(*(world.defective if defective else world.good))
    return odds, math.exp(draw.gauss(-0.9, 0.38) + 0.1 * defective)


def shifted(draw: random.Random, world: World, defective: bool) -> tuple[float, float]:
    odds, novelty = ordinary(draw, world, defective)
    return odds + 2.5, novelty


def often_blank(draw: random.Random, world: World, defective: bool) -> tuple[float, float]:
    return (draw.gauss(-6, 0.1), 5.0) if draw.random() < 0.3 else ordinary(draw, world, defective)


def counted(images: Sequence[tuple[float, float]]) -> Counts:
    cells = [0] * CELLS
    for odds, _ in images:
        score = 1 / (1 + math.exp(-odds))
        cells[bisect_right(EDGES, score)] += 1
    return Counts(
        cells=tuple(cells), with_novelty=len(images), far=sum(novelty > FAR for _, novelty in images), flagged=0
    )


def evaluated(draw: random.Random, world: World, images: int) -> Reference:
    third = images // 3
    return Reference(
        defective=counted([ordinary(draw, world, True) for _ in range(third)]),
        good=counted([ordinary(draw, world, False) for _ in range(images - third)]),
    )


def a_job(draw: random.Random, world: World, images: int, defects: float, of: Draw = ordinary) -> Counts:
    return counted([of(draw, world, draw.random() < defects) for _ in range(images)])


def share_of_alarms(world: World, judged: int, images: int, defects: float, of: Draw = ordinary) -> float:
    alarms = 0
    for seed in range(REPETITIONS):
        draw = random.Random(seed)  # noqa: S311 - a simulation
        alarms += is_different(compare(a_job(draw, world, images, defects, of), evaluated(draw, world, judged)))
    return alarms / REPETITIONS


def is_different(found: Comparison) -> bool:
    return found.likeness is Likeness.DIFFERENT


@pytest.mark.parametrize("world", [SURE, UNSURE], ids=["sure", "unsure"])
@pytest.mark.parametrize(("judged", "images"), [(60, 40), (300, 60), (300, 400)])
@pytest.mark.parametrize("defects", [1 / 3, 0.01, 0.7])
def test_the_same_images_raise_no_alarm_whatever_share_is_defective(
    world: World, judged: int, images: int, defects: float
) -> None:
    assert share_of_alarms(world, judged, images, defects) <= 0.03


def test_shifted_scores_raise_an_alarm() -> None:
    assert share_of_alarms(SURE, 300, 200, 0.02, shifted) == 1


@pytest.mark.parametrize("world", [SURE, UNSURE], ids=["sure", "unsure"])
def test_blank_frames_among_them_raise_an_alarm_although_they_score_like_good_parts(world: World) -> None:
    assert share_of_alarms(world, 300, 100, 0.02, often_blank) == 1


def test_a_shift_that_makes_good_parts_score_like_defective_ones_is_told_as_a_share_of_defects() -> None:
    """What scores alone cannot tell; the README says so."""
    draw = random.Random(1)  # noqa: S311 - a simulation
    job = counted([(odds + 3, novelty) for odds, novelty in (ordinary(draw, UNSURE, False) for _ in range(2000))])
    found = compare(job, evaluated(draw, UNSURE, 2000))
    assert not is_different(found)
    assert found.prevalence > 0.95
    assert found.plain_psi > drift.PSI


def test_far_images_are_named_with_their_shares() -> None:
    draw = random.Random(2)  # noqa: S311 - a simulation
    found = compare(a_job(draw, SURE, 1000, 0.02, often_blank), evaluated(draw, SURE, 1000))
    assert found.far is not None
    assert found.far == pytest.approx(0.3, abs=0.05)
    assert any("of the images are far from anything seen in training (evaluation: " in words for words in found.reasons)


@pytest.mark.parametrize(("images", "judged"), [(FEWEST - 1, 300), (300, FEWEST - 1), (0, 300), (300, 0), (0, 0)])
def test_of_too_few_images_nothing_is_told(images: int, judged: int) -> None:
    draw = random.Random(3)  # noqa: S311 - a simulation
    found = compare(a_job(draw, SURE, images, 0.5, often_blank), evaluated(draw, SURE, judged))
    assert (found.likeness, found.reasons) == (Likeness.TOO_FEW, ())
    assert (found.images, found.reference_images) == (images, judged)


def test_an_evaluation_of_one_class_and_unknown_novelties_are_compared_as_far_as_they_go() -> None:
    draw = random.Random(4)  # noqa: S311 - a simulation
    nothing = Counts(cells=(0,) * CELLS, with_novelty=0, far=0, flagged=0)
    good = counted([ordinary(draw, SURE, False) for _ in range(200)])
    alone = Reference(defective=nothing, good=good)
    assert not is_different(compare(a_job(draw, SURE, 300, 0.0), alone))
    assert is_different(compare(a_job(draw, SURE, 300, 0.5), alone))
    blind = Counts(cells=good.cells, with_novelty=0, far=0, flagged=0)
    found = compare(blind, evaluated(draw, SURE, 300))
    assert (found.far, is_different(found)) == (None, False)
    found = compare(good, Reference(defective=nothing, good=blind))
    assert (found.reference_far, is_different(found)) == (None, False)


@given(share=some.floats(0, 1), seed=some.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_prevalence_that_fits_is_that_of_the_mixture(share: float, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - a simulation
    reference = evaluated(draw, UNSURE, 3000)
    found = fitting_prevalence(a_job(draw, UNSURE, 2000, share).cells, reference.defective.cells, reference.good.cells)
    assert found == pytest.approx(share, abs=0.08)


def test_of_normal_scores_half_a_deviation_apart_the_index_is_a_quarter_and_the_distance_a_fifth() -> None:
    """Where the two floors come from."""

    def normal(mean: float) -> list[float]:
        below = [0.0, *(0.5 * (1 + math.erf((at / 8 - mean) / math.sqrt(2))) for at in range(-40, 41)), 1.0]
        return [after - before for before, after in pairwise(below)]

    here, there = [round(1e7 * share) for share in normal(0.5)], normal(0.0)
    assert stability_index(here, there, 1e7)[0] == pytest.approx(drift.PSI, abs=0.02)  # ten bins see a little less
    assert distance(here, there) == pytest.approx(drift.DISTANCE, abs=0.005)


@given(
    part=some.integers(0, 30), rest=some.integers(0, 30), other=some.integers(0, 30), other_rest=some.integers(1, 30)
)
def test_fishers_test_counts_the_ways_to_deal(part: int, rest: int, other: int, other_rest: int) -> None:
    far, near, whole = part + other, rest + other_rest, part + rest
    ways = sum(math.comb(far, more) * math.comb(near, whole - more) for more in range(part, min(far, whole) + 1))
    expected = ways / math.comb(far + near, whole)
    assert chance_of_as_many(part, whole, other, other + other_rest) == pytest.approx(expected, abs=1e-9)


def test_a_job_of_ten_million_images_is_compared_at_once() -> None:
    assert chance_of_as_many(110_000, 10_000_000, 10_000, 1_000_000) < 1e-9
    assert chance_of_as_many(100_000, 10_000_000, 10_000, 1_000_000) == pytest.approx(0.5, abs=0.01)
