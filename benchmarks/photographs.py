"""Where do the photographs of a benchmark come from?

    python -m benchmarks.photographs small|fullhd|large DIR [--count N] [--seed S]

`vision.samples` draws a few parts. Each file is a crop of one of them, enlarged to its size, under a sensor's noise and
with a JPEG quality of its own: no two files have the same bytes, and each is as hard to decode as a camera's.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vision.samples import draw_photograph

SHIFTS = 64  # a file's noise is a window of its scene's, moved by up to so many pixels


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a camera delivers. Pixels."""

    width: int
    height: int
    scene: int  # edge of the drawn square that files are cropped from
    scenes: int  # how many are drawn


KINDS = {
    "small": Kind(width=300, height=300, scene=320, scenes=16),
    "fullhd": Kind(width=1920, height=1080, scene=1100, scenes=6),
    "large": Kind(width=4000, height=3000, scene=2100, scenes=4),
}


@dataclass(frozen=True, kw_only=True)
class _Scene:
    picture: Image.Image  # square
    noise: NDArray[np.int16]  # grey levels, (height + SHIFTS, width + SHIFTS)


def draw(folder: Path, kind: str, count: int, seed: int = 0) -> Path:
    """`count` files 000000.jpg, … in `folder`, which it returns. The same arguments give the same bytes.

    A folder that is there already is taken as it is, if it holds so many files; else FileExistsError.
    """
    if folder.exists():
        if (found := sum(1 for _ in folder.iterdir())) != count:
            raise FileExistsError(f"{folder} holds {found} files instead of {count}. Remove it.")
        return folder
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    wanted = KINDS[kind]
    scenes = [_scene(wanted, seed, index) for index in range(min(wanted.scenes, count))]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        _shot(rng, wanted, scenes[number % len(scenes)]).save(
            partial / f"{number:06}.jpg", quality=int(rng.integers(88, 96))
        )
    partial.rename(folder)
    return folder


def _scene(kind: Kind, seed: int, index: int) -> _Scene:
    rng = np.random.default_rng([seed, index, kind.width])
    shape = (kind.height + SHIFTS, kind.width + SHIFTS)
    # Around a middle grey, so that a picture can blur it as lens and demosaicing do.
    grain = 128 + rng.uniform(4.0, 8.0) * rng.standard_normal(shape, dtype=np.float32)
    blurred = Image.fromarray(grain.round().astype(np.uint8)).filter(ImageFilter.BoxBlur(rng.uniform(0.2, 0.4)))
    return _Scene(
        picture=Image.fromarray(draw_photograph(seed, index, kind.scene).pixels),
        noise=np.asarray(blurred, dtype=np.int16) - 128,
    )


def _shot(rng: np.random.Generator, kind: Kind, scene: _Scene) -> Image.Image:
    width = rng.uniform(0.94, 1.0) * scene.picture.width
    height = width * kind.height / kind.width
    left, top = rng.uniform(0, scene.picture.width - width), rng.uniform(0, scene.picture.height - height)
    box = (left, top, left + width, top + height)
    clean = scene.picture.resize((kind.width, kind.height), Image.Resampling.BICUBIC, box=box)
    down, right = rng.integers(0, SHIFTS, 2)
    noise = scene.noise[down : down + kind.height, right : right + kind.width, None]
    noisy = np.asarray(clean, dtype=np.int16) + (noise if rng.random() < 0.5 else -noise)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(draw(options.folder, options.kind, options.count, options.seed))


if __name__ == "__main__":
    main()
