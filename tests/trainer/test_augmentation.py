"""Is every view of an image drawn anew, repeatably, and from the pixels that inspection sees?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.augmentation import AugmentedImages, Draw, Drawn, derived_seed
from trainer.dataset import Dataset
from trainer.opening import open_dataset
from trainer.recipe import Recipe
from vision.decode import Picture, read_image
from vision.preprocessing import Preprocessing

SAME_COLOURS = dict.fromkeys(("jitter_brightness", "jitter_contrast", "jitter_saturation", "jitter_hue"), 0.0)
NO_CHANCE = {
    "rotation_degrees": 0.0,
    "flip_probability": 0.0,
    "crop_scale_min": 1.0,
    "crop_ratio_max": 1.0,
    **SAME_COLOURS,
}


def drawn(dataset: Dataset, recipe: Recipe, *views: int, image: int = 0) -> Drawn:
    return AugmentedImages(dataset.root, dataset.part("train"), recipe)[Draw(image=image, views=views)]


def pixels(dataset: Dataset, recipe: Recipe, *views: int) -> bytes:
    return drawn(dataset, recipe, *views).pixels.numpy().tobytes()


def test_an_image_differs_between_views_and_repeats_within_one(dataset: Dataset, small_recipe: Recipe) -> None:
    assert pixels(dataset, small_recipe, 1) == pixels(dataset, small_recipe, 1)
    assert pixels(dataset, small_recipe, 1) != pixels(dataset, small_recipe, 2)


def test_views_that_are_drawn_together_are_those_that_are_drawn_alone(dataset: Dataset, small_recipe: Recipe) -> None:
    alone = pixels(dataset, small_recipe, 1) + pixels(dataset, small_recipe, 2) + pixels(dataset, small_recipe, 3)
    assert pixels(dataset, small_recipe, 1, 2, 3) == alone


def test_an_image_is_decoded_once_for_all_its_views(
    dataset: Dataset, small_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def noted(path: Path, *, edge: int | None) -> Picture:
        read.append(path)
        return read_image(path, edge=edge)

    monkeypatch.setattr("trainer.augmentation.read_image", noted)
    assert len(drawn(dataset, small_recipe, 1, 2, 3).pixels) == 3
    assert read == [dataset.root / dataset.part("train")[0].path]


@pytest.mark.parametrize("times", [1, 1.5, 2, 3, 4, 6, 8, 12, 20])
def test_without_chance_training_sees_a_rough_surface_as_sharp_as_inspection_does(
    tmp_path: Path, small_recipe: Recipe, times: float
) -> None:
    edge = round(times * small_recipe.image_size)
    rough = np.random.default_rng(0).normal(128, 60, (edge, edge, 3)).clip(0, 255).astype(np.uint8)
    for split in ("train", "test"):
        for name in ("defective", "ok"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(rough).save(tmp_path / split / name / "a.jpg", quality=95)
    learned = drawn(open_dataset(tmp_path), replace(small_recipe, **NO_CHANCE), 1).pixels[0].numpy().astype(float)
    preprocessing = Preprocessing(size=small_recipe.image_size)
    picture = read_image(tmp_path / "train" / "ok" / "a.jpg", edge=preprocessing.edge)
    inspected = preprocessing.apply(picture.image, (picture.width, picture.height)).astype(float)
    assert learned.std() == pytest.approx(inspected.std(), rel=0.15)


@pytest.mark.parametrize("shape", [(80, 60), (64, 64)])
def test_grey_images_stay_grey_and_are_drawn_as_coloured_ones_are(
    tmp_path: Path, small_recipe: Recipe, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    for split in ("train", "test"):
        for name in ("defective", "ok"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(noise).save(tmp_path / split / name / "a.png")
    strong = replace(small_recipe, jitter_saturation=0.9, jitter_hue=0.4, rotation_degrees=0.0)
    dataset = open_dataset(tmp_path)
    quick = drawn(dataset, strong, 1, 2, 3).pixels.numpy()
    monkeypatch.setattr("trainer.augmentation.is_grey", lambda _: False)
    whole = drawn(dataset, strong, 1, 2, 3).pixels.numpy()
    margin = small_recipe.image_size // 4  # of a tall picture no padding is inside of it
    inside = quick[..., margin:-margin]
    assert (inside == inside[:, :1]).all()
    if shape[0] == shape[1]:  # the colour of padding has a part in the mean about which contrast changes
        assert np.array_equal(quick, whole)


def test_another_seed_draws_other_images(dataset: Dataset, small_recipe: Recipe) -> None:
    assert pixels(dataset, small_recipe, 1) != pixels(dataset, replace(small_recipe, seed=1), 1)


def test_drawing_leaves_the_global_generator_as_it_was(dataset: Dataset, small_recipe: Recipe) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    pixels(dataset, small_recipe, 1)
    assert torch.equal(torch.get_rng_state(), before)


def lit_corner(folder: Path, edge: int, spot: int) -> None:
    """Two images of each class, black but for a white square in the upper left corner."""
    pixels = np.zeros((edge, edge, 3), np.uint8)
    pixels[:spot, :spot] = 255
    for split in ("train", "test"):
        for name in ("defective", "ok"):
            (folder / split / name).mkdir(parents=True)
            Image.fromarray(pixels).save(folder / split / name / "a.png")


def lit_share(tmp_path: Path, recipe: Recipe, views: range) -> np.ndarray:
    """What each view shows of the white corner, as a share of what inspection shows of it at the view's scale."""
    dataset = open_dataset(tmp_path)
    shares = []
    for view in views:
        seen = drawn(dataset, recipe, view).pixels[0].numpy().astype(float)
        white, black = (seen.min(axis=0) > 200).sum(), (seen.max(axis=0) < 40).sum()
        shares.append((white / (white + black)) / (24**2 / 192**2))
    return np.array(shares)


def test_framed_whole_no_view_loses_what_lies_in_a_corner(tmp_path: Path, small_recipe: Recipe) -> None:
    lit_corner(tmp_path, 192, 24)
    strong = replace(
        small_recipe,
        image_size=192,
        rotation_degrees=15,
        quarter_turn_probability=0.5,
        crop_scale_min=0.8,
        **SAME_COLOURS,
    )
    whole = lit_share(tmp_path, replace(strong, framing="whole"), range(1, 40))
    assert whole.min() > 0.8  # the rest is half-lit pixels along its edges
    assert lit_share(tmp_path, replace(strong, framing="crop"), range(1, 40)).min() < 0.2


def test_quarter_turns_show_every_side_up(tmp_path: Path, small_recipe: Recipe) -> None:
    lit_corner(tmp_path, 64, 16)
    still = replace(small_recipe, image_size=64, **NO_CHANCE)
    turning = replace(still, flip_probability=0.5, vertical_flip_probability=0.5, quarter_turn_probability=0.5)
    corners = {
        tuple(int(seen[0, row, column]) for row in (8, -8) for column in (8, -8))
        for view in range(1, 40)
        for seen in [drawn(open_dataset(tmp_path), turning, view).pixels[0].numpy()]
    }
    assert corners == {(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255)}


@pytest.mark.parametrize("framing", ["crop", "whole"])
def test_without_anything_at_random_every_framing_is_what_inspection_sees(
    dataset: Dataset, small_recipe: Recipe, framing: str
) -> None:
    still = replace(small_recipe, image_size=64, framing=framing, **NO_CHANCE)
    sample = dataset.part("train")[0]
    seen = Preprocessing(size=64).apply(read_image(dataset.root / sample.path).image)
    assert np.array_equal(drawn(dataset, still, 1).pixels[0].numpy(), seen)


def test_an_image_that_changed_since_it_was_opened_is_named(folders: Path, small_recipe: Recipe) -> None:
    dataset = open_dataset(folders)
    first, second = (folders / sample.path for sample in dataset.part("train")[:2])
    first.write_bytes(second.read_bytes())
    second.unlink()
    changed, vanished = (drawn(dataset, small_recipe, 1, image=image) for image in (0, 1))
    assert f"{first} was changed since training began" in (changed.fault or "")
    assert f"{second} cannot be read any more" in (vanished.fault or "")


def test_neighbouring_numbers_give_unrelated_seeds_that_fit() -> None:
    seeds = {derived_seed(0, epoch, index) for epoch in range(20) for index in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
