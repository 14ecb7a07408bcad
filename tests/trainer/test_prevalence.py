"""Are the figures of a test set carried over rightly to a line on which defects are rare?"""

import pytest

from trainer.operating_point import Outcome
from trainer.prevalence import at_prevalence


def found(defective: int, missed: int, good: int, alarms: int, *, reviewed: tuple[int, int] = (0, 0)) -> Outcome:
    return Outcome(
        defective=defective,
        missed=missed,
        defective_reviewed=reviewed[0],
        good=good,
        alarms=alarms,
        good_reviewed=reviewed[1],
    )


REPORT = found(126, 23, 467, 6)


def test_the_test_sets_own_prevalence_gives_its_own_figures() -> None:
    there = at_prevalence(REPORT, 126 / 593)
    assert there is not None
    assert there.escapes_ppm == pytest.approx(1e6 * 23 / 484)
    assert there.precision == pytest.approx(103 / 109)


def test_rare_defects_hide_among_fewer_parts_and_make_more_alarms_false() -> None:
    there = at_prevalence(REPORT, 0.01)
    assert there is not None
    miss, alarm = 23 / 126, 6 / 467
    assert there.escapes_ppm == pytest.approx(1e6 * 0.01 * miss / (0.01 * miss + 0.99 * (1 - alarm)))
    assert there.precision == pytest.approx(0.01 * (1 - miss) / (0.01 * (1 - miss) + 0.99 * alarm))
    assert there.escapes_ppm_bounds.lcl < there.escapes_ppm < there.escapes_ppm_bounds.ucl
    assert there.precision_bounds.lcl < there.precision < there.precision_bounds.ucl


def test_no_mistake_is_no_certainty() -> None:
    there = at_prevalence(found(59, 0, 100, 0), 0.01)
    assert there is not None
    assert (there.escapes_ppm, there.precision) == (0.0, 1.0)
    assert there.escapes_ppm_bounds.ucl > 100
    assert there.precision_bounds.lcl < 0.5


def test_where_nothing_is_rejected_there_is_no_precision() -> None:
    there = at_prevalence(found(10, 10, 10, 0), 0.5)
    assert there is not None
    assert there.precision is None


def test_where_nothing_passes_nothing_escapes_and_no_share_of_it_does() -> None:
    there = at_prevalence(found(10, 0, 10, 10), 0.5)
    assert there is not None
    assert there.escapes_ppm is None
    assert (there.escapes_ppm_bounds.lcl, there.escapes_ppm_bounds.ucl) == (0.0, pytest.approx(1e6))


def test_what_a_person_reviews_is_neither_passed_nor_rejected() -> None:
    there = at_prevalence(found(100, 2, 400, 4, reviewed=(10, 96)), 0.01)
    assert there is not None
    assert there.escapes_ppm == pytest.approx(1e6 * 0.01 * 0.02 / (0.01 * 0.02 + 0.99 * 0.75))
    assert there.precision == pytest.approx(0.01 * 0.88 / (0.01 * 0.88 + 0.99 * 0.01))
    assert there.escapes_ppm_bounds.lcl < there.escapes_ppm < there.escapes_ppm_bounds.ucl
    assert there.precision_bounds.lcl < there.precision < there.precision_bounds.ucl


@pytest.mark.parametrize("one_class", [found(0, 0, 10, 1), found(10, 1, 0, 0)])
def test_one_class_alone_says_nothing(one_class: Outcome) -> None:
    assert at_prevalence(one_class, 0.01) is None
