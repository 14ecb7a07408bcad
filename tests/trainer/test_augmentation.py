"""Is every image drawn anew in every epoch, repeatably, and from the pixels that inspection sees?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trainer.augmentation import Drawn, EpochImages, derived_seed
from trainer.dataset import Dataset
from trainer.opening import open_dataset
from trainer.recipe import Recipe
from vision.decode import read_image
from vision.preprocessing import Preprocessing


def pixels(drawn: Drawn) -> bytes:
    assert drawn.pixels is not None
    return drawn.pixels.numpy().tobytes()


def images(dataset: Dataset, recipe: Recipe, epoch: int) -> EpochImages:
    return EpochImages(dataset.root, dataset.part("train"), recipe, epoch)


def test_an_image_differs_between_epochs_and_repeats_within_one(dataset: Dataset, small_recipe: Recipe) -> None:
    first, second = images(dataset, small_recipe, 1), images(dataset, small_recipe, 2)
    assert pixels(first[0]) == pixels(first[0])
    assert pixels(first[0]) != pixels(second[0])


def test_another_seed_draws_other_images(dataset: Dataset, small_recipe: Recipe) -> None:
    other = images(dataset, replace(small_recipe, seed=1), 1)
    assert pixels(images(dataset, small_recipe, 1)[0]) != pixels(other[0])


def test_drawing_leaves_the_global_generator_as_it_was(dataset: Dataset, small_recipe: Recipe) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    images(dataset, small_recipe, 1)[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_anything_at_random_it_is_what_inspection_sees(dataset: Dataset, small_recipe: Recipe) -> None:
    still = replace(
        small_recipe,
        image_size=64,
        rotation_degrees=0,
        flip_probability=0,
        crop_scale_min=1,
        crop_ratio_max=1,
        jitter_brightness=0,
        jitter_contrast=0,
        jitter_saturation=0,
        jitter_hue=0,
    )
    sample = dataset.part("train")[0]
    seen = Preprocessing(size=64).apply(read_image(dataset.root / sample.path).image)
    drawn = images(dataset, still, 1)[0].pixels
    assert drawn is not None
    assert np.array_equal(drawn.numpy(), seen)


def test_an_image_that_changed_since_it_was_opened_is_named(folders: Path, small_recipe: Recipe) -> None:
    dataset = open_dataset(folders)
    first, second = (folders / sample.path for sample in dataset.part("train")[:2])
    first.write_bytes(second.read_bytes())
    second.unlink()
    changed, vanished = (images(dataset, small_recipe, 1)[index] for index in (0, 1))
    assert f"{first} was changed since training began" in (changed.fault or "")
    assert f"{second} cannot be read any more" in (vanished.fault or "")


def test_neighbouring_numbers_give_unrelated_seeds_that_fit() -> None:
    seeds = {derived_seed(0, epoch, index) for epoch in range(20) for index in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
