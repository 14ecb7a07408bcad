"""What does a sample folder hold, and how is it written without ever holding more than one image?

train/ and test/ with a folder per class, an unlabelled incoming/ with odd files, and labels.csv with the truth.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vision.samples.odd_files import ODD_FILES, write_odd_files
from vision.samples.photograph import BLOCK, Photograph, draw_photograph

SIZE = 320  # pixels, the edge of a photograph
TEST_EVERY = 4  # one block of labelled images in four is for the test
FEWEST_IMAGES = 2 * BLOCK  # a block for training and a block for the test: each holds both classes
INCOMING_SHARE = 4  # one incoming image for every four labelled ones
_LINES = 2  # sub-folders of incoming/, as if from two production lines
_MARKER = "sample.json"
_TRUTH = "labels.csv"
_ODD = "incoming/odd"


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """What was drawn. Counts of files."""

    root: Path
    train: int
    test: int
    incoming: int  # all files in incoming/, the odd ones included
    bad_files: int  # of them, those that cannot be read


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one photograph goes."""

    index: int
    folder: str  # "train", "test" or "incoming"


def files_to_draw(images: int) -> int:
    """How often `on_image` is called for `images` labelled images."""
    return images + images // INCOMING_SHARE


def draw_sample_set(
    root: Path,
    *,
    images: int = 400,
    seed: int = 0,
    size: int = SIZE,
    station: bool = False,
    on_image: Callable[[], None] | None = None,
) -> SampleSet:
    """Draw `images` labelled photographs and a quarter as many unlabelled ones into `root`.

    At a `station` (see `draw_photograph`) they all show one product, which is far easier to learn.

    The same arguments draw the same files again. Raises FileExistsError where `root` holds anything else, and
    ValueError where `images` is too small for both classes in train/ and in test/.
    """
    if images < FEWEST_IMAGES:
        raise ValueError(f"a sample set needs at least {FEWEST_IMAGES} labelled images")
    _claim(root, {"images": images, "seed": seed, "size": size, "station": station})
    counts = dict.fromkeys(("train", "test", "incoming"), 0)
    with (root / _TRUTH).open("w", encoding="utf-8", newline="") as stream:
        truth = csv.writer(stream)
        truth.writerow(("path", "label", "part", "defect", "severity"))
        for place in _places(images):
            photograph = draw_photograph(seed, place.index, size, station=station)
            path = _path(place, photograph)
            _save(root / path, photograph)
            truth.writerow((path, *_truth(photograph)))
            counts[place.folder] += 1
            if on_image is not None:
                on_image()
        photograph = draw_photograph(seed, files_to_draw(images), size, station=station)
        write_odd_files(root / _ODD, photograph)
        truth.writerows((f"{_ODD}/{name}", *_truth(photograph)) for name, odd in ODD_FILES.items() if odd.shows_part)
    return SampleSet(
        root=root,
        train=counts["train"],
        test=counts["test"],
        incoming=counts["incoming"] + len(ODD_FILES),
        bad_files=sum(odd.unreadable for odd in ODD_FILES.values()),
    )


def _claim(root: Path, arguments: dict[str, Any]) -> None:
    """The marker goes first: a drawing that was cut off may be drawn again."""
    root.mkdir(parents=True, exist_ok=True)
    marker = root / _MARKER
    drawn = _read(marker)
    if drawn != arguments and any(root.iterdir()):
        held = "another sample" if drawn is not None else "other files"
        raise FileExistsError(f"{root} holds {held} already. Name an empty or a new folder.")
    marker.write_text(json.dumps(arguments), encoding="utf-8")


def _read(marker: Path) -> Any:
    """The arguments of an earlier drawing; None where there was none or it was cut off while noting them."""
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _places(images: int) -> Iterator[_Place]:
    for index in range(images):
        # By whole blocks, each with one defective image: no part of the set can lack a class.
        yield _Place(index=index, folder="test" if index // BLOCK % TEST_EVERY == 1 else "train")
    for index in range(images, files_to_draw(images)):
        yield _Place(index=index, folder="incoming")


def _path(place: _Place, photograph: Photograph) -> str:
    """Nothing in the name of an incoming image tells its class."""
    name = f"{place.index:06}.jpg"
    if place.folder == "incoming":
        return f"incoming/line-{place.index % _LINES + 1}/{name}"
    return f"{place.folder}/{photograph.label}/{name}"


def _truth(photograph: Photograph) -> tuple[str, str, str, str]:
    return photograph.label, photograph.part, photograph.defect, photograph.severity


def _save(file: Path, photograph: Photograph) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph.pixels).save(file, "JPEG", quality=photograph.jpeg_quality)
