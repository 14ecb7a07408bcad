"""Are kept features those of the exact recipe, computed once, and unharmed by an interruption?"""

import fcntl
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainer.backbone import Backbone
from trainer.batches import Source, epoch_batches, epoch_order
from trainer.dataset import Dataset
from trainer.errors import TrainerError, TrainingInterrupted
from trainer.features import KeptFeatures
from trainer.progress import Step
from trainer.recipe import Recipe, report_recipe
from trainer.training import TrainingOutcome, TrainingPlan, train
from vision.network import build_network, freeze_before, load_weights
from vision.saved_network import load_checkpoint

IMAGES = 16  # for training, in `dataset`
IN_THE_END = IMAGES  # rows: the trained model keeps what it says of each image as inspection sees it


@pytest.fixture(scope="module")
def recipe(weights_file: Path) -> Recipe:
    """Two views, on which three epochs take turns; features are computed four images at a time."""
    return report_recipe(weights=str(weights_file), image_size=32, epochs=3, batch_size=8, num_workers=0, views=2)


@pytest.fixture
def plan(tmp_path: Path, dataset: Dataset, recipe: Recipe) -> TrainingPlan:
    return TrainingPlan(
        dataset=dataset, recipe=recipe, checkpoint=tmp_path / "model", state_folder=tmp_path / "state", device="cpu"
    )


@pytest.fixture(scope="module")
def uninterrupted(
    dataset: Dataset, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    """The weights that `plan` ends with where nothing happens."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    plan = TrainingPlan(dataset=dataset, recipe=recipe, checkpoint=folder / "model", state_folder=folder, device="cpu")
    return weights_of(train(plan))


def source(dataset: Dataset, recipe: Recipe) -> Source:
    network = build_network(pretrained_state=load_weights(recipe.weights).state)
    freeze_before(network, "head")
    return Source(dataset=dataset, recipe=recipe, backbone=Backbone(network, recipe))


def weights_of(outcome: TrainingOutcome) -> dict[str, torch.Tensor]:
    return load_checkpoint(outcome.checkpoint, outcome.digest).network.state_dict()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def numbers(recipe: Recipe, epoch: int) -> list[int]:
    return list(chain.from_iterable(epoch_order(recipe, IMAGES, epoch)))


def stop_at(epoch: int, batch: int) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        if (step.epoch, step.batch) == (epoch, batch):
            raise KeyboardInterrupt

    return on_step


def test_view_v_is_what_the_exact_recipe_computes_in_epoch_v(dataset: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    read = source(dataset, recipe)
    kept = KeptFeatures(read, tmp_path / "features").load(None, lambda: None)
    assert kept.shape == (IMAGES, 2, 512)
    for view in (1, 2):
        order = numbers(recipe, view)
        exact = torch.cat([batch.features for batch in epoch_batches(read, [view])])
        torch.testing.assert_close(torch.from_numpy(kept[order, view - 1]), exact, rtol=1e-5, atol=1e-5)
    assert not np.allclose(kept[:, 0], kept[:, 1], rtol=1e-2)


def test_as_many_views_as_epochs_train_the_exact_recipes_model(plan: TrainingPlan, recipe: Recipe) -> None:
    exact = train(replace(plan, recipe=replace(recipe, views=0)))
    weights = weights_of(exact)
    kept = train(replace(plan, recipe=replace(recipe, views=3)))
    torch.testing.assert_close(weights_of(kept), weights, rtol=1e-4, atol=1e-5)
    assert [one.loss for one in kept.history] == pytest.approx([one.loss for one in exact.history], rel=1e-4)


def test_epochs_take_turns_on_the_views(dataset: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    keeping = KeptFeatures(source(dataset, recipe), tmp_path / "features")
    kept = keeping.load(None, lambda: None)
    made = torch.cat([batch.features for batch in keeping.epoch_batches(kept, range(2, 5))])
    expected = [kept[numbers(recipe, epoch), view] for epoch, view in ((2, 1), (3, 0), (4, 1))]
    assert np.array_equal(made.numpy(), np.concatenate(expected))


@pytest.mark.parametrize(("views", "rows"), [(0, 3 * IMAGES), (1, IMAGES), (2, 2 * IMAGES), (50, 3 * IMAGES)])
def test_frozen_layers_see_each_view_of_an_image_once(
    plan: TrainingPlan, recipe: Recipe, rows_seen: list[int], views: int, rows: int
) -> None:
    """A view that no epoch would use is seen by nobody."""
    train(replace(plan, recipe=replace(recipe, views=views)))
    assert sum(rows_seen) == rows + IN_THE_END


def test_a_pass_that_was_interrupted_goes_on_where_it_stopped(
    plan: TrainingPlan, uninterrupted: dict[str, torch.Tensor], rows_seen: list[int]
) -> None:
    with pytest.raises(TrainingInterrupted, match="--resume keeps its features"):
        train(plan, stop_at(0, 3))
    (left,) = plan.state_folder.iterdir()
    with left.open("ab") as file:
        file.write(b"half a row")
    rows_seen.clear()
    steps: list[Step] = []
    assert_same(weights_of(train(replace(plan, resume=True), steps.append)), uninterrupted)
    assert sum(rows_seen) == 2 * 4 + IN_THE_END  # of 16 images, the last four
    assert [(step.batch, step.batches, step.loss) for step in steps if step.epoch == 0] == [(4, 4, None)]


def test_what_is_left_of_half_a_batch_is_computed_again(
    plan: TrainingPlan, uninterrupted: dict[str, torch.Tensor], rows_seen: list[int]
) -> None:
    with pytest.raises(TrainingInterrupted):
        train(plan, stop_at(0, 2))
    (left,) = plan.state_folder.iterdir()
    with left.open("r+b") as file:
        file.truncate(7 * 2 * 512 * 4)
    rows_seen.clear()
    assert_same(weights_of(train(replace(plan, resume=True))), uninterrupted)
    assert sum(rows_seen) == 2 * 12 + IN_THE_END


def test_a_resumed_training_uses_the_features_again(
    plan: TrainingPlan, uninterrupted: dict[str, torch.Tensor], rows_seen: list[int]
) -> None:
    with pytest.raises(TrainingInterrupted, match="after epoch 2 of 3"):
        train(plan, stop_at(3, 1))
    rows_seen.clear()
    resumed = train(replace(plan, resume=True))
    assert_same(weights_of(resumed), uninterrupted)
    assert (resumed.resumed_after, sum(rows_seen)) == (2, IN_THE_END)


def test_without_resume_nothing_is_used_again_and_in_the_end_nothing_is_left(
    plan: TrainingPlan, rows_seen: list[int]
) -> None:
    with pytest.raises(TrainingInterrupted):
        train(plan, stop_at(3, 1))
    rows_seen.clear()
    train(plan)
    assert sum(rows_seen) == 2 * IMAGES + IN_THE_END
    assert list(plan.state_folder.iterdir()) == []


def test_features_too_large_for_memory_are_read_from_their_file_and_train_the_same_model(
    plan: TrainingPlan,
    recipe: Recipe,
    uninterrupted: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.features.BYTES_IN_MEMORY", IMAGES * 2 * 512 * 4 - 1)
    kept = KeptFeatures(source(plan.dataset, recipe), tmp_path / "features").load(None, lambda: None)
    assert isinstance(kept, np.memmap)
    assert_same(weights_of(train(plan)), uninterrupted)


def test_a_second_training_of_the_same_does_not_write_the_same_file(
    dataset: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "features"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TrainerError, match="running already"):
            KeptFeatures(source(dataset, recipe), path).load(None, lambda: None)


def test_a_disk_without_room_is_named_before_anything_is_computed(
    dataset: Dataset, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_seen: list[int]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=IMAGES * 2 * 512 * 4 - 1))
    with pytest.raises(TrainerError, match=r"No space left on device.*2 views.*--views 0"):
        KeptFeatures(source(dataset, recipe), tmp_path / "features").load(None, lambda: None)
    assert rows_seen == []


def test_a_file_that_cannot_be_written_is_one_sentence(dataset: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"cannot be written \(Is a directory\)"):
        KeptFeatures(source(dataset, recipe), tmp_path).load(None, lambda: None)
