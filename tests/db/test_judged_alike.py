"""Which evaluations of two models are on the same images, so that one can be held against the other?"""

from dataclasses import replace
from typing import Any

import pytest

from db import checkpoints, evaluations
from db.engine import Engine, reading, writing
from db.errors import NotFound
from tests.rows import add_dataset, add_model, new_evaluation


@pytest.fixture(autouse=True)
def _two_models(engine: Engine) -> None:
    with writing(engine) as session:
        add_model(session)
        add_model(session, name="other", digest="cd" * 32)


def judge(engine: Engine, model: int, /, *, of: str = "a", **changed: Any) -> int:
    """`of`: which images."""
    new = replace(new_evaluation(3, 1, 1, 3), **changed)
    with writing(engine) as session:
        dataset = add_dataset(session, fingerprint=of * 64)
        return evaluations.add_evaluation(session, new, checkpoint_id=model, dataset=dataset).id


def alike(engine: Engine) -> list[tuple[int, int]]:
    with reading(engine) as session:
        pair = checkpoints.get(session, 1), checkpoints.get(session, 2)
        return [(one.id, other.id) for one, other in evaluations.judged_alike(session, *pair)]


def test_the_newest_of_each_on_each_set_of_images_the_newest_set_first(engine: Engine) -> None:
    for model in (1, 2):
        judge(engine, model)  # 1, 2
    again = judge(engine, 1)  # 3
    both = [judge(engine, model, of="b") for model in (2, 1)]  # 4, 5
    judge(engine, 1, of="c")
    assert alike(engine) == [(both[1], both[0]), (again, 2)]


@pytest.mark.parametrize(
    "changed",
    [
        {"of": "b"},
        {"split": "all"},
        {"threshold": 0.4},
        {"engine": "onnxruntime"},
        {"precision": "int8"},
    ],
)
def test_other_images_or_another_way_to_judge_make_no_pair(engine: Engine, changed: dict[str, Any]) -> None:
    judge(engine, 1)
    judge(engine, 2, **changed)
    assert alike(engine) == []


@pytest.mark.parametrize("split", ["train", "validation", "folds"])
def test_what_a_model_was_made_with_is_no_test_of_it(engine: Engine, split: str) -> None:
    for model in (1, 2):
        judge(engine, model, split=split)
    assert alike(engine) == []


def test_a_score_is_found_by_its_path_and_by_its_number(engine: Engine) -> None:
    number = judge(engine, 1)
    with reading(engine) as session:
        wanted = ["defective-ok-0.jpg", "nowhere.jpg"]
        found = evaluations.score_numbers(session, number, wanted)
        assert list(found) == wanted[:1]
        assert evaluations.score(session, found[wanted[0]]).score == 0.1
        assert evaluations.score_numbers(session, number + 1, wanted) == {}
        with pytest.raises(NotFound, match="There is no score 999"):
            evaluations.score(session, 999)
