"""Which images does a folder name, in which class and on which side of the split?

Three layouts: train/ and test/ with a folder per class; a folder per class (the split is drawn here); any
folder with a labels file (the split is drawn here too). Nothing is opened yet, and nothing drawn: which images have to
stay together is known once they are open.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.classes import find_positive
from trainer.dataset import SPLITS, Entry
from trainer.errors import ClassesUnclear, DatasetError
from trainer.grouping import GroupRule
from trainer.labels import Condition, LabelsFile, read_labels
from trainer.table import located
from vision.decode import DEFAULT_LIMITS, Limits
from vision.suffixes import IMAGE_SUFFIXES

# The two classes of a labels file that is read through a condition.
_BY_CONDITION = ("defective", "non-defective")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a folder is to be read; the defaults are those of the command line."""

    positive: str | None = None
    labels: LabelsFile | None = None
    test_share: float = 0.25
    seed: int = 0
    group: GroupRule | None = None  # which images belong to one thing
    part_twins: bool = False  # the split is drawn as if twins were strangers, like those of published figures
    needed: tuple[str, ...] = SPLITS  # the splits that must hold both classes
    limits: Limits = DEFAULT_LIMITS
    boxes: Path | None = None  # a file of boxes around defects, as trainer.box_file reads it


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found, sorted by path."""

    layout: str
    entries: tuple[Entry, ...]
    other_files: int
    drawn: bool  # the split was drawn here
    positive: str | None


def find_entries(root: Path, reading: Reading) -> Found:
    """Every image that `root` names, with its group. Raises DatasetError."""
    if reading.labels is not None:
        found = _by_labels_file(root, reading.labels, reading)
    elif reading.group is not None and reading.group.kind == "column":
        raise DatasetError("--group column:NAME names a column of a labels file: say which file with --labels.")
    else:
        found = _by_folders(root, reading)
    return found if reading.group is None else replace(found, entries=reading.group.grouped(found.entries))


def _by_folders(root: Path, reading: Reading) -> Found:
    present = [split for split in SPLITS if (root / split).is_dir()]
    for split in reading.needed if present else ():
        if split not in present:
            raise DatasetError(
                f"{root} holds {present[0]}/ but no {split}/: add it, or name a folder with one folder per "
                "class, from which the test images are drawn."
            )
    entries: list[Entry] = []
    others = 0
    for split, folder in [(split, root / split) for split in present] or [("", root)]:
        inside, other = _class_folders(root, folder, split)
        entries += inside
        others += other
    layout = "split folders" if present else "class folders"
    entries.sort(key=lambda entry: os.fsencode(entry.path))
    return Found(
        layout=layout,
        entries=tuple(entries),
        other_files=others,
        drawn=not present,
        positive=reading.positive,
    )


def _class_folders(root: Path, folder: Path, split: str) -> tuple[list[Entry], int]:
    """The images below each class folder of `folder`, at any depth; the number of other files."""
    entries: list[Entry] = []
    others = 0
    classes = sorted(child for child in folder.iterdir() if child.is_dir() and not _hidden(child.name))
    if not classes:
        raise DatasetError(f"{folder} holds no folder: it needs one folder of images per class.")
    for child in classes:
        images = 0
        for path in _files(child):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                entries.append(Entry(path=path.relative_to(root).as_posix(), label=child.name, split=split))
                images += 1
            else:
                others += 1
        if images == 0:
            raise DatasetError(f"{child} holds no image: fill the class or remove its folder.")
    return entries, others


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (Path(place, name) for name in names if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _by_labels_file(root: Path, file: LabelsFile, reading: Reading) -> Found:
    column = reading.group.argument if reading.group is not None and reading.group.kind == "column" else None
    rows = read_labels(replace(file, group_column=column))
    condition = None if file.positive_if is None else Condition.parse(file.positive_if)
    entries: dict[str, Entry] = {}
    for row in rows:
        label = row.label if condition is None else _BY_CONDITION[not condition.holds(row)]
        entry = Entry(path=located(root, file.path, row.path), label=label, split="", group=row.group)
        if entries.setdefault(entry.path, entry).label != label:
            raise DatasetError(
                f"line {row.line} of {file.path}: {row.path} is labelled {label!r} here and "
                f"{entries[entry.path].label!r} before: which is right?"
            )
    ordered = sorted(entries.values(), key=lambda entry: os.fsencode(entry.path))
    return Found(
        layout="labels file",
        entries=tuple(ordered),
        other_files=0,
        drawn=True,
        positive=reading.positive if condition is None else _BY_CONDITION[0],
    )


def two_classes(found: Found, reading: Reading) -> tuple[str, str]:
    """(positive, negative), or an error that names what was found."""
    counts = Counter(entry.label for entry in found.entries)
    names = sorted(counts)
    if len(names) == 1:
        raise DatasetError(
            f"Only one class was found, {names[0]!r}: the network learns to tell two apart, so images of "
            "good and of defective parts are both needed."
        )
    if len(names) > 2:
        shown = ", ".join(f"{name!r} ({counts[name]})" for name in names[:12])
        way_out = (
            "say what is defective with --positive-if, such as '!=ok'"
            if reading.labels is not None
            else "put the good parts into one folder and the defective ones, in sub-folders, into another"
        )
        raise DatasetError(f"{len(names)} classes were found, {shown}: two are needed; {way_out}.")
    try:
        positive = find_positive(names, found.positive)
    except ClassesUnclear as fault:
        if reading.labels is not None and reading.positive is None:
            raise ClassesUnclear(f"{fault} Numbers are told apart with --positive-if '>=0.5'.") from None
        raise
    return positive, next(name for name in names if name != positive)
