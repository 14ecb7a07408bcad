"""What is this data set: which images, which class each, which half, and can every one be read?

A Dataset is made by trainer.opening and never changes afterwards. What is stored about it is its snapshot.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from db.display import shown
from trainer.boxes import Box
from vision.tiling import Tile

SPLITS = ("train", "test")
_MOST_TOLD = 20  # pairs of near twins in the text
LEARNED_FROM = ("train", "validation")  # a model knows both, by its weights or by its limits


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An image that a folder or a labels file names, not yet opened."""

    path: str  # relative to the data set's folder, with '/'; odd bytes as surrogates, as in os.fsdecode
    label: str
    split: str  # "train" or "test"; empty where it is drawn here, which is done once the images are open
    group: str | None = None  # by the group rule; None: it stands alone


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An image that was opened and decoded."""

    path: str
    label: str
    is_defective: bool
    split: str
    sha256: str  # of the file's bytes
    tile: Tile | None = None  # the part that is learned from, where images are learned from in parts
    boxes: tuple[Box, ...] = ()  # that people drew around its defects, sorted; perhaps not around all of them
    around: tuple[Box, ...] = ()  # what is learned from is drawn around one of these; none: anywhere
    group: str | None = None  # by the group rule; None: it stands alone
    signature: bytes = field(default=b"", repr=False)  # as vision.signature makes it
    unit: str | None = None  # images of one unit (a group, twins) never stand on two sides of a split drawn here


@dataclass(frozen=True, kw_only=True)
class Skip:
    """An image that is left out, and why."""

    path: str
    label: str
    split: str
    reason: str  # a reason code of vision.decode
    detail: str


@dataclass(frozen=True, kw_only=True)
class Twin:
    """Files of the same bytes on both sides of the split: what is learned by heart is then tested."""

    sha256: str
    train_paths: tuple[str, ...]
    test_paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NearTwin:
    """Two files of different bytes that show the same photograph."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class DrawnBoxes:
    """The boxes that a model learns from: the same images with other boxes are another training.

    Not part of the fingerprint, which says of evaluations, too, which images and labels they were on.
    """

    boxes: int
    boxed_images: int
    boxes_sha256: str  # over the sorted (path, x, y, width, height) of every box


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How many usable images one class has in one split."""

    split: str
    label: str
    count: int


@dataclass(frozen=True, kw_only=True)
class DatasetSnapshot:
    """What is remembered of a data set: enough to say later whether it is the same one."""

    fingerprint: str
    root: str
    layout: str  # "split folders", "class folders" or "labels file"
    class_names: tuple[str, str]  # (the positive class, the negative class)
    positive: str
    counts: tuple[ClassCount, ...]
    split_seed: int | None  # None where the folder came with its split
    test_share: float | None
    skipped: tuple[Skip, ...]
    twins: tuple[Twin, ...]
    near_twins_across_splits: int  # test images with a near twin in training
    group_rule: str | None
    training_images: tuple[Sample, ...] = field(repr=False)
    other_files: int  # files that no image suffix names


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The usable samples, sorted by path, and everything that was left out."""

    root: Path
    layout: str
    samples: tuple[Sample, ...]
    positive: str
    negative: str
    fingerprint: str
    skipped: tuple[Skip, ...]
    other_files: int
    split_seed: int | None
    test_share: float | None
    group_rule: str | None = None
    near_twins: tuple[NearTwin, ...] = ()  # sorted by paths

    @property
    def class_names(self) -> tuple[str, str]:
        """(the positive class, the negative class)."""
        return (self.positive, self.negative)

    def part(self, split: str | None) -> tuple[Sample, ...]:
        """The samples of one split, or all of them."""
        return tuple(sample for sample in self.samples if split in (None, sample.split))

    @property
    def drawn_boxes(self) -> DrawnBoxes | None:
        """Those in images that are learned from; None where there are none."""
        boxed = [sample for sample in self.samples if sample.boxes and sample.split in LEARNED_FROM]
        if not boxed:
            return None
        digest = hashlib.sha256()
        for sample in sorted(boxed, key=lambda sample: os.fsencode(sample.path)):
            for box in sample.boxes:
                numbers = f"{box.x} {box.y} {box.width} {box.height}"
                digest.update(os.fsencode(sample.path) + b"\0" + numbers.encode() + b"\n")
        boxes = sum(len(sample.boxes) for sample in boxed)
        return DrawnBoxes(boxes=boxes, boxed_images=len(boxed), boxes_sha256=digest.hexdigest())

    def counts(self) -> tuple[ClassCount, ...]:
        found = Counter((sample.split, sample.label) for sample in self.samples)
        return tuple(
            ClassCount(split=split, label=label, count=found[split, label])
            for split in SPLITS
            for label in self.class_names
        )

    def twins(self) -> tuple[Twin, ...]:
        """Identical files across train and test, sorted by digest."""
        return find_twins(self.samples)

    def parted_groups(self) -> set[str]:
        """Groups with images in test and in what is learned from."""
        sides: dict[str, set[bool]] = defaultdict(set)
        for sample in self.samples:
            if sample.group is not None:
                sides[sample.group].add(sample.split in LEARNED_FROM)
        return {group for group, both in sides.items() if len(both) == 2}

    def near_twins_in_training(self) -> set[str]:
        """The test images that have one."""
        sides = {sample.path: sample.split in LEARNED_FROM for sample in self.samples}
        pairs = [(twin.first, twin.second) for twin in self.near_twins]
        return {
            test for one, other in pairs for test, train in ((one, other), (other, one)) if sides[train] > sides[test]
        }

    def snapshot(self) -> DatasetSnapshot:
        return DatasetSnapshot(
            fingerprint=self.fingerprint,
            root=str(self.root.absolute()),
            layout=self.layout,
            class_names=self.class_names,
            positive=self.positive,
            counts=self.counts(),
            split_seed=self.split_seed,
            test_share=self.test_share,
            skipped=self.skipped,
            twins=self.twins(),
            near_twins_across_splits=len(self.near_twins_in_training()),
            group_rule=self.group_rule,
            training_images=tuple(sample for sample in self.samples if sample.split in LEARNED_FROM),
            other_files=self.other_files,
        )


def fingerprint(samples: Iterable[Sample]) -> str:
    """sha256 over the sorted (path, sha256 of the bytes, label, split, is it defective) of every usable sample.

    Of one that stands together with others (a group, twins), also over its unit: what is held out of the training
    images for validation follows from that, and must be told again from the same fingerprint.
    """
    samples = tuple(samples)
    sizes = Counter(sample.unit for sample in samples)
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: os.fsencode(sample.path)):
        fields = [sample.path, sample.sha256, sample.label, sample.split, str(int(sample.is_defective))]
        if sample.unit is not None and sizes[sample.unit] > 1:
            fields.append(sample.unit)
        digest.update(b"".join(os.fsencode(field) + b"\0" for field in fields) + b"\n")
    return digest.hexdigest()


def find_twins(samples: Iterable[Sample]) -> tuple[Twin, ...]:
    """Files whose bytes stand both in train and in test."""
    sides: dict[str, dict[str, list[str]]] = defaultdict(lambda: {split: [] for split in SPLITS})
    for sample in samples:
        sides[sample.sha256][sample.split].append(sample.path)
    return tuple(
        Twin(sha256=sha256, train_paths=tuple(paths["train"]), test_paths=tuple(paths["test"]))
        for sha256, paths in sorted(sides.items())
        if paths["train"] and paths["test"]
    )


def describe(dataset: Dataset) -> str:
    """What `inspectq dataset check` prints: counts per split and class, what is left out, twins."""
    width = max(len(shown(name)) for name in ("class", *dataset.class_names))
    lines = [
        f"{shown(str(dataset.root))} ({dataset.layout}), positive class: {shown(dataset.positive)}",
        f"fingerprint {dataset.fingerprint}",
        "",
        f"{'class':<{width}}  {'train':>8}  {'test':>8}",
    ]
    counts = {(row.split, row.label): row.count for row in dataset.counts()}
    for label in dataset.class_names:
        figures = "".join(f"  {counts[split, label]:>8}" for split in SPLITS)
        lines.append(f"{shown(label):<{width}}{figures}")
    if dataset.split_seed is not None:
        lines.append(f"\nsplit here: {dataset.test_share:.0%} for the test, seed {dataset.split_seed}")
    lines.append(f"\nunreadable, left out: {len(dataset.skipped)}")
    lines += [f"  {shown(skip.path)}: {skip.reason} ({shown(skip.detail)})" for skip in dataset.skipped]
    twins = dataset.twins()
    lines.append(f"identical files on both sides of the split: {len(twins)}")
    for twin in twins:
        lines.append(f"  {_listed(twin.train_paths)} = {_listed(twin.test_paths)}")
    near = dataset.near_twins
    across = len(dataset.near_twins_in_training())
    lines.append(f"near twins (the same photograph in other bytes): {len(near)} pairs")
    for pair in near[:_MOST_TOLD]:
        lines.append(f"  {shown(pair.first)} ~ {shown(pair.second)} ({pair.similarity:.3f})")
    if len(near) > _MOST_TOLD:
        lines.append(f"  and {len(near) - _MOST_TOLD} more: all are in --format json, the first as pictures in --html")
    lines.append(f"near twins on both sides of the split: {across} test images")
    if dataset.group_rule is not None:
        lines.append(
            f"groups ({shown(dataset.group_rule)}): {len({sample.group for sample in dataset.samples} - {None})}, "
            f"on both sides of the split: {len(dataset.parted_groups())}"
        )
    if dataset.other_files:
        lines.append(f"other files, not images by their names: {dataset.other_files}")
    return "\n".join(lines) + "\n"


def _listed(paths: tuple[str, ...]) -> str:
    return ", ".join(shown(path) for path in paths)
