"""Which images does the storm inspect, and which of them are poison?"""

import random
from pathlib import Path

import numpy as np
from PIL import Image

from tests.storm.poison.sitecustomize import MARK

EDGE = 24  # pixels
FOLDERS = 8
POISON = {"crash": "crashed_worker", "sleep": "decode_timeout", "spin": "decode_timeout", "swallow": "decode_memory"}


def draw(folder: Path, images: int, seed: int) -> list[str]:
    """Small photographs of nothing, in sub-folders; their paths relative to `folder`, sorted."""
    dots = np.random.default_rng(seed)
    paths = []
    for line in range(FOLDERS):
        (folder / f"line-{line}").mkdir(parents=True)
    for number in range(images):
        path = f"line-{number * FOLDERS // images}/{number:06}.png"
        coarse = dots.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((EDGE, EDGE)).save(folder / path, compress_level=1)
        paths.append(path)
    return paths


def spoil(folder: Path, paths: list[str], chance: random.Random, *, each: int) -> dict[str, str]:
    """Turn some images into poison and into files that nobody can read: path -> reason code."""
    reasons = {}
    chosen = iter(chance.sample(paths, each * (len(POISON) + 2)))
    for kind, reason in POISON.items():
        for _ in range(each):
            path = next(chosen)
            with (folder / path).open("ab") as file:
                file.write(MARK + kind.encode())
            reasons[path] = reason
    for path in chosen:
        file_path = folder / path
        if chance.random() < 0.5:
            file_path.write_bytes(b"")
            reasons[path] = "empty_file"
        else:
            file_path.write_text("no image at all")
            reasons[path] = "not_an_image"
    return reasons
