"""Is each figure of a study what a person counts by hand?"""

import pytest

from trainer.agreement import Against, Judged, Rate, agreement
from trainer.bounds import exact_bounds

P, F, U = "PASS", "FAIL", "UNSURE"


def image(reference: str | None, verdict: str, anna: tuple[str, ...], ben: tuple[str, ...]) -> Judged:
    return Judged(reference=reference, verdict=verdict, answers={"anna": anna, "ben": ben})


STUDY = (
    image(F, F, (F, F), (F, F)),
    image(F, P, (F, P), (F, F)),
    image(F, "REVIEW", (P, P), (U, F)),
    image(P, P, (P, P), (P, P)),
    image(P, P, (P, P), (P, F)),
    image(P, F, (P, P), (F, F)),
    image(P, "REVIEW", (P, P), (U, U)),
)


def share(rate: Rate | None) -> tuple[int, int] | None:
    return None if rate is None else (rate.found, rate.of)


def rates(one: Against) -> tuple[tuple[int, int] | None, ...]:
    return share(one.effectiveness), share(one.miss_rate), share(one.false_alarm_rate)


def test_a_study_is_counted_as_by_hand() -> None:
    found = agreement(STUDY)
    assert (found.by_majority, found.references) == (False, [F, F, F, P, P, P, P])
    anna, ben = found.reviewers["anna"], found.reviewers["ben"]
    assert (share(anna.repeatability), share(ben.repeatability)) == ((6, 7), (5, 7))
    assert rates(anna.against) == ((5, 7), (3, 6), (0, 8))
    assert rates(ben.against) == ((3, 7), (0, 6), (3, 8))
    assert rates(found.model) == ((3, 7), (1, 3), (1, 4))
    assert share(found.all_agree) == (2, 7)


def test_a_rate_has_exact_bounds() -> None:
    rate = agreement(STUDY).reviewers["anna"].against.miss_rate
    assert rate is not None
    assert (rate.value, rate.bounds) == (0.5, exact_bounds(3, 6))


def test_kappas_are_those_computed_by_hand() -> None:
    found = agreement(STUDY)
    # Anna says FAIL about 2 of 7, then about 1, and the same of 6: (6/7 - 32/49) / (1 - 32/49).
    assert found.reviewers["anna"].kappa == pytest.approx(10 / 17)
    # Of 14 answers each, Anna's are 3 FAIL and 11 PASS, Ben's 8 FAIL, 3 PASS and 3 UNSURE; 6 are the same.
    assert found.pairs == {("anna", "ben"): pytest.approx((6 / 14 - 57 / 196) / (1 - 57 / 196))}
    # In trial 1 both say the same of 4 images of 7; of the 14 answers 5 are FAIL, 7 PASS, 2 UNSURE. In trial 2: 2 of 7.
    chance = 78 / 196, 86 / 196
    wanted = [(agreed / 7 - by_chance) / (1 - by_chance) for agreed, by_chance in zip((4, 2), chance, strict=True)]
    assert found.fleiss == pytest.approx(wanted)


def test_unsure_is_neither_a_miss_nor_a_false_alarm_and_never_right() -> None:
    unsure = agreement([image(F, "REVIEW", (U, U), (U, U)), image(P, "REVIEW", (U, U), (U, U))])
    for one in (unsure.reviewers["anna"].against, unsure.model):
        assert [found for found, _ in filter(None, rates(one))] == [0, 0, 0]
    assert rates(unsure.reviewers["anna"].against)[1:] == ((0, 2), (0, 2))


def test_without_a_reference_more_than_half_of_all_answers_are_it() -> None:
    found = agreement(
        [
            image(None, P, (F, F), (F, P)),  # 3 of 4
            image(None, P, (F, F), (P, P)),  # as many of either
            image(None, P, (P, P), (P, U)),
            image(None, P, (U, U), (U, P)),  # most are not sure
        ]
    )
    assert (found.by_majority, found.references) == (True, [F, None, P, None])
    assert rates(found.model) == ((1, 2), (1, 1), (0, 1))


def test_all_of_one_word_has_no_kappa() -> None:
    found = agreement([image(P, P, (P, P), (P, P))] * 3)
    assert found.reviewers["anna"].kappa is found.pairs["anna", "ben"] is found.model.kappa is None
    assert found.fleiss == [None, None]
    assert rates(found.model) == ((3, 3), None, (0, 3))


def test_one_trial_says_nothing_of_repeatability() -> None:
    anna = agreement([image(P, P, (P,), (F,)), image(F, F, (F,), (F,))]).reviewers["anna"]
    assert anna.repeatability is anna.kappa is None
    assert share(anna.against.effectiveness) == (2, 2)


def test_three_trials_are_right_only_where_all_are() -> None:
    found = agreement([image(P, P, (P, P, F), (P, P, P)), image(F, F, (F, F, F), (F, F, U))])
    assert rates(found.reviewers["anna"].against) == ((1, 2), (0, 3), (1, 3))
    assert rates(found.reviewers["ben"].against) == ((1, 2), (0, 3), (0, 3))
