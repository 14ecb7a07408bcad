"""Which small data sets and weights do the tests of this folder share?"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from threadpoolctl import threadpool_limits
from torch import nn

from trainer.dataset import Dataset
from trainer.opening import open_dataset
from trainer.recipe import Recipe, report_recipe
from vision.network import build_network


def draw_part(path: Path, defective: bool, seed: int) -> None:
    """A grey disc on a dark ground, 72 x 72; a defective one has a bright gash."""
    random = np.random.default_rng([seed, defective])
    ground = random.normal(60, 8, (72, 72)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(ground).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.ellipse((8, 8, 64, 64), fill=(120, 125, 130))
    if defective:
        left, top = random.integers(18, 34, 2).tolist()
        pen.rectangle((left, top, left + 18, top + 12), fill=(250, 240, 60))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def draw_split_folders(root: Path, train: int = 8, test: int = 4) -> Path:
    """train/ and test/ with `train` and `test` images in each of the classes defective and ok."""
    for split, count in (("train", train), ("test", test)):
        for number in range(count):
            seed = number + (1000 if split == "test" else 0)
            draw_part(root / split / "defective" / f"part {number:02}.png", True, seed)
            draw_part(root / split / "ok" / f"part {number:02}.png", False, seed)
    return root


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Pictures this small gain nothing from several, and several wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # what multiplies matrices for numpy and scipy
        yield
    torch.set_num_threads(before)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder of the test's own, of 12 training and 6 test images, to spoil."""
    return draw_split_folders(tmp_path / "data", train=6, test=3)


@pytest.fixture
def draw() -> Callable[[Path, bool, int], None]:
    """Draws one more part: path, whether it is defective, seed."""
    return draw_part


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only folder of 16 training and 8 test images."""
    return draw_split_folders(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="session")
def dataset(parts: Path) -> Dataset:
    return open_dataset(parts)


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state_dict of random weights: no real features, but real files and real shapes."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    torch.save(build_network(pretrained_state=None).state_dict(), path)
    return path


@pytest.fixture
def small_recipe(weights_file: Path) -> Recipe:
    """The report's recipe, drawing anew in every epoch, at a size that takes seconds."""
    return report_recipe(weights=str(weights_file), image_size=32, epochs=2, batch_size=8, num_workers=0, views=0)


@pytest.fixture
def rows_seen() -> Iterator[list[int]]:
    """How many rows each call passed through a network's first convolution, in this process, from now on."""
    seen: list[int] = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            seen.append(len(inputs[0]))

    handle = nn.modules.module.register_module_forward_pre_hook(count)
    yield seen
    handle.remove()
