"""Does preparation keep the whole part in the picture, and does its fingerprint notice every change?"""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vision import preprocessing as module
from vision.decode import CONVERSION_VERSION
from vision.preprocessing import Preprocessing, PreprocessingError
from vision.tiling import Tile


def test_the_result_is_a_contiguous_square_with_channels_first() -> None:
    array = Preprocessing(size=50).apply(Image.new("RGB", (80, 60), (1, 2, 3)))
    assert array.shape == (3, 50, 50)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    assert array[:, 25, 25].tolist() == [1, 2, 3]


@pytest.mark.parametrize("measures", [(100, 40), (40, 100), (64, 64), (7, 3)])
def test_every_edge_of_the_part_stays_in_the_picture(measures: tuple[int, int]) -> None:
    """A frame of four colours around the picture must be found again on all four sides."""
    width, height = measures
    image = Image.new("RGB", measures, (0, 0, 0))
    image.paste((255, 0, 0), (0, 0, width, 1))
    image.paste((0, 255, 0), (0, height - 1, width, height))
    array = Preprocessing(size=max(measures)).apply(image)
    left, top = (array.shape[2] - width) // 2, (array.shape[1] - height) // 2
    inner = array[:, top : top + height, left : left + width].transpose(1, 2, 0)
    assert np.array_equal(inner, np.asarray(image))


def test_padding_has_the_mean_colour_and_the_image_lies_in_the_middle() -> None:
    preprocessing = Preprocessing(size=20)
    array = preprocessing.apply(Image.new("RGB", (40, 20), (9, 9, 9)))
    assert (array[:, 5:15] == 9).all()
    for row in (0, 4, 15, 19):
        assert array[:, row, 3].tolist() == list(preprocessing.padding_colour) == [124, 116, 104]


def test_reduction_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    array = Preprocessing(size=16).apply(Image.fromarray(stripes))
    assert np.abs(array[:, :, 1:-1].astype(int) - 127).max() <= 2


def test_a_sliver_keeps_at_least_one_pixel() -> None:
    array = Preprocessing(size=8).apply(Image.new("RGB", (4000, 1), (7, 7, 7)))
    assert (array == 7).all(axis=(0, 2)).sum() == 1


def test_normalisation_is_the_formula_of_the_weights() -> None:
    preprocessing = Preprocessing(size=1)
    batch = torch.tensor([[[[255]], [[0]], [[128]]]], dtype=torch.uint8)
    result = preprocessing.normalise(batch).flatten().tolist()
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert result == pytest.approx(expected, abs=1e-6)
    assert batch.dtype == torch.uint8


def test_the_values_survive_json() -> None:
    preprocessing = Preprocessing(size=320, mean=(0.1, 0.2, 0.3))
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


@pytest.mark.parametrize(
    "change",
    [{"size": 225}, {"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.5)}],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_every_value(change: dict[str, Any]) -> None:
    plain = Preprocessing()
    assert dataclasses.replace(plain, **change).fingerprint != plain.fingerprint == Preprocessing().fingerprint


def test_the_fingerprint_changes_with_the_decoders_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Preprocessing().fingerprint
    monkeypatch.setattr(module, "CONVERSION_VERSION", CONVERSION_VERSION + 1)
    assert Preprocessing().fingerprint != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resize": "squash"}, "'squash' is unknown"),
        ({"size": 0}, "1 to 4096"),
        ({"std": [0.2, 0.0, 0.2]}, "positive"),
        ({"mean": [0.5]}, "three numbers"),
        ({"mean": None}, "unknown here"),
        ({"crop": 0.9}, "crop"),
    ],
)
def test_values_that_are_not_understood_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PreprocessingError, match=words):
        Preprocessing.from_dict({**Preprocessing().to_dict(), **change})


def rough(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(4).integers(0, 255, (height, width, 3), dtype=np.uint8))


def tiled(preprocessing: Preprocessing, image: Image.Image) -> list[tuple[Tile, Any]]:
    return list(zip(preprocessing.tiles(*image.size), preprocessing.squares(image), strict=True))


def test_tiles_of_the_networks_size_are_the_pixels_themselves() -> None:
    image = rough(100, 70)
    pixels = np.asarray(image)
    found = tiled(Preprocessing(size=32, tile=32), image)
    assert len(found) == 4 * 3
    for tile, square in found:
        part = pixels[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        assert np.array_equal(square.transpose(1, 2, 0), part)


def test_larger_tiles_are_scaled_each_by_itself() -> None:
    image = rough(128, 64)
    found = tiled(Preprocessing(size=32, tile=64, tile_overlap=0), image)
    assert [(tile.x, tile.y) for tile, _ in found] == [(0, 0), (64, 0)]
    whole = Preprocessing(size=32)
    for tile, square in found:
        assert np.array_equal(square, whole.apply(image.crop((tile.x, 0, tile.x + 64, 64))))


def test_a_picture_smaller_than_a_tile_keeps_the_scale_of_the_others() -> None:
    ((tile, square),) = tiled(Preprocessing(size=32, tile=64), Image.new("RGB", (40, 20), (9, 9, 9)))
    assert (tile.width, tile.height) == (40, 20)
    assert (square == 9).all(axis=0).sum() == 20 * 10


def test_without_tiles_there_is_one_square_the_whole_picture() -> None:
    image = rough(100, 70)
    (square,) = Preprocessing(size=32).squares(image, (200, 140))
    assert np.array_equal(square, Preprocessing(size=32).apply(image, (200, 140)))


def test_what_a_picture_of_one_square_is_made_of_has_the_fingerprint_that_it_had() -> None:
    assert "tile" not in Preprocessing().to_dict()
    tiled = Preprocessing(tile=448)
    assert Preprocessing.from_dict(json.loads(json.dumps(tiled.to_dict()))) == tiled
    assert len({one.fingerprint for one in (Preprocessing(), tiled, Preprocessing(tile=448, tile_overlap=0.5))}) == 3
    assert (Preprocessing().edge, tiled.edge) == (448, None)


@pytest.mark.parametrize("change", [{"tile": 100}, {"tile": 2**20}, {"tile": 448, "tile_overlap": 0.9}])
def test_tiles_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PreprocessingError, match="tiles"):
        Preprocessing(**change)
