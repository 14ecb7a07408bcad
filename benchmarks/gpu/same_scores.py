"""Do pinned buffers and copies that nobody waits for give the GPU the pictures that the CPU sees?

Pictures are drawn, some files among them unreadable, and scored on the CPU and on the GPU, in small batches so that
every buffer is used again many times.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vision.checkpoint import CheckpointInfo
from vision.network import build_network
from vision.pipeline import Group, ImageScore, score_groups
from vision.preprocessing import Preprocessing
from vision.runtime import Runtime
from vision.saved_network import load_checkpoint, save_checkpoint
from vision.torch_runtime import TorchRuntime

TOLERANCE = 1e-3  # of a probability: float32 sums in another order, and nothing more
EVERY_NTH_BROKEN = 17
BATCH_SIZES = (1, 3, 32)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What came of the comparison."""

    files: int
    spread: float  # of the CPU's scores: were all alike, swapped pictures would go unseen
    wrong: int  # outcomes that differ, over all batch sizes
    largest_difference: float  # of two scores

    @property
    def proven(self) -> bool:
        return self.wrong == 0 and self.spread >= 100 * TOLERANCE


def make_checkpoint(path: Path) -> Path:
    """Random weights whose head spreads the answers."""
    torch.manual_seed(1)
    network, preprocessing = build_network(pretrained_state=None).eval(), Preprocessing()
    rng = np.random.default_rng(1)
    pixels = np.stack([preprocessing.apply(_picture(rng)) for _ in range(16)])
    with torch.no_grad():
        logits = network(preprocessing.normalise(torch.from_numpy(pixels)))
        spread = (logits[:, 1] - logits[:, 0]).std()
        network.fc.weight.div_(spread)
        network.fc.bias.sub_(logits.mean(dim=0)).div_(spread)
    info = CheckpointInfo(
        class_names=("good", "defective"),
        positive_class="defective",
        preprocessing=preprocessing,
        recipe={},
        dataset_fingerprint="drawn",
        code_version="benchmark",
        created="",
    )
    save_checkpoint(path, network, info)
    return path


def compare(checkpoint: Path, folder: Path, device: str, count: int = 400) -> Agreement:
    """Draw `count` files into `folder` and score them on the CPU and on `device`, both in fp32."""
    paths = _draw(folder, count)
    expected = _scored(paths, TorchRuntime(load_checkpoint(checkpoint), "cpu"), None)
    scores = [one.score for one in expected if one.score is not None]
    runtime = TorchRuntime(load_checkpoint(checkpoint), device)
    wrong, largest = 0, 0.0
    for batch_size in BATCH_SIZES:
        actual = _scored(paths, runtime, batch_size)
        wrong += abs(len(expected) - len(actual))
        for one, other in zip(expected, actual, strict=False):
            if (one.index, one.sha256, one.reason) != (other.index, other.sha256, other.reason):
                wrong += 1
            elif one.score is not None and other.score is not None:
                difference = abs(one.score - other.score)
                largest = max(largest, difference)
                wrong += difference > TOLERANCE
    return Agreement(files=count, spread=float(np.ptp(scores)), wrong=wrong, largest_difference=largest)


def _scored(paths: list[Path], runtime: Runtime, batch_size: int | None) -> list[ImageScore]:
    groups = [Group(of=None, paths=paths)]
    return [one for _, some in score_groups(groups, runtime, batch_size=batch_size) for one in some]


def _draw(folder: Path, count: int) -> list[Path]:
    """Files of coloured blocks in many sizes; every 17th is no image."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:05}.png"
        if number % EVERY_NTH_BROKEN == EVERY_NTH_BROKEN - 1:
            path.write_bytes(b"no image")
        else:
            _picture(rng).save(path)
        paths.append(path)
    return paths


def _picture(rng: np.random.Generator) -> Image.Image:
    height, width = rng.integers(20, 80, 2)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8)))
