"""Does the page of `inspectq dataset check` show twins, doubtful labels and unreadable files, and nothing hostile?"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from console.exits import ExitCode
from console.report.dataset import dataset_page
from tests.console.shell import type_here
from trainer.label_errors import Doubt
from trainer.opening import open_dataset
from vision.samples import draw_photograph

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=1>.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen parts, a turned copy and an identical one in the test, a file with two labels, and half a file."""
    root = tmp_path_factory.mktemp("set")
    for number in range(16):
        split, label = ("test", "train", "train", "train")[number % 4], ("ng", "ok")[number // 4 % 2]
        (root / split / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_photograph(4, number, 96).pixels).save(root / split / label / f"{number:02}.png")
    with Image.open(root / "train/ok/05.png") as part:
        part.transpose(Image.Transpose.ROTATE_90).save(root / "test/ok" / HOSTILE)
    shutil.copy(root / "train/ng/01.png", root / "test/ng/copy.png")
    shutil.copy(root / "train/ok/06.png", root / "train/ng/wrong.png")
    (root / "train/ok/half.png").write_bytes((root / "train/ok/06.png").read_bytes()[:900])
    return root


def test_twins_doubts_and_unreadable_files_are_shown(rows: Any, folder: Path) -> None:
    dataset = open_dataset(folder)
    doubted = dataset.samples[0]
    doubt = Doubt(path=doubted.path, sha256=doubted.sha256, label=doubted.label, agreement=0.1253)
    seen = rows.read(dataset_page(dataset, [doubt], made_at=NOON))
    assert "The split is leaking: 2 of 6 test images have a twin in training." in seen.words
    assert "near twin, similarity 0.9" in seen.words
    assert "same bytes, across the split" in seen.words
    assert "same bytes, and two labels" in seen.words
    assert "0.875 not ng" in seen.words  # as the command prints it
    assert "train/ok/half.png truncated" in seen.words
    assert HOSTILE in seen.words
    assert len(seen.pictures) == 3 * 2 + 1
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in seen.pictures)


def test_without_a_network_it_says_how_label_errors_are_looked_for(rows: Any, folder: Path) -> None:
    assert "--weights imagenet" in rows.read(dataset_page(open_dataset(folder), None, made_at=NOON)).words


def test_the_command_writes_the_page_and_tells_scripts(folder: Path, capsys: Any, tmp_path: Path) -> None:
    out = tmp_path / "check.html"
    said = type_here(capsys, "dataset", "check", folder, "--html", out, "--format", "json", "--group", "block:8")
    assert said.code == ExitCode.DONE, said.err
    assert said.json["test_images_with_a_near_twin_in_training"] == [f"test/ok/{HOSTILE}"]
    assert said.json["same_bytes_across_splits"] == [{"train": ["train/ng/01.png"], "test": ["test/ng/copy.png"]}]
    assert (said.json["group_rule"], said.json["doubtful_labels"]) == ("block:8", None)
    assert "Twins" in out.read_text()
    assert type_here(capsys, "dataset", "check", folder, "--weights", "none").code == ExitCode.WRONG_USAGE
    assert type_here(capsys, "dataset", "check", folder, "--group", "block:x").code == ExitCode.WRONG_USAGE
