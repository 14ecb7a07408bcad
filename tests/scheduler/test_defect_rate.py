"""Is the share of defective parts found behind the model's mistakes, and do its bounds hold it?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from scheduler.defect_rate import Flagged, corrected

GOOD, BAD = Flagged(images=400, flagged=20), Flagged(images=100, flagged=90)  # specificity 0.95, sensitivity 0.9


def test_the_correction_is_that_of_rogan_and_gladen() -> None:
    found = corrected(Flagged(images=1000, flagged=135), BAD, GOOD)
    assert found is not None
    assert found.rate == pytest.approx((0.135 + 0.95 - 1) / (0.95 + 0.9 - 1))
    assert found.lcl < found.rate < found.ucl


def test_the_bounds_are_those_that_lang_and_reiczigel_print() -> None:
    """A false-alarm rate above the flagged share: nothing need be defective, and the rate is no negative one."""
    found = corrected(Flagged(images=1000, flagged=10), BAD, GOOD)
    assert found is not None
    assert (found.rate, found.lcl) == (0, 0)
    assert found.ucl < 0.03


@pytest.mark.parametrize(
    ("job", "defective", "good"),
    [
        (Flagged(images=0, flagged=0), BAD, GOOD),
        (Flagged(images=9, flagged=1), Flagged(images=0, flagged=0), GOOD),
        (Flagged(images=9, flagged=1), BAD, Flagged(images=0, flagged=0)),
        (Flagged(images=9, flagged=1), Flagged(images=10, flagged=5), Flagged(images=10, flagged=5)),
        (Flagged(images=9, flagged=1), Flagged(images=10, flagged=1), Flagged(images=10, flagged=5)),
    ],
)
def test_what_cannot_be_corrected_is_not(job: Flagged, defective: Flagged, good: Flagged) -> None:
    assert corrected(job, defective, good) is None


def some_flagged(fewest: int) -> some.SearchStrategy[Flagged]:
    return some.integers(fewest, 5000).flatmap(
        lambda images: some.integers(0, images).map(lambda flagged: Flagged(images=images, flagged=flagged))
    )


@given(job=some_flagged(1), defective=some_flagged(1), good=some_flagged(1))
def test_a_rate_lies_within_its_bounds_and_those_between_nothing_and_all(
    job: Flagged, defective: Flagged, good: Flagged
) -> None:
    found = corrected(job, defective, good)
    if found is not None:
        assert 0 <= found.lcl <= found.rate <= found.ucl <= 1


@pytest.mark.parametrize("prevalence", [0.01, 0.1, 0.4])
@pytest.mark.parametrize(("defective", "good"), [(50, 150), (200, 600)])
def test_the_bounds_hold_the_true_share_nineteen_times_of_twenty(prevalence: float, defective: int, good: int) -> None:
    held, repetitions = 0, 1000
    draw = np.random.default_rng(5)

    def flagged(images: int, share: float) -> Flagged:
        return Flagged(images=images, flagged=int(draw.binomial(images, share)))

    for _ in range(repetitions):
        share = prevalence * 0.92 + (1 - prevalence) * 0.04
        found = corrected(flagged(1000, share), flagged(defective, 0.92), flagged(good, 0.04))
        assert found is not None
        held += found.lcl <= prevalence <= found.ucl
    assert held / repetitions > 0.935  # 95%, less two standard errors of a thousand repetitions
