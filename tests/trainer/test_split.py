"""Is the split repeatable, stratified, and blind to groups' borders?"""

import random

from hypothesis import given
from hypothesis import strategies as st

from trainer.split import stratified_folds, stratified_split

KEYS = [b"%04d.png" % number for number in range(200)]
LABELS = ["bad" if number % 5 == 0 else "good" for number in range(200)]


def test_every_class_gives_its_share_exactly() -> None:
    in_test = stratified_split(KEYS, LABELS, test_share=0.25, seed=0)
    taken = [label for label, test in zip(LABELS, in_test, strict=True) if test]
    assert (taken.count("bad"), taken.count("good")) == (10, 40)


def test_the_order_of_the_files_changes_nothing() -> None:
    straight = dict(zip(KEYS, stratified_split(KEYS, LABELS, test_share=0.25, seed=0), strict=True))
    shuffled = list(zip(KEYS, LABELS, strict=True))
    random.Random(1).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    keys, labels = [key for key, _ in shuffled], [label for _, label in shuffled]
    assert straight == dict(zip(keys, stratified_split(keys, labels, test_share=0.25, seed=0), strict=True))


def test_another_seed_draws_another_split() -> None:
    first = stratified_split(KEYS, LABELS, test_share=0.25, seed=0)
    assert first != stratified_split(KEYS, LABELS, test_share=0.25, seed=1)


def test_the_draw_is_the_one_that_was_recorded() -> None:
    """A stored split must still be the same with next year's libraries."""
    in_test = stratified_split(KEYS[:12], LABELS[:12], test_share=0.25, seed=0)
    assert [number for number, test in enumerate(in_test) if test] == [2, 9, 10]


@given(st.lists(st.tuples(st.sampled_from(["bad", "good"]), st.integers(0, 9)), min_size=1, max_size=60))
def test_a_group_never_stands_on_both_sides(drawn: list[tuple[str, int]]) -> None:
    labels = [label for label, _ in drawn]
    groups = [b"%d" % group for _, group in drawn]
    in_test = stratified_split(KEYS[: len(drawn)], labels, test_share=0.3, seed=0, groups=groups)
    sides: dict[bytes, set[bool]] = {}
    for group, test in zip(groups, in_test, strict=True):
        sides.setdefault(group, set()).add(test)
    assert all(len(side) == 1 for side in sides.values())


def test_groups_still_give_about_the_share() -> None:
    groups = [b"%d" % (number // 4) for number in range(200)]
    in_test = stratified_split(KEYS, LABELS, test_share=0.25, seed=0, groups=groups)
    assert 40 <= sum(in_test) <= 60


def test_a_class_of_a_few_large_groups_gives_the_one_that_overshoots_least() -> None:
    groups = [b"a"] * 100 + [b"b"] * 100
    in_test = stratified_split(KEYS, ["ok"] * 200, test_share=0.25, seed=0, groups=groups)
    assert sum(in_test) == 100
    groups = [b"a"] * 90 + [b"b"] * 60 + [b"c"] * 50
    in_test = stratified_split(KEYS, ["ok"] * 200, test_share=0.1, seed=0, groups=groups)
    assert [at for at, test in enumerate(in_test) if test] == list(range(150, 200))


def test_no_class_is_left_with_nothing_for_another_ones_sake() -> None:
    groups = [b"a"] * 50 + [b"b"] * 50 + [b"c"] * 50 + [b"d"] * 50
    labels = ["bad"] * 25 + ["ok"] * 175  # what is bad is in the group a alone
    in_test = stratified_split(KEYS, labels, test_share=0.1, seed=0, groups=groups)
    assert not any(in_test[:50])
    assert sum(in_test) == 50


@given(st.lists(st.integers(1, 20), min_size=2, max_size=8), st.floats(0.05, 0.5), st.integers(0, 5))
def test_two_groups_of_a_class_are_enough_for_both_sides(sizes: list[int], share: float, seed: int) -> None:
    groups = [b"%d" % number for number, size in enumerate(sizes) for _ in range(size)]
    keys = [b"%d" % at for at in range(len(groups))]
    in_test = stratified_split(keys, ["ok"] * len(groups), test_share=share, seed=seed, groups=groups)
    assert set(in_test) == {True, False}


def test_every_fold_gets_as_much_of_every_class() -> None:
    fold_of = stratified_folds(KEYS, LABELS, folds=5, seed=0)
    for fold in range(5):
        held = [label for label, own in zip(LABELS, fold_of, strict=True) if own == fold]
        assert (held.count("bad"), held.count("good")) == (8, 32)


def test_folds_depend_on_the_seed_and_not_on_the_order() -> None:
    straight = dict(zip(KEYS, stratified_folds(KEYS, LABELS, folds=5, seed=0), strict=True))
    turned = dict(zip(KEYS[::-1], stratified_folds(KEYS[::-1], LABELS[::-1], folds=5, seed=0), strict=True))
    assert straight == turned
    assert straight != dict(zip(KEYS, stratified_folds(KEYS, LABELS, folds=5, seed=1), strict=True))


def test_the_folds_are_those_that_were_recorded() -> None:
    assert stratified_folds(KEYS[:12], LABELS[:12], folds=3, seed=0) == [2, 1, 1, 0, 0, 1, 0, 2, 1, 2, 0, 2]


@given(st.lists(st.tuples(st.sampled_from(["bad", "good"]), st.integers(0, 9)), min_size=1, max_size=60))
def test_a_group_lies_in_one_fold(drawn: list[tuple[str, int]]) -> None:
    groups = [b"%d" % group for _, group in drawn]
    fold_of = stratified_folds(KEYS[: len(drawn)], [label for label, _ in drawn], folds=3, seed=0, groups=groups)
    assert len(set(zip(groups, fold_of, strict=True))) == len(set(groups))
    assert set(fold_of) <= {0, 1, 2}
