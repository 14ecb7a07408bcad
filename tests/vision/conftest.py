"""Which small models and pictures do the tests of this folder share?"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from vision.checkpoint import CheckpointInfo
from vision.network import Network, build_network
from vision.preprocessing import Preprocessing
from vision.saved_network import save_checkpoint


@pytest.fixture(scope="session")
def info() -> CheckpointInfo:
    return CheckpointInfo(
        class_names=("good", "defective"),
        positive_class="defective",
        preprocessing=Preprocessing(size=64),
        recipe={"epochs": 10, "lr": 0.001},
        dataset_fingerprint="0123abcd",
        code_version="0.1.0",
        created="2026-01-02T03:04:05+00:00",
    )


@pytest.fixture(scope="session")
def network() -> Network:
    """Random weights, with a head that spreads its answers, so that scores differ from picture to picture."""
    torch.manual_seed(7)
    network = build_network(pretrained_state=None)
    network.eval()
    prepare = Preprocessing(size=64)
    pixels = np.stack([prepare.apply(Image.fromarray(blocks(seed))) for seed in range(10)])
    with torch.no_grad():
        logits = network(prepare.normalise(torch.from_numpy(pixels)))
        spread = (logits[:, 1] - logits[:, 0]).std()
        network.fc.weight.div_(spread)
        network.fc.bias.sub_(logits.mean(dim=0)).div_(spread)
    return network


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory, network: Network, info: CheckpointInfo) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(path, network, info)
    return path


def blocks(seed: int, width: int = 72, height: int = 48) -> NDArray[np.uint8]:
    """A picture of random coloured 8 x 8 blocks, shape (height, width, 3)."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(small, np.ones((8, 8, 1), dtype=np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Ten different good pictures."""
    paths = [tmp_path / f"part {number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        Image.fromarray(blocks(number)).save(path)
    return paths
