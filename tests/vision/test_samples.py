"""Do the drawn photographs follow from their seed, and does the folder hold what it says?"""

import csv
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision.decode import Unreadable, read_image
from vision.samples import (
    DEFECTIVE,
    ODD_FILES,
    OK,
    Photograph,
    SampleSet,
    draw_photograph,
    draw_sample_set,
    files_to_draw,
    sample_set,
)
from vision.samples.canvas import lay_down
from vision.samples.defects import DEFECTS
from vision.samples.parts import PARTS

IMAGES = 24
SIZE = 64


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return draw_sample_set(tmp_path_factory.mktemp("drawn"), images=IMAGES, size=SIZE)


def truth(root: Path) -> dict[str, dict[str, str]]:
    with (root / "labels.csv").open(newline="") as stream:
        return {row["path"]: row for row in csv.DictReader(stream)}


def test_a_photograph_follows_from_seed_and_index_alone() -> None:
    draw_photograph(0, 6, SIZE)
    again, same = draw_photograph(0, 7, SIZE), draw_photograph(0, 7, SIZE)
    assert np.array_equal(again.pixels, same.pixels)
    assert again.label == same.label
    assert not np.array_equal(again.pixels, draw_photograph(1, 7, SIZE).pixels)
    assert again.pixels.shape == (SIZE, SIZE, 3)


def test_one_photograph_in_three_is_defective_and_says_how() -> None:
    series = [draw_photograph(3, index, SIZE) for index in range(30)]
    assert sum(photograph.label == DEFECTIVE for photograph in series) == 10
    for photograph in series:
        assert bool(photograph.defect) == bool(photograph.severity) == (photograph.label == DEFECTIVE)


def test_the_folder_holds_what_it_says(drawn: SampleSet) -> None:
    labelled = {split: list((drawn.root / split).rglob("*.jpg")) for split in ("train", "test")}
    assert (len(labelled["train"]), len(labelled["test"])) == (drawn.train, drawn.test) == (18, 6)
    assert {file.parent.name for files in labelled.values() for file in files} == {DEFECTIVE, OK}
    incoming = [file for file in (drawn.root / "incoming").rglob("*") if file.is_file()]
    assert len(incoming) == drawn.incoming == files_to_draw(IMAGES) - IMAGES + len(ODD_FILES)


def test_the_truth_is_written_down_and_no_incoming_name_tells_it(drawn: SampleSet) -> None:
    rows = truth(drawn.root)
    assert len(rows) == files_to_draw(IMAGES) + sum(odd.shows_part for odd in ODD_FILES.values())
    for path, row in rows.items():
        assert (drawn.root / path).is_file()
        folder = path.split("/")[0]
        assert folder == "incoming" or path.split("/")[1] == row["label"]
        assert folder != "incoming" or not {DEFECTIVE, OK} & set(path.split("/"))


def test_every_odd_file_is_what_it_says(drawn: SampleSet) -> None:
    for name, odd in ODD_FILES.items():
        file = drawn.root / "incoming" / "odd" / name
        if odd.unreadable:
            with pytest.raises(Unreadable):
                read_image(file)
        else:
            assert read_image(file).image.mode == "RGB"
    assert drawn.bad_files == 3


def test_both_classes_are_on_both_sides_of_the_split_even_in_the_smallest_set(tmp_path: Path) -> None:
    for seed in range(3):
        root = tmp_path / str(seed)
        draw_sample_set(root, images=6, seed=seed, size=SIZE)
        for split in ("train", "test"):
            found = {name: len(list((root / split / name).iterdir())) for name in (DEFECTIVE, OK)}
            assert found == {DEFECTIVE: 1, OK: 2}
    with pytest.raises(ValueError, match="at least 6"):
        draw_sample_set(tmp_path / "tiny", images=5, size=SIZE)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_lies_on_every_part_and_not_on_the_bench(part: str, defect: str) -> None:
    rng = np.random.default_rng(5)
    piece = PARTS[part](rng, lay_down(rng, 160))
    for strength in (0.15, 1.0):
        spoilt = DEFECTS[defect](rng, piece, strength)
        changed = (spoilt.tone != piece.tone) | (spoilt.distance != piece.distance)
        if spoilt.film is not None:
            changed |= spoilt.film > 0
        assert (changed & (piece.distance < 0)).sum() >= 6


def test_drawing_holds_one_photograph_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Photograph] = weakref.WeakSet()
    most = 0

    def watched(seed: int, index: int, size: int, *, station: bool) -> Photograph:
        nonlocal most
        photograph = draw_photograph(seed, index, size, station=station)
        alive.add(photograph)
        most = max(most, len(alive))
        return photograph

    monkeypatch.setattr(sample_set, "draw_photograph", watched)
    draw_sample_set(tmp_path / "new", images=IMAGES, size=SIZE)
    assert 1 <= most <= 2  # the one being saved, and the next one


def test_a_drawing_that_was_cut_off_can_be_drawn_again(tmp_path: Path) -> None:
    def cut() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_sample_set(tmp_path, images=6, size=SIZE, on_image=cut)
    assert draw_sample_set(tmp_path, images=6, size=SIZE).train == 3


def test_what_cannot_be_drawn_is_refused() -> None:
    for seed, index, size in ((-1, 0, SIZE), (0, -1, SIZE), (0, 0, 16)):
        with pytest.raises(ValueError, match="0 or more"):
            draw_photograph(seed, index, size)


def test_drawing_needs_no_torch() -> None:
    code = "import sys, vision.samples; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_odd_pixels_show_the_same_part(drawn: SampleSet) -> None:
    folder = drawn.root / "incoming" / "odd"
    plain = np.asarray(read_image(folder / "CAPITALS.TIF").image.convert("L"), dtype=int)
    for name in ("sixteen-bit-grey.png", "exif-rotated.jpg", "cmyk.jpg"):
        other = np.asarray(read_image(folder / name).image.convert("L"), dtype=int)
        assert np.abs(plain - other).mean() < 6, name
    assert Image.open(folder / "sixteen-bit-grey.png").mode.startswith("I")
    assert Image.open(folder / "cmyk.jpg").mode == "CMYK"


def test_drawing_again_gives_the_same_files(drawn: SampleSet) -> None:
    before = {file: file.read_bytes() for file in drawn.root.rglob("*") if file.is_file()}
    assert draw_sample_set(drawn.root, images=IMAGES, size=SIZE) == drawn
    assert {file: file.read_bytes() for file in drawn.root.rglob("*") if file.is_file()} == before


def test_a_folder_with_other_things_in_it_is_left_alone(drawn: SampleSet, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(FileExistsError, match="other files"):
        draw_sample_set(tmp_path, images=IMAGES, size=SIZE)
    with pytest.raises(FileExistsError, match="another sample"):
        draw_sample_set(drawn.root, images=IMAGES, seed=9, size=SIZE)


def test_progress_counts_every_photograph(tmp_path: Path) -> None:
    seen: list[None] = []
    draw_sample_set(tmp_path / "new", images=8, size=SIZE, on_image=lambda: seen.append(None))
    assert len(seen) == files_to_draw(8)


def test_a_station_shows_one_product_from_one_side() -> None:
    series = [draw_photograph(4, index, SIZE, station=True) for index in range(12)]
    assert len({photograph.part for photograph in series}) == 1
    good = [photograph.pixels.astype(int) for photograph in series if photograph.label == OK]
    free = [draw_photograph(4, index, SIZE).pixels.astype(int) for index in range(12)]
    assert np.abs(good[0] - good[1]).mean() < 0.5 * np.abs(free[0] - free[1]).mean()
