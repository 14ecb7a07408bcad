"""Are boxes read as people and annotation tools write them, and refused by line or number where they cannot be?"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import draw_split_folders
from trainer.box_file import read_boxes
from trainer.boxes import Box
from trainer.dataset import Dataset
from trainer.errors import BoxesError
from trainer.finding import Reading
from trainer.opening import open_dataset

HEADER = "path,x,y,width,height\n"
FIRST, SECOND, GOOD = "train/defective/part 00.png", "train/defective/part 01.png", "train/ok/part 00.png"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of 72 x 72 pixels, four of each class to train on."""
    return draw_split_folders(tmp_path_factory.mktemp("boxed") / "data", train=4, test=1)


def opened(root: Path, file: Path, text: str | dict[str, Any]) -> Dataset:
    file.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return open_dataset(root, Reading(boxes=file))


def boxes_of(dataset: Dataset) -> dict[str, tuple[Box, ...]]:
    return {sample.path: sample.boxes for sample in dataset.samples if sample.boxes}


def coco(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    names = {1: FIRST, 2: SECOND, 3: GOOD, 4: "train/elsewhere.png"}
    images = [{"id": number, "file_name": name, **image} for number, name in names.items()]
    return {"images": images, "annotations": [{"id": 70 + at, **one} for at, one in enumerate(annotations)]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_row_is_a_box_whatever_stands_between_and_beside_the_columns(
    root: Path, tmp_path: Path, delimiter: str
) -> None:
    text = f"Height,kind,X,path,y,width\n5,hole,1,{FIRST},2,30\n7,hole,60,{FIRST},61,10\n9,dent,0,{SECOND},0,72\n"
    dataset = opened(root, tmp_path / "boxes.txt", text.replace(",", delimiter))
    first = (Box(x=1, y=2, width=30, height=5), Box(x=60, y=61, width=10, height=7))
    assert boxes_of(dataset) == {FIRST: first, SECOND: (Box(x=0, y=0, width=72, height=9),)}


def test_coco_says_the_same_as_csv_and_is_the_same_training(root: Path, tmp_path: Path) -> None:
    rows = f"{FIRST},1,2,30,5\n{SECOND},0,0,72,9\n{FIRST},60,61,10,7\n"
    by_csv = opened(root, tmp_path / "boxes.csv", HEADER + rows)
    annotations = (
        {"image_id": 1, "bbox": [60.0, 61.0, 10, 7], "category_id": 3},
        {"image_id": 1, "bbox": [1, 2, 30, 5]},
        {"image_id": 2, "bbox": [0, 0, 72, 9]},
    )
    by_coco = opened(root, tmp_path / "boxes.json", coco(*annotations, width=72, height=72))
    assert by_csv.samples == by_coco.samples
    assert by_csv.drawn_boxes == by_coco.drawn_boxes
    assert by_csv.drawn_boxes is not None
    assert (by_csv.drawn_boxes.boxes, by_csv.drawn_boxes.boxed_images) == (3, 2)


def test_other_boxes_are_another_training_of_the_same_images(root: Path, tmp_path: Path) -> None:
    without = open_dataset(root)
    one = opened(root, tmp_path / "one.csv", f"{HEADER}{FIRST},1,2,30,5\n")
    other = opened(root, tmp_path / "other.csv", f"{HEADER}{FIRST},1,2,30,6\n")
    assert without.fingerprint == one.fingerprint == other.fingerprint
    assert without.drawn_boxes is None
    assert one.drawn_boxes != other.drawn_boxes


def test_paths_may_be_relative_to_the_file_of_boxes(root: Path) -> None:
    file = root / "train" / "defective" / "boxes.csv"
    assert boxes_of(opened(root, file, f"{HEADER}part 01.png,1,1,1,1\n")) == {
        SECOND: (Box(x=1, y=1, width=1, height=1),)
    }


def test_fractions_of_pixels_are_widened_and_a_box_that_stands_twice_is_one(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}a.png,1.5,0,10,0.25\na.png,1.000001,71.2,70.9999999,0.8\n", encoding="utf-8")
    assert [row.box for row in read_boxes(path)] == [
        Box(x=1, y=0, width=11, height=1),
        Box(x=1, y=71, width=71, height=1),
    ]


def test_a_box_that_stands_twice_is_one(root: Path, tmp_path: Path) -> None:
    dataset = opened(root, tmp_path / "boxes.csv", HEADER + f"{FIRST},1,2,3,4\n" * 2)
    assert boxes_of(dataset) == {FIRST: (Box(x=1, y=2, width=3, height=4),)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (HEADER, "holds no box"),
        (f"path,x,y,w,h\n{FIRST},1,2,3,4\n", "first line that names path, x, y, width, height: width is not there"),
        (f"{HEADER}{FIRST},1,2,3,4\n{FIRST},1,2,3\n", "line 3 of .*: expected path, x, y, width, height, found"),
        (f"{HEADER}\n{FIRST},1,2,3,four\n", "line 3 of .*: height is 'four', which is no number"),
        (f"{HEADER}{FIRST},nan,2,3,4\n", "line 2 of .*: x is 'nan', which is no number"),
        (f"{HEADER}{FIRST},1,2,0,4\n", "line 2 of .*: a box of 0 x 4 pixels is empty"),
        (f"{HEADER}{FIRST},1,2,3,-4\n", "line 2 of .*: a box of 3 x -4 pixels is empty"),
        (
            f"{HEADER}{FIRST},70,2,3,4\n",
            r"line 2 of .*: the box reaches from \(70, 2\) to \(73, 6\), out of .* 72 x 72",
        ),
        (f"{HEADER}{FIRST},-1,2,3,4\n", r"line 2 of .*: the box reaches from \(-1, 2\)"),
        (f"{HEADER}{FIRST},1e300,2,3,4\n", "line 2 of .*, out of "),
        (f"{HEADER}{GOOD},1,2,3,4\n", "line 2 of .*part 00.png is labelled 'ok' and has a box here: which is right"),
        (f"{HEADER}nowhere.png,1,2,3,4\n", "line 2 of .*: nowhere.png is not in the data set"),
        (f'{HEADER}"{FIRST},1,2,3,4\n{FIRST},1,2,3,4\n', "a quotation mark that its line does not close"),
        (f"{HEADER}test/defective/part 00.png,1,2,3,4\n", "No box of .* lies in a training image"),
    ],
)
def test_what_cannot_be_right_in_a_table_is_refused_by_line(root: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BoxesError, match=said):
        opened(root, tmp_path / "boxes.csv", text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON: "),
        ("[" * 100_000, "is no JSON: "),
        ("[]", "is no COCO file: it has no list of objects that is called 'images'"),
        ({"images": []}, "is no COCO file: it has no list of objects that is called 'annotations'"),
        ({"images": [{"id": 1}], "annotations": []}, "image number 1 of .* needs an id and a file_name"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2, "annotations": []}, "image 1 stands twice in .*which is right"),
        (coco(), "holds no box"),
        (coco({"image_id": 9, "bbox": [1, 2, 3, 4]}), "annotation 70 of .*: there is no image 9"),
        (coco({"image_id": [1], "bbox": [1, 2, 3, 4]}), r"annotation 70 of .*: there is no image \[1\]"),
        (coco({"id": None, "image_id": 1}), "annotation number 1 of .*: bbox has to be .*, not None"),
        (coco({"image_id": 1, "bbox": [1, 2, 3]}), "annotation 70 of .*: bbox has to be"),
        (coco({"image_id": 1, "bbox": [1, 2, None, 4]}), "annotation 70 of .*: width is None, which is no number"),
        (coco({"image_id": 1, "bbox": [1, True, 3, 4]}), "annotation 70 of .*: y is True, which is no number"),
        (coco({"image_id": 1, "bbox": [10**400, 2, 3, 4]}), "annotation 70 of .*: x is 10+, which is no number"),
        (coco({"image_id": 1, "bbox": [1, 2, 3, 0]}), "annotation 70 of .*: a box of 3 x 0 pixels is empty"),
        (coco({"image_id": 3, "bbox": [1, 2, 3, 4]}), "annotation 70 of .* is labelled 'ok' and has a box here"),
        (
            coco({"image_id": 4, "bbox": [1, 2, 3, 4]}),
            "annotation 70 of .*: train/elsewhere.png is not in the data set",
        ),
        (
            coco({"image_id": 1, "bbox": [1, 2, 3, 4]}, width=144, height=72),
            "annotation 70 of .* has 144 x 72 pixels there, and 72 x 72 when it is upright",
        ),
    ],
)
def test_what_cannot_be_right_in_coco_is_refused_by_the_annotations_id(
    root: Path, tmp_path: Path, content: str | dict[str, Any], said: str
) -> None:
    with pytest.raises(BoxesError, match=said):
        opened(root, tmp_path / "boxes.json", content)


def test_a_file_that_is_not_there_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BoxesError, match=r"The file of boxes cannot be read: .*none\.csv"):
        open_dataset(root, Reading(boxes=tmp_path / "none.csv"))
