"""What is gained by decoding a JPEG at the scale that is needed, and what is lost?

    python -m benchmarks.reduced_decode [--images N] [--rounds N] [--kind large] [--checkpoint FILE]

Milliseconds per image on one core, from the file's bytes to the network's square of pixels: decoded in full, and at
reduced scale where the library offers it. For our own way, Pillow's, also how far pixels and scores move. Libraries
that are not installed are left out.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

os.environ["VIPS_CONCURRENCY"] = "1"  # read when pyvips is imported

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import described
from benchmarks.photographs import KINDS, draw
from vision.decode import DEFAULT_LIMITS, decode
from vision.preprocessing import Preprocessing
from vision.runtime import Runtime, Scores

Pixels = NDArray[np.uint8]  # (3, size, size)
Way = Callable[[bytes], Pixels]
FULL, REDUCED = Preprocessing(decode="full"), Preprocessing(decode="reduced")


def main() -> None:
    options = parse()
    ways = {name: way for build in (pillow, simplejpeg, torchvision, pyvips) for name, way in build().items()}
    with tempfile.TemporaryDirectory(prefix="inspectq-bench-") as name:
        files = sorted(draw(Path(name) / "images", options.kind, options.images).iterdir())
        contents = [file.read_bytes() for file in files]
    milliseconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for content in contents:
            for name, way in ways.items():
                began = time.perf_counter()
                way(content)
                milliseconds[name].append(1000 * (time.perf_counter() - began))
    kind = KINDS[options.kind]
    print(f"{len(contents)} JPEGs of {kind.width} x {kind.height} pixels, ", end="")
    print(f"{statistics.mean(map(len, contents)) / 2**20:.1f} MiB each, on one core\n")
    print("| | ms per image | times Pillow's full | least, most |\n| --- | ---: | ---: | ---: |")
    base = statistics.median(milliseconds["Pillow, full"])
    for name, spent in milliseconds.items():
        median = statistics.median(spent)
        print(f"| {name} | {median:.1f} | {base / median:.2f} | {min(spent):.1f}, {max(spent):.1f} |")
    report_differences(contents, options.checkpoint)
    print(f"\n{described()}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, default="large")
    parser.add_argument("--checkpoint", type=Path, help="how far its scores move")
    return parser.parse_args()


def pillow() -> dict[str, Way]:
    """Our own way, as training and inspection go it."""

    def way(preprocessing: Preprocessing) -> Way:
        def pixels(content: bytes) -> Pixels:
            seen = decode(content, DEFAULT_LIMITS.max_pixels, edge=preprocessing.edge)
            return preprocessing.apply(seen.image, (seen.width, seen.height))

        return pixels

    return {"Pillow, full": way(FULL), "Pillow, reduced": way(REDUCED)}


def simplejpeg() -> dict[str, Way]:
    """libjpeg-turbo by another door; scaled as near as its factors allow."""
    try:
        import simplejpeg as library  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return {}

    def full(content: bytes) -> Pixels:
        return FULL.apply(Image.fromarray(library.decode_jpeg(content)))

    def reduced(content: bytes) -> Pixels:
        height, width, *_ = library.decode_jpeg_header(content)
        scale = REDUCED.size / max(height, width)
        rows, columns = (max(1, int(side * scale)) for side in (height, width))
        seen = library.decode_jpeg(content, min_height=rows, min_width=columns, min_factor=1)
        return REDUCED.apply(Image.fromarray(seen), (width, height))

    return {"simplejpeg, full": full, "simplejpeg, reduced": reduced}


def torchvision() -> dict[str, Way]:
    """Decodes in full only; resized by torch."""
    try:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms.v2.functional import pad, resize
    except ImportError:
        return {}
    torch.set_num_threads(1)

    def full(content: bytes) -> Pixels:
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        image = resize(decode_jpeg(encoded, mode=ImageReadMode.RGB), None, max_size=FULL.size, antialias=True)
        down, right = FULL.size - image.shape[1], FULL.size - image.shape[2]
        pixels: Pixels = pad(image, [right // 2, down // 2, right - right // 2, down - down // 2]).numpy()
        return pixels

    return {"torchvision.io, full": full}


def pyvips() -> dict[str, Way]:
    """libvips: its thumbnail decodes at reduced scale."""
    try:
        import pyvips as library  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except (ImportError, OSError):
        return {}

    def full(content: bytes) -> Pixels:
        return FULL.apply(Image.fromarray(library.Image.new_from_buffer(content, "").numpy()))

    def reduced(content: bytes) -> Pixels:
        seen = library.Image.thumbnail_buffer(content, REDUCED.size, height=REDUCED.size)
        return REDUCED.apply(Image.fromarray(seen.numpy()))

    return {"pyvips, full": full, "pyvips, reduced": reduced}


def report_differences(contents: list[bytes], checkpoint: Path | None) -> None:
    """Pillow's reduced pixels, and their scores, against those of full decoding."""
    ways = pillow()
    full, reduced = (
        np.stack([ways[f"Pillow, {name}"](content) for content in contents]) for name in ("full", "reduced")
    )
    width, height = Image.open(io.BytesIO(contents[0])).size
    seen = _inside(full.shape[-1], width, height)
    pixels = np.abs(full[..., *seen].astype(np.int16) - reduced[..., *seen])
    print(f"\nPixels, Pillow reduced against full, of 255: mean {pixels.mean():.2f}, ", end="")
    print(f"99th percentile {np.percentile(pixels, 99):.0f}, largest {pixels.max()}.")
    if checkpoint is None:
        return
    from vision.saved_network import load_checkpoint
    from vision.torch_runtime import TorchRuntime

    runtime = TorchRuntime(load_checkpoint(checkpoint), "cpu")
    scores = np.abs(_scores(runtime, full) - _scores(runtime, reduced))
    print(f"Scores: mean difference {scores.mean():.4f}, largest {scores.max():.4f}.")


def _inside(size: int, width: int, height: int) -> tuple[slice, slice]:
    """The rows and columns of the square that are not padding."""
    scale = size / max(width, height)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - rows) // 2, (size - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def _scores(runtime: Runtime, pixels: Pixels) -> Scores:
    return np.concatenate([runtime.score(pixels[start : start + 8]).scores for start in range(0, len(pixels), 8)])


if __name__ == "__main__":
    main()
