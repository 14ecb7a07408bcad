"""Which boxes were drawn around the defects of which images, by a file of boxes?

The file is CSV (comma, semicolon or tab) with a header that names path, x, y, width and height, or COCO JSON. Several
boxes of an image are several rows. Numbers are pixels of the upright picture, as it looks once its EXIF orientation is
applied, from its upper left corner; a box of fractions of pixels is widened to whole ones.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.boxes import Box
from trainer.dataset import Entry
from trainer.errors import BoxesError
from trainer.table import located, read_table, read_text

_WHAT = "file of boxes"
_NUMBERS = ("x", "y", "width", "height")
_COLUMNS = ("path", *_NUMBERS)
_DECIMALS = 2  # of a pixel; what is behind them is the noise of whoever computed the box


@dataclass(frozen=True, kw_only=True)
class BoxRow:
    """One box, and where the file says so."""

    path: str  # as it is written there
    box: Box
    where: str  # such as "line 3 of boxes.csv"
    drawn_on: tuple[int, int] | None = None  # width and height of the picture, where the file tells them


def read_boxes(path: Path) -> list[BoxRow]:
    """Every box, in the file's order; BoxesError where it cannot be understood."""
    text = read_text(path, _WHAT, BoxesError)
    is_json = path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "[")
    rows = list(_of_coco(path, text) if is_json else _of_table(path))
    if not rows:
        raise BoxesError(f"{path} holds no box.")
    return rows


def boxes_by_path(root: Path, file: Path, entries: Sequence[Entry], positive: str) -> Mapping[str, list[BoxRow]]:
    """The boxes of each image of the data set. Raises BoxesError for one of any other image, or of a good one."""
    labels = {entry.path: entry.label for entry in entries}
    found: dict[str, list[BoxRow]] = defaultdict(list)
    for row in read_boxes(file):
        path = located(root, file, row.path)
        if path not in labels:
            raise BoxesError(f"{row.where}: {row.path} is not in the data set.")
        if labels[path] != positive:
            raise BoxesError(f"{row.where}: {path} is labelled {labels[path]!r} and has a box here: which is right?")
        found[path].append(row)
    return found


def boxes_within(rows: Sequence[BoxRow], width: int, height: int) -> tuple[Box, ...]:
    """The boxes of one image, sorted, each once, in an upright picture of so many pixels. Raises BoxesError."""
    for row in rows:
        box, there = row.box, row.drawn_on
        if there not in (None, (width, height)):
            raise BoxesError(
                f"{row.where}: {row.path} has {there[0]} x {there[1]} pixels there, and {width} x {height} when it is "
                "upright: boxes are in pixels of the upright picture."
            )
        if box.x < 0 or box.y < 0 or box.x + box.width > width or box.y + box.height > height:
            raise BoxesError(
                f"{row.where}: the box reaches from ({box.x}, {box.y}) to ({box.x + box.width}, {box.y + box.height}), "
                f"out of {row.path}, which has {width} x {height} pixels when it is upright."
            )
    return tuple(sorted({row.box for row in rows}))


def _of_table(path: Path) -> Iterator[BoxRow]:
    (_, header), *body = read_table(path, _WHAT, BoxesError)
    names = [name.lower() for name in header]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise BoxesError(f"{path} needs a first line that names {', '.join(_COLUMNS)}: {missing[0]} is not there.")
    places = [names.index(name) for name in _COLUMNS]
    for line, cells in body:
        where = f"line {line} of {path}"
        if len(cells) <= max(places):
            raise BoxesError(f"{where}: expected {', '.join(_COLUMNS)}, found {cells!r}.")
        written, *numbers = (cells[at] for at in places)
        yield BoxRow(path=written, box=_box(where, numbers), where=where)


def _of_coco(path: Path, text: str) -> Iterator[BoxRow]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise BoxesError(f"{path} is no JSON: {fault}.") from None
    images = _coco_images(path, _objects(path, content, "images"))
    for number, row in enumerate(_objects(path, content, "annotations"), start=1):
        name = row.get("id")
        where = f"annotation {name if isinstance(name, int | str) else f'number {number}'} of {path}"
        image, corners = row.get("image_id"), row.get("bbox")
        if not isinstance(image, int | str) or image not in images:
            raise BoxesError(f"{where}: there is no image {image!r}.")
        if not isinstance(corners, list) or len(corners) != len(_NUMBERS):
            raise BoxesError(f"{where}: bbox has to be [x, y, width, height], not {corners!r}.")
        written = images[image]
        yield BoxRow(path=written["file_name"], box=_box(where, corners), where=where, drawn_on=_size(written))


def _objects(path: Path, content: Any, name: str) -> list[dict[str, Any]]:
    rows = content.get(name) if isinstance(content, dict) else None
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    raise BoxesError(f"{path} is no COCO file: it has no list of objects that is called {name!r}.")


def _coco_images(path: Path, rows: Sequence[Mapping[str, Any]]) -> dict[int | str, Any]:
    images: dict[int | str, Any] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("id"), int | str) or not isinstance(row.get("file_name"), str):
            raise BoxesError(f"image number {number} of {path} needs an id and a file_name.")
        if images.setdefault(row["id"], row) is not row:
            raise BoxesError(f"image {row['id']} stands twice in {path}: which is right?")
    return images


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None


def _box(where: str, written: Sequence[object]) -> Box:
    numbers = dict(zip(_NUMBERS, (_number(value) for value in written), strict=True))
    for (name, number), value in zip(numbers.items(), written, strict=True):
        if number is None:
            raise BoxesError(f"{where}: {name} is {value!r}, which is no number.")
    x, y, width, height = (number for number in numbers.values() if number is not None)
    if width <= 0 or height <= 0:
        raise BoxesError(f"{where}: a box of {width:g} x {height:g} pixels is empty.")
    left, top = (math.floor(round(begin, _DECIMALS)) for begin in (x, y))
    right, bottom = (math.ceil(round(end, _DECIMALS)) for end in (x + width, y + height))
    return Box(x=left, y=top, width=max(1, right - left), height=max(1, bottom - top))


def _number(value: object) -> float | None:
    """None for what is no number that a picture could have."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
