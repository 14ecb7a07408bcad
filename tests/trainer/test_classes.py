"""Is the defective class told from the good one by its name, and asked for when it cannot be?"""

import pytest

from trainer.classes import find_positive, speaks_of_fault
from trainer.errors import ClassesUnclear


@pytest.mark.parametrize(
    "name",
    [
        "defective",
        "Defect",
        "def_front",
        "NG",
        "nok",
        "bad",
        "FAIL",
        "failed",
        "faulty",
        "reject",
        "anomaly",
        "broken",
        "not ok",
        "no_good",
        "notok",
        "crackedParts",
        "ng-2024",
        "unacceptable",
    ],
)
def test_a_name_of_fault_means_defective(name: str) -> None:
    assert speaks_of_fault(name) is True


@pytest.mark.parametrize(
    "name",
    [
        "non-defective",
        "no_defect",
        "not defective",
        "defect-free",
        "defectfree",
        "nonDefective",
        "nondefective",
        "ok",
        "ok_front",
        "good",
        "Pass",
        "without crack",
        "undamaged",
        "un-broken",
    ],
)
def test_a_name_of_praise_or_a_negated_fault_means_good(name: str) -> None:
    assert speaks_of_fault(name) is False


@pytest.mark.parametrize("name", ["0", "class_1", "front", "good_and_bad", "", "definition"])
def test_a_name_that_says_neither_or_both_is_left_open(name: str) -> None:
    assert speaks_of_fault(name) is None


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (["defective", "non-defective"], "defective"),
        (["ok_front", "def_front"], "def_front"),
        (["OK", "NG"], "NG"),
        (["no_crack", "crack"], "crack"),
        (["front", "broken"], "broken"),
    ],
)
def test_the_defective_one_of_two_is_found(names: list[str], positive: str) -> None:
    assert find_positive(names) == positive


@pytest.mark.parametrize("names", [["0", "1"], ["scratch", "dent"], ["good", "ok"]])
def test_where_names_do_not_tell_the_person_is_asked(names: list[str]) -> None:
    with pytest.raises(ClassesUnclear, match="--positive NAME"):
        find_positive(names)


def test_what_the_person_says_wins_over_the_names() -> None:
    assert find_positive(["good", "bad"], positive="good") == "good"


def test_a_positive_class_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ClassesUnclear, match=r"'ng' is none of the classes found: 'bad', 'good'"):
        find_positive(["bad", "good"], positive="ng")
