"""Does each perturbation do what its name says, and nothing else?"""

import numpy as np
import pytest
from PIL import Image

from tests.vision.conftest import blocks
from vision.perturbation import PERTURBATIONS


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(blocks(3))


def changed(picture: Image.Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    before = picture.tobytes()
    after = PERTURBATIONS[name](picture)
    assert (after.mode, after.size) == ("RGB", picture.size)
    assert picture.tobytes() == before, "the picture itself stays"
    return np.asarray(after)


def test_a_shift_moves_every_pixel_by_one_and_repeats_the_edge(picture: Image.Image) -> None:
    pixels = np.asarray(picture)
    right, down = changed(picture, "one pixel to the right"), changed(picture, "one pixel down")
    assert (right[:, 1:] == pixels[:, :-1]).all()
    assert (right[:, 0] == pixels[:, 0]).all()
    assert (down[1:] == pixels[:-1]).all()
    assert (down[0] == pixels[0]).all()


@pytest.mark.parametrize(("name", "factor"), [("brightness +5%", 1.05), ("brightness -5%", 0.95)])
def test_light_multiplies_every_value(picture: Image.Image, name: str, factor: float) -> None:
    expected = np.clip(np.asarray(picture) * factor, 0, 255)
    assert np.abs(changed(picture, name) - expected).max() <= 1


def test_a_jpeg_is_close_but_not_the_same(picture: Image.Image) -> None:
    difference = np.abs(changed(picture, "JPEG quality 90").astype(int) - np.asarray(picture))
    assert 0 < difference.mean() < 12
