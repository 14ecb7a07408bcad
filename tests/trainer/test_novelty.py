"""Does a model keep what is typical of its training images, and tell others from it?"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from trainer import novelty as remembering
from trainer.dataset import Dataset
from trainer.errors import TrainingInterrupted
from trainer.novelty import remember, spread, within
from trainer.progress import Step
from trainer.recipe import Recipe
from trainer.training import TrainingPlan, train
from vision.decode import read_image
from vision.novelty import directions
from vision.saved_network import load_checkpoint
from vision.tiling import Tile
from vision.torch_runtime import TorchRuntime


def rows(count: int, seed: int, width: int = 8) -> torch.Tensor:
    return directions(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)))


@given(count=some.integers(1, 40), most=some.integers(1, 50), seed=some.integers(0, 2**31))
@settings(max_examples=50)
def test_what_is_kept_lies_farther_apart_than_anything_from_it(count: int, most: int, seed: int) -> None:
    """The law of farthest-first traversal: the pairs that were kept are no nearer than what is farthest from all."""
    all_rows = rows(count, seed)
    kept = spread(all_rows, most, seed=seed)
    assert len(set(kept.tolist())) == len(kept) == min(count, most)
    cosines = all_rows @ all_rows[kept].T
    to_others = cosines[kept].fill_diagonal_(-1)
    assert float(to_others.max()) <= float(cosines.amax(dim=1).min()) + 1e-6


def test_equal_images_are_no_trouble() -> None:
    same = rows(1, 0, 512).repeat(30, 1)
    kept = remember(same, same[:0], seed=1)
    assert kept.radius == remembering.SMALLEST_RADIUS
    assert float(kept(same).max()) < 1


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (98, 98), (99, 99), (100, 100), (199, 198), (1000, 991)])
def test_the_radius_is_the_one_that_the_next_image_stays_within(count: int, expected: int) -> None:
    assert within(torch.arange(1, count + 1).flip(0).float(), 0.99) == expected


def test_of_no_distance_there_is_no_radius() -> None:
    assert within(torch.empty(0), 0.99) == 0


def test_enough_validation_images_decide_alone_and_few_are_joined_by_training_images() -> None:
    train, far = rows(300, 1, 512), -rows(300, 1, 512)
    close = directions(train + 0.01 * rows(300, 2, 512))
    assert remember(train, close[:150], seed=0).radius < 0.001
    assert remember(train, far[:150], seed=0).radius > 0.9
    # Fifty of either kind: the training images, which lie at right angles to each other, are the larger part.
    assert remember(train, close[:50], seed=0).radius == pytest.approx(0.9, abs=0.1)


def test_one_in_a_hundred_of_unseen_ordinary_images_is_farther_away_than_one() -> None:
    """Whoever is measured with the others: training images alone, seen and unseen ones alike."""
    centres = rows(20, 3, 512)
    draw = torch.Generator().manual_seed(4)
    drawn = centres[torch.randint(20, (4000,), generator=draw)] + 0.02 * torch.randn(4000, 512, generator=draw)
    ordinary = directions(drawn)
    found = remember(ordinary[:1500], ordinary[:0], seed=0)(ordinary[1500:])
    assert 0.004 < float((found > 1).float().mean()) < 0.02


@pytest.fixture
def plan(tmp_path: Path, dataset: Dataset, small_recipe: Recipe) -> TrainingPlan:
    return TrainingPlan(
        dataset=dataset,
        recipe=small_recipe,
        checkpoint=tmp_path / "models" / "model.safetensors",
        state_folder=tmp_path / "state",
        device="cpu",
    )


def novelties(made: TrainingPlan, pictures: list[Image.Image]) -> list[float]:
    checkpoint = load_checkpoint(made.checkpoint)
    prepare = checkpoint.info.preprocessing
    answers = TorchRuntime(checkpoint, "cpu").score(np.stack([prepare.apply(picture) for picture in pictures]))
    assert answers.novelties is not None
    found: list[float] = answers.novelties.tolist()
    return found


@pytest.mark.parametrize(
    "changes", [{"views": 2, "precision": "bfloat16"}, {"train_from": "layer4", "validation_share": 0.25}]
)
def test_a_trained_model_knows_its_images_however_it_was_trained(
    plan: TrainingPlan, changes: dict[str, object]
) -> None:
    made = replace(plan, recipe=replace(plan.recipe, **changes))  # type: ignore[arg-type]
    outcome = train(made)
    assert outcome.info.novelty_radius is not None
    kept = load_checkpoint(made.checkpoint).novelty
    assert kept is not None
    held_out = 4 if "validation_share" in changes else 0
    assert kept.features.shape == (16 - held_out, 512)
    seen = [read_image(made.dataset.root / sample.path).image for sample in made.dataset.part("train")]
    # What was computed here and there differs in the last digits: each BatchNorm is folded in training.
    tolerance = 1e-5 / outcome.info.novelty_radius
    assert sum(novelty < tolerance for novelty in novelties(made, seen)) >= 16 - held_out
    assert max(novelties(made, seen)) <= 1 + tolerance, "the farthest of so few is the measure"


def test_blank_and_foreign_pictures_are_far_and_test_images_are_not(plan: TrainingPlan) -> None:
    train(plan)
    others = [Image.new("RGB", (72, 72), (level,) * 3) for level in (0, 128, 255)]
    stripes = np.indices((72, 72)).sum(0) // 3 % 2 * 255
    others.append(Image.fromarray(stripes.astype(np.uint8)).convert("RGB"))
    ordinary = [read_image(plan.dataset.root / sample.path).image for sample in plan.dataset.part("test")]
    assert max(novelties(plan, ordinary)) < min(novelties(plan, others))
    assert min(novelties(plan, others)) > 1


def test_an_interruption_while_it_is_computed_costs_no_epoch_and_changes_no_byte(plan: TrainingPlan) -> None:
    whole = train(plan)

    def interrupt(step: Step) -> None:
        if step.epoch > step.epochs:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="after epoch 2 of 2"):
        train(plan, interrupt)
    learned: list[int] = []
    again = train(replace(plan, resume=True), lambda step: learned.append(step.epoch))
    assert set(learned) == {3}
    first, second = (load_checkpoint(made.checkpoint).novelty for made in (whole, again))
    assert first is not None
    assert second is not None
    assert torch.equal(first.features, second.features)
    assert math.isclose(first.radius, second.radius)


def test_of_many_images_some_are_asked_and_copies_count_once(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, plan: TrainingPlan
) -> None:
    copies = tuple(replace(sample, sha256=dataset.samples[0].sha256) for sample in dataset.samples)
    chosen: Callable[..., tuple[object, ...]] = remembering._some
    assert len(chosen(copies, 0)) == 1
    monkeypatch.setattr(remembering, "ASKED", 5)
    assert len(chosen(dataset.samples, 0)) == 5
    assert chosen(dataset.samples, 0) == chosen(dataset.samples, 0) != chosen(dataset.samples, 1)


def test_of_a_large_image_the_chosen_tile_is_asked_and_none_that_is_drawn(dataset: Dataset) -> None:
    sample = dataset.part("train")[0]
    chosen = replace(sample, tile=Tile(x=8, y=8, width=16, height=16))
    assert remembering._some((sample, chosen, sample), seed=0) == (chosen,)
