"""Are the kappas those that were published, and those of scikit-learn?"""

from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from trainer.kappa import cohen_kappa, fleiss_kappa

WORDS = st.sampled_from(("PASS", "FAIL", "UNSURE"))

# Ten things, fourteen raters, five words: how many chose each. The worked example of https://en.wikipedia.org/wiki/
# Fleiss'_kappa, which finds 0.210.
FOURTEEN = (
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)


def counted(*times: tuple[str, str, int]) -> list[tuple[str, str]]:
    return [pair for one, other, many in times for pair in repeat((one, other), many)]


def test_fleiss_is_that_of_the_worked_example() -> None:
    answers = [[str(word) for word, times in enumerate(row) for _ in range(times)] for row in FOURTEEN]
    assert fleiss_kappa(answers) == pytest.approx(0.210, abs=0.0005)


def test_cohen_is_that_of_the_worked_example() -> None:
    # 50 proposals, of which 20 both accept and 15 both refuse: 0.7 agree, 0.5 would by chance.
    pairs = counted(("yes", "yes", 20), ("yes", "no", 5), ("no", "yes", 10), ("no", "no", 15))
    assert cohen_kappa(pairs) == pytest.approx(0.4)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=40))
def test_cohen_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    ours = cohen_kappa(pairs)
    if ours is None:
        assert len({word for pair in pairs for word in pair}) == 1
    else:
        assert ours == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=1, max_size=20)))
def test_fleiss_is_one_only_where_all_agree_and_none_where_all_is_one_word(answers: list[list[str]]) -> None:
    found = fleiss_kappa(answers)
    if len({word for some in answers for word in some}) == 1:
        assert found is None
    else:
        assert found is not None
        assert -1 <= found <= 1
        assert (found == 1) == all(len(set(some)) == 1 for some in answers)


def test_nothing_has_no_kappa() -> None:
    assert cohen_kappa([]) is fleiss_kappa([]) is None
