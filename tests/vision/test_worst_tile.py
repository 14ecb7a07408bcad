"""Does the worst tile of an image decide, wherever it lies, and is it named, with and without a guard?"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vision.decode import Limits
from vision.guard import Guard
from vision.inspection import score_images
from vision.pipeline import Group, ImageScore, score_groups
from vision.preprocessing import Preprocessing
from vision.runtime import Answers, Pixels
from vision.tiling import Tile

TILED = Preprocessing(size=16, tile=32)


@dataclass
class Brightest:
    """A runtime whose score is how bright the brightest pixel of a square is: what decides is known beforehand."""

    engine = "test"
    precision = "fp32"
    device = "cpu"
    preprocessing = TILED
    batch_size = 3
    lanes: int = 0

    def buffer(self, rows: int) -> Pixels:
        return np.empty((rows, 3, 16, 16), dtype=np.uint8)

    def score(self, pixels: Pixels) -> Answers:
        assert pixels.shape[1:] == (3, 16, 16)
        assert len(pixels) <= self.batch_size
        brightest = pixels.reshape(len(pixels), -1).max(axis=1) / np.float32(255)
        return Answers(scores=brightest.astype(np.float32), novelties=pixels.mean(axis=(1, 2, 3)).astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark images of several sizes, each with one bright spot; one without, and one that is none."""
    root = tmp_path_factory.mktemp("large")
    for number, (size, spot) in enumerate([((200, 90), (150, 60)), ((33, 33), (2, 2)), ((20, 12), (5, 5))]):
        image = Image.new("RGB", size, (20, 20, 20))
        ImageDraw.Draw(image).rectangle((*spot, spot[0] + 3, spot[1] + 3), fill=(240, 240, 240))
        image.save(root / f"{number}.png")
    Image.new("RGB", (100, 100), (20, 20, 20)).save(root / "3.png")
    (root / "4.png").write_bytes(b"no image")
    return root


def scored(folder: Path, runtime: Brightest) -> list[ImageScore]:
    return list(score_images(sorted(folder.iterdir()), runtime, threads=2))


@pytest.mark.parametrize("lanes", [0, 2])
def test_the_tile_with_the_spot_decides_and_its_novelty_counts(folder: Path, lanes: int) -> None:
    spotted = scored(folder, Brightest(lanes=lanes))
    for outcome, (x, y) in zip(spotted[:3], [(150, 60), (2, 2), (5, 5)], strict=True):
        tile = outcome.tile
        assert tile is not None
        assert tile.x <= x < x + 4 <= tile.x + tile.width
        assert tile.y <= y < y + 4 <= tile.y + tile.height
        image = Image.open(folder / f"{outcome.index}.png")
        assert outcome.score == pytest.approx(max(square.max() for square in TILED.squares(image)) / 255, rel=1e-6)
        assert outcome.novelty == pytest.approx(float(TILED.apply_to(tile, image).mean()), rel=1e-5)
        assert (outcome.width, outcome.height) == image.size


def test_of_tiles_alike_the_first_decides_and_what_is_no_image_keeps_its_reason(folder: Path) -> None:
    plain, none = scored(folder, Brightest())[3:]
    assert plain.tile == Tile(x=0, y=0, width=32, height=32)
    assert (none.reason, none.score, none.tile) == ("not_an_image", None, None)


def test_a_guarded_decoder_hands_over_the_same_tiles(folder: Path) -> None:
    runtime, paths = Brightest(), sorted(folder.iterdir())
    with Guard(TILED, Limits()) as guard:
        groups = [Group(of=None, paths=paths, guard=guard)]
        guarded = [one for _, outcomes in score_groups(groups, runtime, threads=1) for one in outcomes]
    free = scored(folder, runtime)
    assert [replace(one, detail=None) for one in guarded] == [replace(one, detail=None) for one in free]


def test_progress_is_told_of_every_few_tiles(folder: Path) -> None:
    told: list[None] = []
    group = Group(of=None, paths=[folder / "0.png"], on_progress=lambda: told.append(None))
    assert list(score_groups([group], Brightest(), threads=1))
    tiles = len(list(TILED.tiles(200, 90)))
    assert len(told) >= tiles / Brightest.batch_size
