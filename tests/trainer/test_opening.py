"""Does every layout open to the right samples, and is what is wrong said before anything is trained?"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.dataset import Dataset, describe
from trainer.errors import ClassesUnclear, DatasetError
from trainer.finding import Reading
from trainer.labels import LabelsFile
from trainer.opening import open_dataset

Draw = Callable[[Path, bool, int], None]


def counts(dataset: Dataset) -> dict[tuple[str, str], int]:
    return {(row.split, row.label): row.count for row in dataset.counts()}


@pytest.fixture
def class_folders(tmp_path: Path, draw: Draw) -> Path:
    root = tmp_path / "classes"
    for number in range(8):
        draw(root / "ng" / f"{number}.png", True, number)
        draw(root / "good" / "line 2" / "night" / f"{number}.png", False, number)
    return root


def test_train_and_test_folders_are_taken_as_they_are(folders: Path) -> None:
    dataset = open_dataset(folders)
    assert (dataset.layout, dataset.positive, dataset.negative) == ("split folders", "defective", "ok")
    assert counts(dataset) == {
        ("train", "defective"): 6,
        ("train", "ok"): 6,
        ("test", "defective"): 3,
        ("test", "ok"): 3,
    }
    assert dataset.split_seed is None
    sample = dataset.samples[0]
    assert (sample.path, sample.is_defective) == ("test/defective/part 00.png", True)


def test_a_folder_per_class_is_split_here_and_the_same_way_each_time(class_folders: Path) -> None:
    first, second = open_dataset(class_folders), open_dataset(class_folders)
    assert counts(first) == {("train", "ng"): 6, ("train", "good"): 6, ("test", "ng"): 2, ("test", "good"): 2}
    assert first.samples == second.samples
    assert (first.split_seed, first.test_share) == (0, 0.25)


def test_a_labels_file_with_a_condition_names_the_classes_itself(tmp_path: Path, draw: Draw) -> None:
    rows = [(f"images/cell{number}.png", number % 2) for number in range(8)]
    for path, defective in rows:
        draw(tmp_path / path, bool(defective), int(defective) + len(path))
    labels = tmp_path / "labels.csv"
    labels.write_text("".join(f"{path}  {defective}.0   mono\n" for path, defective in rows))
    dataset = open_dataset(tmp_path, Reading(labels=LabelsFile(path=labels, positive_if=">=0.5")))
    assert dataset.class_names == ("defective", "non-defective")
    assert {sample.path for sample in dataset.samples if sample.is_defective} == {p for p, d in rows if d}


def test_paths_of_a_labels_file_may_start_at_its_own_folder(class_folders: Path) -> None:
    labels = class_folders / "ng" / "labels.csv"
    inside = [f"{number}.png,ng" for number in range(8)]
    beside = [f"good/line 2/night/{number}.png,good" for number in range(8)]
    labels.write_text("\n".join(inside + beside))
    dataset = open_dataset(class_folders, Reading(labels=LabelsFile(path=labels)))
    assert len(dataset.samples) == 16
    assert not dataset.skipped


def test_a_listed_file_that_is_missing_is_skipped_by_name(class_folders: Path) -> None:
    labels = class_folders / "labels.csv"
    names = [f"ng/{number}.png,ng" for number in range(9)]
    names += [f"good/line 2/night/{number}.png,good" for number in range(8)]
    labels.write_text("\n".join(names))
    dataset = open_dataset(class_folders, Reading(labels=LabelsFile(path=labels)))
    assert [(skip.path, skip.reason) for skip in dataset.skipped] == [("ng/8.png", "vanished")]


def test_a_file_labelled_twice_in_two_ways_is_an_error(class_folders: Path) -> None:
    labels = class_folders / "labels.csv"
    labels.write_text("ng/0.png,ng\nng/1.png,ok\nng/0.png,ok\n")
    with pytest.raises(DatasetError, match=r"line 3.*'ok' here and 'ng' before"):
        open_dataset(class_folders, Reading(labels=LabelsFile(path=labels)))


def test_unreadable_files_are_left_out_by_name_and_counted(folders: Path) -> None:
    whole = (folders / "train/ok/part 00.png").read_bytes()
    (folders / "train/ok/cut.png").write_bytes(whole[: len(whole) // 2])
    (folders / "test/ok/text.JPG").write_text("no image")
    (folders / "train/ok/empty.png").touch()
    (folders / "train/ok/notes.txt").write_text("not an image by its name")
    dataset = open_dataset(folders)
    assert {(skip.path, skip.reason) for skip in dataset.skipped} == {
        ("train/ok/cut.png", "truncated"),
        ("test/ok/text.JPG", "not_an_image"),
        ("train/ok/empty.png", "empty_file"),
    }
    assert dataset.other_files == 1
    assert len(dataset.samples) == 18


def test_a_name_that_is_no_utf8_can_be_opened_fingerprinted_and_shown(folders: Path) -> None:
    odd = os.fsdecode(b"caf\xe9\n.png")
    shutil.copy(folders / "train/ok/part 00.png", folders / "train/ok" / odd)
    (folders / "train/ok" / os.fsdecode(b"\xff.png")).touch()
    dataset = open_dataset(folders)
    assert f"train/ok/{odd}" in {sample.path for sample in dataset.samples}
    describe(dataset).encode("utf-8")


def test_identical_files_on_both_sides_of_the_split_are_reported(folders: Path) -> None:
    shutil.copy(folders / "train/ok/part 01.png", folders / "test/ok/copy.png")
    (twin,) = open_dataset(folders).twins()
    assert (twin.train_paths, twin.test_paths) == (("train/ok/part 01.png",), ("test/ok/copy.png",))


def test_the_description_counts_and_names_what_matters(folders: Path) -> None:
    shutil.copy(folders / "train/ok/part 01.png", folders / "test/ok/copy.png")
    (folders / "train/ok/empty.png").touch()
    text = describe(open_dataset(folders))
    assert re.search(r"^ok +6 +4$", text, re.MULTILINE)
    assert "train/ok/empty.png: empty_file" in text
    assert "train/ok/part 01.png = test/ok/copy.png" in text


def test_the_fingerprint_follows_content_name_label_and_side(folders: Path) -> None:
    before = open_dataset(folders).fingerprint
    assert open_dataset(folders).fingerprint == before
    (folders / "train/ok/part 00.png").rename(folders / "train/defective/moved.png")
    moved = open_dataset(folders).fingerprint
    (folders / "train/defective/moved.png").rename(folders / "train/ok/part 00.png")
    assert open_dataset(folders).fingerprint == before != moved
    shutil.copy(folders / "train/ok/part 01.png", folders / "train/ok/part 00.png")
    assert open_dataset(folders).fingerprint not in (before, moved)


def test_one_class_is_too_few(folders: Path) -> None:
    for split in ("train", "test"):
        shutil.rmtree(folders / split / "ok")
    with pytest.raises(DatasetError, match="Only one class was found, 'defective'"):
        open_dataset(folders)


def test_three_classes_are_too_many_and_are_named(folders: Path, draw: Draw) -> None:
    draw(folders / "train/scratch/1.png", True, 5)
    with pytest.raises(DatasetError, match=r"3 classes were found, 'defective' \(9\), 'ok' \(9\), 'scratch' \(1\)"):
        open_dataset(folders)


def test_an_empty_class_is_an_error(folders: Path) -> None:
    for file in (folders / "train/ok").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="ok holds no image"):
        open_dataset(folders)


def test_a_class_whose_every_test_image_is_unreadable_is_an_error(folders: Path) -> None:
    for file in (folders / "test/ok").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"'ok' has no readable image in the test part.*3 unreadable"):
        open_dataset(folders)


def test_train_without_test_is_an_error_unless_only_one_is_needed(folders: Path) -> None:
    shutil.rmtree(folders / "train")
    with pytest.raises(DatasetError, match="holds test/ but no train/"):
        open_dataset(folders)
    assert len(open_dataset(folders, Reading(needed=("test",))).samples) == 6


def test_classes_that_do_not_say_which_is_defective_are_asked_about(folders: Path) -> None:
    for split in ("train", "test"):
        (folders / split / "defective").rename(folders / split / "1")
        (folders / split / "ok").rename(folders / split / "0")
    with pytest.raises(ClassesUnclear, match="--positive"):
        open_dataset(folders)
    assert open_dataset(folders, Reading(positive="1")).negative == "0"


@pytest.mark.parametrize("name", ["missing", "file.txt"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(DatasetError, match="is not a folder"):
        open_dataset(tmp_path / name)


def test_a_folder_without_class_folders_is_refused(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.png", True, 1)
    with pytest.raises(DatasetError, match="one folder of images per class"):
        open_dataset(tmp_path)
