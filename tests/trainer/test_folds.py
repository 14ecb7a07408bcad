"""Is every image judged once, by a model that has not seen it, and is a finished fold not trained again?"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.boxes import Box
from trainer.dataset import Dataset
from trainer.errors import DatasetError
from trainer.evaluation import Judging
from trainer.folds import evaluate_folds, folded
from trainer.recipe import Recipe
from trainer.training import TrainingPlan
from vision.network import build_network

CPU = Judging(device="cpu")


@pytest.fixture
def plan(dataset: Dataset, small_recipe: Recipe, tmp_path: Path) -> TrainingPlan:
    recipe = replace(small_recipe, epochs=1)
    return TrainingPlan(
        dataset=dataset,
        recipe=recipe,
        checkpoint=tmp_path / "model.safetensors",
        state_folder=tmp_path / "state",
        device="cpu",
    )


def test_every_image_is_tested_in_one_fold_and_learned_from_in_the_others(dataset: Dataset) -> None:
    parts = folded(dataset, folds=3, seed=0)
    tested = Counter(sample.path for part in parts for sample in part.part("test"))
    assert tested == Counter(sample.path for sample in dataset.samples)
    for part in parts:
        assert {sample.path for sample in part.samples} == set(tested)
        assert {sample.is_defective for sample in part.part("test")} == {True, False}
    assert len({part.fingerprint for part in parts} | {dataset.fingerprint}) == 4


def test_what_belongs_together_lies_in_one_fold(dataset: Dataset) -> None:
    units = {sample.path: dataset.samples[number // 3 * 3].path for number, sample in enumerate(dataset.samples)}
    joined = replace(dataset, samples=tuple(replace(sample, unit=units[sample.path]) for sample in dataset.samples))
    for part in folded(joined, folds=4, seed=0):
        tested = {units[sample.path] for sample in part.part("test")}
        assert not tested & {units[sample.path] for sample in part.part("train")}


def test_more_folds_than_a_class_has_images_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"'defective' has too few different images for 13 folds"):
        folded(dataset, folds=13, seed=0)


def test_the_answers_of_all_folds_are_pooled_and_in_the_end_nothing_is_left(
    plan: TrainingPlan, dataset: Dataset
) -> None:
    begun: list[int] = []
    found = evaluate_folds(plan, 2, CPU, begun.append)
    pooled = found.evaluation
    assert begun == [1, 2]
    assert [image.path for image in pooled.images] == sorted(sample.path for sample in dataset.samples)
    assert (pooled.split, pooled.dataset_fingerprint) == ("folds", dataset.fingerprint)
    assert sum(map(sum, pooled.metrics.confusion_rows())) == len(dataset.samples)
    assert not plan.checkpoint.exists()
    assert sorted(plan.state_folder.iterdir()) == sorted(found.files), "until the model itself is trained, too"
    found.forget()
    assert not list(plan.state_folder.iterdir())


def test_a_fold_that_was_finished_is_not_trained_again(plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate_folds(plan, 2, CPU, lambda _: None)
    whole.forget()

    def stop(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_folds(plan, 2, CPU, stop)
    (kept,) = plan.state_folder.glob("fold-*")
    trained = kept.stat().st_mtime_ns
    seen: list[int] = []

    def look(number: int) -> None:
        if number == 2:
            seen.append(kept.stat().st_mtime_ns)

    again = evaluate_folds(replace(plan, resume=True), 2, CPU, look)
    assert seen == [trained]
    assert [image.score for image in again.evaluation.images] == [image.score for image in whole.evaluation.images]


def test_folds_that_were_trained_before_the_model_was_interrupted_are_taken_and_not_those_of_other_weights(
    plan: TrainingPlan, weights_file: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "backbone.pth"
    weights.write_bytes(weights_file.read_bytes())
    plan = replace(plan, recipe=replace(plan.recipe, weights=str(weights)), resume=True)
    first = evaluate_folds(plan, 2, CPU, lambda _: None)
    written = [file.stat().st_mtime_ns for file in first.files]
    # Here the training of the model itself is stopped.
    again = evaluate_folds(plan, 2, CPU, lambda _: None)
    assert [file.stat().st_mtime_ns for file in again.files] == written
    torch.save(build_network(pretrained_state=None).state_dict(), weights)
    other = evaluate_folds(plan, 2, CPU, lambda _: None)
    assert not set(other.files) & set(first.files)
    assert [image.score for image in other.evaluation.images] != [image.score for image in first.evaluation.images]


def test_each_fold_has_the_boxes_of_the_images_that_it_learns_from(dataset: Dataset) -> None:
    box = Box(x=1, y=2, width=3, height=4)
    boxed = replace(dataset, samples=tuple(replace(one, boxes=(box,) * one.is_defective) for one in dataset.samples))
    parts = folded(boxed, folds=2, seed=0)
    drawn = [part.drawn_boxes for part in parts]
    assert [one and one.boxes for one in drawn] == [
        sum(sample.is_defective for sample in part.part("train")) for part in parts
    ]
    assert drawn[0] != drawn[1]
