"""What do the rivals share? Their arguments, their pictures' way to the network, and how they account for themselves.

They inspect the same folder with the same weights, and see what our own scan sees: the whole picture, scaled to fit
(bilinear, antialiased) and padded with the mean colour, so that their verdicts can be compared with ours. Images are
decoded in full, as Pillow does it unless it is told otherwise. Results end in an SQLite file.
"""

import argparse
import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pad, resize

from benchmarks.machine import versions
from vision.checkpoint import POSITIVE_INDEX
from vision.preprocessing import Preprocessing
from vision.saved_network import load_checkpoint

LIBRARIES = ("torch", "torchvision", "pillow", "timm", "ray")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a rival is asked to do."""

    images: Path
    checkpoint: Path
    out: Path
    workers: int
    batch_size: int
    channels_last: bool

    @classmethod
    def from_arguments(cls, description: str | None) -> "Task":
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--images", type=Path, required=True, help="a folder")
        parser.add_argument("--checkpoint", type=Path, required=True, help="a .safetensors of inspectq")
        parser.add_argument("--out", type=Path, required=True, help="the SQLite file to write")
        parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
        parser.add_argument("--batch-size", type=int, default=32)
        parser.add_argument("--channels-last", action="store_true")
        return cls(**vars(parser.parse_args()))

    def paths(self) -> list[Path]:
        """The images, sorted."""
        return sorted(path for path in self.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))

    def weights(self) -> tuple[Mapping[str, Tensor], Preprocessing]:
        """Of the checkpoint: what any ResNet18 for two classes can load, and what pictures it wants."""
        checkpoint = load_checkpoint(self.checkpoint)
        return checkpoint.network.state_dict(), checkpoint.info.preprocessing

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def fitted(image: Image.Image, size: int, colour: Sequence[int]) -> Image.Image:
    """The whole picture in the middle of a square of `size` pixels."""
    image = resize(image, None, max_size=size) if max(image.size) != size else image
    left, top = (size - image.width) // 2, (size - image.height) // 2
    margins = [left, top, size - image.width - left, size - image.height - top]
    padded: Image.Image = pad(image, margins, fill=list(colour))
    return padded


class Transform:
    """A decoded picture as the network's input."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._size, self._colour = preprocessing.size, preprocessing.padding_colour
        self._normalise = v2.Compose(
            [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(preprocessing.mean, preprocessing.std)]
        )

    def __call__(self, image: Image.Image) -> Tensor:
        pixels: Tensor = self._normalise(fitted(image, self._size, self._colour))
        return pixels


def defective(logits: Tensor) -> list[float]:
    """P(defective) of each row."""
    return torch.softmax(logits.float(), dim=1)[:, POSITIVE_INDEX].tolist()


class Account:
    """Scores as they come, then one line of JSON about how long it took."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._scores: list[tuple[str, float]] = []
        self._times: list[float] = []  # of time.perf_counter, which all processes of a machine share on Linux

    def add(self, paths: Sequence[str], scores: Sequence[float], times: Sequence[float] | None = None) -> None:
        """A scored batch; `times`: when each image was scored, if not just now."""
        self._scores += zip(paths, scores, strict=True)
        self._times += [time.perf_counter()] * len(scores) if times is None else times

    def close(self, task: Task) -> None:
        """Write the results, then say so on standard output."""
        rows = [(str(Path(path).relative_to(task.images)), score, score >= 0.5) for path, score in self._scores]
        task.out.unlink(missing_ok=True)
        with sqlite3.connect(task.out) as database:
            database.execute("CREATE TABLE result (path TEXT PRIMARY KEY, score REAL, defective INTEGER)")
            database.executemany("INSERT INTO result VALUES (?, ?, ?)", rows)
        database.close()
        line = {
            "name": self._name,
            "images": len(rows),
            "seconds": round(seconds_alive(), 3),
            "steady_images_per_second": self._steady(),
            "versions": versions(LIBRARIES),
        }
        print(json.dumps(line), flush=True)

    def _steady(self) -> float | None:
        """Once the first batch is through; None where there was only one."""
        first, last = min(self._times), max(self._times)
        later = sum(at > first for at in self._times)
        return round(later / (last - first), 3) if later else None


def seconds_alive() -> float:
    """Since the kernel started this process: interpreter and imports included. Linux; within 10 milliseconds."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
