"""Is the box inside what is learned from, wherever it lies and however large it is?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from trainer.augmentation import AugmentedImages, Draw
from trainer.boxes import MARGIN, Box, can_be_drawn_around, showing, starts_around
from trainer.dataset import Sample
from trainer.opening import open_dataset
from trainer.recipe import Recipe
from vision.tiling import tiles

EDGE = 40


def shown_by(box: Box, width: int = 120, height: int = 80, overlap: float = 0.25) -> set[tuple[int, int]]:
    """Where the tiles begin that show the box well."""
    grid = list(tiles(width, height, EDGE, overlap))
    return {(grid[number].x, grid[number].y) for number in showing(grid, box)}


def test_of_a_small_box_the_tiles_that_hold_it_show_it_well() -> None:
    assert {tile.x for tile in tiles(120, 80, EDGE, 0.25)} == {0, 26, 53, 80}
    assert shown_by(Box(x=2, y=2, width=10, height=10)) == {(0, 0)}
    assert shown_by(Box(x=28, y=2, width=10, height=10)) == {(0, 0), (26, 0)}


def test_of_a_box_across_a_border_it_is_the_tile_that_has_more_of_it() -> None:
    assert shown_by(Box(x=35, y=2, width=20, height=10), overlap=0) == {(40, 0)}


def test_of_a_box_larger_than_a_tile_all_that_lie_inside_it_do() -> None:
    assert shown_by(Box(x=20, y=0, width=100, height=80)) == {(x, y) for x in (26, 53, 80) for y in (0, 20, 40)}


def test_no_place_is_drawn_around_a_box_that_is_longer_and_wider_than_a_tile() -> None:
    assert can_be_drawn_around(Box(x=0, y=0, width=300, height=EDGE), EDGE)
    assert not can_be_drawn_around(Box(x=0, y=0, width=EDGE + 1, height=EDGE + 1), EDGE)


@given(st.data())
def test_every_drawn_place_holds_the_box_or_lies_in_it_and_in_the_picture(data: st.DataObject) -> None:
    edge, length = data.draw(st.integers(1, 500)), data.draw(st.integers(1, 900))
    side = data.draw(st.integers(max(edge, length), 1500))
    begin = data.draw(st.integers(0, side - length))
    first, last = starts_around(begin, length, edge, side - edge)
    assert 0 <= first <= last <= side - edge
    for start in (first, last):
        if length <= edge:
            assert start <= begin
            assert start + edge >= begin + length
        else:
            assert begin <= start
            assert start + edge <= begin + length


def test_in_the_middle_of_a_picture_there_is_a_margin_that_turning_may_take() -> None:
    first, last = starts_around(500, 50, 200, 800)
    assert (first, last) == (500 + 50 + 200 * MARGIN - 200, 500 - 200 * MARGIN)


@pytest.fixture
def recipe(small_recipe: Recipe) -> Recipe:
    """Of views in which nothing is drawn but the place."""
    still = {"rotation_degrees": 0, "flip_probability": 0, "crop_scale_min": 1, "crop_ratio_max": 1}
    still |= {f"jitter_{name}": 0 for name in ("brightness", "contrast", "saturation", "hue")}
    return replace(small_recipe, tile=EDGE, **still)


def sample_of(folder: Path, image: Image.Image, box: Box, **saved: object) -> Sample:
    """The one sample of a data set that has this defective image, as tiles of it are drawn around the box."""
    for split in ("train", "test"):
        for name, one in (("ng", image), ("ok", Image.new("RGB", (50, 50), (90, 90, 90)))):
            (folder / split / name).mkdir(parents=True)
            one.save(folder / split / name / "1.png", **saved)
    sample = next(one for one in open_dataset(folder).part("train") if one.is_defective)
    return replace(sample, boxes=(box,), around=(box,))


def test_what_is_drawn_around_a_box_shows_all_of_it_and_its_place_changes_with_the_view(
    tmp_path: Path, recipe: Recipe
) -> None:
    image = Image.new("RGB", (120, 80), (150, 150, 150))
    ImageDraw.Draw(image).rectangle((70, 60, 79, 69), fill=(10, 10, 10))
    sample = sample_of(tmp_path, image, Box(x=70, y=60, width=10, height=10))
    images = AugmentedImages(tmp_path, (sample,), recipe)
    views = images[Draw(image=0, views=tuple(range(1, 9)))].pixels.numpy()
    dark = [int((view[0] < 80).sum()) for view in views]
    whole = (10 * 32 / EDGE) ** 2
    assert min(dark) == pytest.approx(whole, rel=0.35), "nothing of the hole is cut off"
    assert max(dark) == pytest.approx(whole, rel=0.35)
    assert len({view.tobytes() for view in views}) > 4


def test_a_box_is_in_pixels_of_the_upright_picture(tmp_path: Path, recipe: Recipe) -> None:
    lying = Image.new("RGB", (80, 120), (150, 150, 150))
    ImageDraw.Draw(lying).rectangle((0, 0, 9, 9), fill=(10, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what lies on the upper left is then on the upper right
    sample = sample_of(tmp_path, lying, Box(x=110, y=0, width=10, height=10), exif=exif)
    images = AugmentedImages(tmp_path, (sample,), recipe)
    views = images[Draw(image=0, views=(1, 2, 3))].pixels.numpy()
    assert np.array([(view[0] < 80).sum() for view in views]) == pytest.approx((10 * 32 / EDGE) ** 2, rel=0.35)
