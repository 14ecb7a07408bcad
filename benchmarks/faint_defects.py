"""Which input size do faint defects need, and what does it cost?

    python -m benchmarks.faint_defects OUT --weights FILE [--images N] [--edge PIXELS] [--sizes 224 320 448]

Draws photographs of one product at a station, whose every defect is faint, and trains `inspectq train --image-size S`
on half of them for each S, and with `--tile` once. OUT keeps photographs and models; what is there is not made again.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.homes import Home
from benchmarks.machine import described
from vision.cores import usable_cores
from vision.samples import draw_photograph

SEED = 20261127


def main() -> None:
    options = parse()
    home = Home(folder=options.out.resolve() / "home")
    home.folder.mkdir(parents=True, exist_ok=True)
    photographs = draw(options.out / f"photographs-{options.edge}-{options.images}", options.images, options.edge)
    ways = [("--image-size", str(size)) for size in options.sizes]
    ways += [("--tile", str(options.tile))] if options.tile else []
    rows = [measured(home, photographs, way, options) for way in ways]
    print(f"{described()}\n\n{options.images} photographs of {options.edge} x {options.edge} pixels, half of them for")
    print("the test, a third of them defective, every defect faint.\n")
    print("\n".join(table(rows)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--edge", type=int, default=640, help="of a photograph, in pixels")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 320, 448])
    parser.add_argument("--tile", type=int, default=320, help="edge of the tiles, in pixels; 0: without")
    return parser.parse_args()


def draw(folder: Path, images: int, edge: int) -> Path:
    """The first half of the series is train/, the second test/; a folder that is complete is taken as it is."""
    if not (folder / "complete").exists():
        with ProcessPoolExecutor(usable_cores()) as pool:
            list(pool.map(partial(_draw_one, folder, images, edge), range(images), chunksize=8))
        (folder / "complete").touch()
    return folder


def _draw_one(folder: Path, images: int, edge: int, index: int) -> None:
    drawn = draw_photograph(SEED, index, edge, station=True, severity="faint")
    place = folder / ("train" if index < images // 2 else "test") / drawn.label
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn.pixels).save(place / f"{index:05}.jpg", quality=drawn.jpeg_quality)


def measured(home: Home, photographs: Path, way: tuple[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """What one training came to."""
    name = "-".join((photographs.name, *way)).replace("--", "")
    made = home.folder.parent / f"{name}.json"
    if not made.exists():
        print(f"{name} …", flush=True)
        asked = ("--weights", options.weights, "--name", name, "--no-export", "--format", "json")
        told = json.loads(home.run("train", photographs, *way, *asked).output)
        shown = json.loads(home.run("models", "show", name, "--format", "json").output)
        began, ended = (datetime.fromisoformat(shown[key]) for key in ("trained_from", "trained_until"))
        made.write_text(json.dumps({**told, "seconds": (ended - began).total_seconds()}, indent=2))
    return {"way": " ".join(way), **json.loads(made.read_text())}


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Markdown."""
    yield "| | accuracy | AUROC | recall of defects | false alarms | training |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows:
        rates = (row["accuracy"], row["auroc"], 1 - row["miss_rate"], row["false_alarm_rate"])
        shown = " | ".join(f"{rate:.4f}" for rate in rates)
        yield f"| `{row['way']}` | {shown} | {row['seconds'] / 60:.1f} min |"


if __name__ == "__main__":
    main()
