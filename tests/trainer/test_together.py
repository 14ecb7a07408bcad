"""Do groups and twins stay on one side of every split drawn here, and does a seed without them draw as before?"""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from trainer.dataset import Dataset, Entry, describe
from trainer.errors import DatasetError
from trainer.finding import Reading
from trainer.grouping import GroupRule
from trainer.labels import LabelsFile
from trainer.opening import open_dataset
from trainer.split import stratified_split
from trainer.validation import held_out

Draw = Callable[[Path, bool, int], None]


@pytest.fixture
def class_folders(tmp_path: Path, draw: Draw) -> Path:
    """Twelve parts in each class, two photographs of each: ng/a.3.png, ng/b.3.png."""
    for number in range(12):
        for take in "ab":
            draw(tmp_path / "ng" / f"{take}.{number:02}.png", True, number * 2 + (take == "b"))
            draw(tmp_path / "good" / f"{take}.{number:02}.png", False, number * 2 + (take == "b"))
    return tmp_path


def sides(dataset: Dataset) -> dict[str, str]:
    return {sample.path: sample.split for sample in dataset.samples}


def read(root: Path, rule: str, **reading: object) -> Dataset:
    return open_dataset(root, Reading(group=GroupRule.parse(rule), **reading))  # type: ignore[arg-type]


def test_without_groups_and_twins_images_are_drawn_one_by_one(class_folders: Path) -> None:
    dataset = open_dataset(class_folders)
    assert dataset.near_twins == ()
    drawn = stratified_split(
        [sample.path.encode() for sample in dataset.samples],
        [sample.label for sample in dataset.samples],
        test_share=0.25,
        seed=0,
    )
    assert [sample.split == "test" for sample in dataset.samples] == drawn


def test_a_rule_by_which_all_images_are_one_group_is_blamed_for_the_empty_side(class_folders: Path) -> None:
    with pytest.raises(DatasetError, match=r"All its images are of one group \('\.'\), and no split parts a group"):
        read(class_folders, r"name:(.)png")


@pytest.mark.parametrize("seed", range(3))
def test_a_group_by_name_stays_together_in_test_and_validation(class_folders: Path, seed: int) -> None:
    dataset = read(class_folders, r"name:\.(\d+)\.", seed=seed)
    parted = held_out(dataset, share=0.3, seed=seed)
    for number in range(12):
        assert len({split for path, split in sides(parted).items() if f".{number:02}." in path}) == 1
    assert {split for _, split in sides(parted).items()} == {"train", "validation", "test"}
    assert dataset.snapshot().group_rule == r"name:\.(\d+)\."


def test_a_copy_in_other_bytes_stays_with_its_original_and_the_fingerprint_says_so(class_folders: Path) -> None:
    before = open_dataset(class_folders)
    for number in range(0, 12, 3):
        with Image.open(class_folders / f"ng/a.{number:02}.png") as original:
            original.rotate(180).save(class_folders / f"ng/copy.{number:02}.png")
    dataset = open_dataset(class_folders)
    assert [(twin.first, twin.second) for twin in dataset.near_twins] == [
        (f"ng/a.{number:02}.png", f"ng/copy.{number:02}.png") for number in range(0, 12, 3)
    ]
    for dealt in (sides(dataset), sides(held_out(dataset, share=0.3, seed=1))):
        for number in range(0, 12, 3):
            assert dealt[f"ng/a.{number:02}.png"] == dealt[f"ng/copy.{number:02}.png"]
    assert not dataset.near_twins_in_training()
    assert dataset.fingerprint != before.fingerprint


def test_twins_are_parted_where_that_is_asked_for_and_the_leak_is_counted(class_folders: Path) -> None:
    for path in sorted(class_folders.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".bmp"))
    kept, parted = open_dataset(class_folders), open_dataset(class_folders, Reading(part_twins=True))
    assert kept.snapshot().near_twins_across_splits == 0
    drawn = stratified_split(
        [sample.path.encode() for sample in parted.samples],
        [sample.label for sample in parted.samples],
        test_share=0.25,
        seed=0,
    )
    assert [sample.split == "test" for sample in parted.samples] == drawn
    assert parted.snapshot().near_twins_across_splits > 0


def test_a_folder_with_its_own_split_keeps_it_and_its_leaks_are_counted(folders: Path) -> None:
    with Image.open(folders / "train/ok/part 01.png") as original:
        original.rotate(90).save(folders / "test/ok/turned.png")
    dataset = read(folders, r"name:part (\d+)")
    assert dataset.near_twins_in_training() == {"test/ok/turned.png"}
    assert dataset.parted_groups() == {"00", "01", "02"}
    assert dataset.snapshot().near_twins_across_splits == 1
    text = describe(dataset)
    assert "near twins on both sides of the split: 1 test images" in text
    assert "on both sides of the split: 3" in text


def test_a_class_of_one_photograph_is_parted_after_all(tmp_path: Path, draw: Draw) -> None:
    for number in range(8):
        draw(tmp_path / "ng" / f"{number}.png", True, 1)
        draw(tmp_path / "good" / f"{number}.png", False, number)
    dataset = open_dataset(tmp_path)
    (twin,) = dataset.twins()
    assert (len(twin.train_paths), len(twin.test_paths)) == (6, 2)


def test_a_column_of_the_labels_file_groups(class_folders: Path) -> None:
    labels = class_folders / "labels.csv"
    rows = [
        f"{kind}/{take}.{n:02}.png,{kind},module {n // 2}"
        for kind in ("ng", "good")
        for take in "ab"
        for n in range(12)
    ]
    labels.write_text("\n".join(["path,label,module", *rows]))
    dataset = read(class_folders, "column:module", labels=LabelsFile(path=labels))
    assert {sample.group for sample in dataset.samples} == {f"module {number}" for number in range(6)}
    assert dataset.parted_groups() == set()
    with pytest.raises(DatasetError, match=r"column:4: no line of .* has so many columns"):
        read(class_folders, "column:4", labels=LabelsFile(path=labels))
    with pytest.raises(DatasetError, match="--labels"):
        read(class_folders, "column:module")


def test_two_large_groups_of_each_class_are_parted_between_train_and_test(class_folders: Path) -> None:
    dataset = read(class_folders, "name:^(.)")  # a and b, each with half of both classes
    assert {(sample.group, sample.split) for sample in dataset.samples} in (
        {("a", "train"), ("b", "test")},
        {("a", "test"), ("b", "train")},
    )
    with pytest.raises(DatasetError, match=r"All its images are of one group \('[ab]'\), and no split parts a group"):
        held_out(dataset, share=0.2, seed=0)


def test_a_class_of_one_group_cannot_be_split_and_the_message_names_it(class_folders: Path) -> None:
    labels = class_folders / "labels.csv"
    rows = [f"{kind}/{take}.{n:02}.png,{kind},{kind}" for kind in ("ng", "good") for take in "ab" for n in range(12)]
    labels.write_text("\n".join(["path,label,kind", *rows]))
    with pytest.raises(DatasetError, match=r"no readable image in the test part .* of one group \('ng'\)"):
        read(class_folders, "column:kind", labels=LabelsFile(path=labels, label_column="label"))


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_images_without_a_cell_in_that_column_are_no_group_but_stand_alone(class_folders: Path, delimiter: str) -> None:
    labels = class_folders / "labels.csv"
    rows = [
        delimiter.join((f"{kind}/{take}.{n:02}.png", kind, "" if take == "b" else f"module {n // 2}"))
        for kind in ("ng", "good")
        for take in "ab"
        for n in range(12)
    ]
    labels.write_text("\n".join([delimiter.join(("path", "label", "module")), *rows]))
    dataset = read(class_folders, "column:module", labels=LabelsFile(path=labels))
    assert {sample.group for sample in dataset.samples} == {None} | {f"module {number}" for number in range(6)}
    alone = [sample for sample in dataset.samples if sample.group is None]
    assert {sample.unit for sample in alone} == {sample.path for sample in alone}
    assert {sample.split for sample in alone} == {"train", "test"}


@pytest.mark.parametrize(
    ("rule", "path", "split", "group"),
    [
        ("folder", "ok/part 7/1.png", "", "part 7"),
        ("folder", "train/ok/line 2/part 7/1.png", "train", "line 2/part 7"),
        ("folder", "ok/1.png", "", None),
        ("folder", "cells/m1/1.png", "", "cells/m1"),
        ("name:^([^_]+)_", "ok/p7_top.png", "", "p7"),
        ("name:^([^_]+)_", "ok/alone.png", "", None),
        ("name:^([^_]*)_", "ok/_alone.png", "", None),
        ("name:^(p[0-9]+)?", "ok/alone.png", "", None),
    ],
)
def test_a_rule_names_the_group_of_a_path(rule: str, path: str, split: str, group: str | None) -> None:
    (entry,) = GroupRule.parse(rule).grouped([Entry(path=path, label="ok", split=split)])
    assert entry.group == group


def test_a_block_is_so_many_images_in_a_row() -> None:
    entries = [Entry(path=f"{number}.png", label="ok", split="") for number in range(7)]
    assert [entry.group for entry in GroupRule.parse("block:3").grouped(entries)] == list("0001112")


@pytest.mark.parametrize("rule", ["", "folder:x", "module", "block:1", "block:many", "name:(", "name:abc", "column"])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(DatasetError, match="--group"):
        GroupRule.parse(rule)
