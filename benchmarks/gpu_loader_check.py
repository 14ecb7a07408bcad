"""Do pinned buffers and non-blocking copies give the GPU the pictures that the CPU sees?

    python benchmarks/gpu_loader_check.py [--images 400] [--device cuda:0]

Draws pictures, some files among them unreadable, scores them on the CPU and on the GPU, with small batches so that
every pinned buffer is used again many times, and compares. Exit code 0: all scores within 1e-3, every unreadable file
in its place. 1: they differ. 2: there is no GPU here, nothing was checked.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vision.checkpoint import CheckpointInfo
from vision.inspection import score_images
from vision.network import build_network
from vision.pipeline import ImageScore
from vision.preprocessing import Preprocessing
from vision.saved_network import load_checkpoint, save_checkpoint
from vision.torch_runtime import TorchRuntime

TOLERANCE = 1e-3  # of a probability: float32 sums in another order, and nothing more
EVERY_NTH_BROKEN = 17


def draw(folder: Path, count: int) -> list[Path]:
    """`count` files of random coloured blocks in many sizes; every 17th is no image."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        height, width = random.integers(20, 80, 2)
        blocks = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        path = folder / f"{number:05}.png"
        if number % EVERY_NTH_BROKEN == EVERY_NTH_BROKEN - 1:
            path.write_bytes(b"no image")
        else:
            Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8))).save(path)
        paths.append(path)
    return paths


def make_checkpoint(path: Path, sample: list[Path]) -> None:
    """Random weights whose head spreads the answers, so that swapped pictures would show."""
    torch.manual_seed(1)
    network, preprocessing = build_network(pretrained_state=None).eval(), Preprocessing()
    pixels = []
    for file in sample:
        with Image.open(file) as image:
            pixels.append(preprocessing.apply(image.convert("RGB")))
    with torch.no_grad():
        logits = network(preprocessing.normalise(torch.from_numpy(np.stack(pixels))))
        spread = (logits[:, 1] - logits[:, 0]).std()
        network.fc.weight.div_(spread)
        network.fc.bias.sub_(logits.mean(dim=0)).div_(spread)
    info = CheckpointInfo(
        class_names=("good", "defective"),
        positive_class="defective",
        preprocessing=preprocessing,
        recipe={},
        dataset_fingerprint="drawn",
        code_version="check",
        created="",
    )
    save_checkpoint(path, network, info)


def compare(expected: list[ImageScore], actual: list[ImageScore]) -> tuple[int, float]:
    """How many outcomes are wrong, and the largest difference of two scores."""
    wrong, largest = abs(len(expected) - len(actual)), 0.0
    for one, other in zip(expected, actual, strict=False):
        if (one.index, one.sha256, one.reason) != (other.index, other.sha256, other.reason):
            wrong += 1
        elif one.score is not None and other.score is not None:
            difference = abs(one.score - other.score)
            largest = max(largest, difference)
            wrong += difference > TOLERANCE
    return wrong, largest


def run(images: int, device: str) -> int:
    """Draw, score twice, compare; the answer is the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = draw(folder, images)
        make_checkpoint(folder / "model.safetensors", paths[:16])
        expected = list(score_images(paths, TorchRuntime(load_checkpoint(folder / "model.safetensors"), "cpu")))
        spread = float(np.ptp([one.score for one in expected if one.score is not None]))
        runtime = TorchRuntime(load_checkpoint(folder / "model.safetensors"), device)
        failed = spread < 100 * TOLERANCE  # were all scores alike, swapped pictures would go unseen
        print(f"{images} files on {runtime.device}; CPU scores spread over {spread:.3f}")
        for batch_size in (1, 3, 32):
            started = time.perf_counter()
            actual = list(score_images(paths, runtime, batch_size=batch_size))
            seconds = time.perf_counter() - started
            wrong, largest = compare(expected, actual)
            failed = failed or wrong > 0
            print(f"batch {batch_size:3}: {wrong} wrong, largest difference {largest:.2e}, {seconds:.1f} s")
    print("DIFFERENT" if failed else "same scores")
    return 1 if failed else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--device", default="cuda:0")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("there is no CUDA device here: nothing was checked", file=sys.stderr)
        return 2
    return run(arguments.images, arguments.device)


if __name__ == "__main__":
    sys.exit(main())
