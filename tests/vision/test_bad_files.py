"""Does every bad file end as a picture or as a reason, whatever it is, and cost its neighbours nothing?"""

import collections
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.networks import save_random_model
from tests.vision.bad_files import BadFile, encoded, lay_out, noise, valid_images
from tests.vision.conftest import blocks
from tests.vision.outcomes import read_all, run_module, score_all
from vision.decode import DEFAULT_LIMITS, Limits, Picture, Unreadable, read_image
from vision.faults import Reason

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")

TIGHT = Limits(max_pixels=1_000_000, max_bytes=4 << 20)
# Bytes of address space beyond what the process has; the largest item within the limits is a thousandth of it.
MEMORY = 256 << 20
GROWTH = 48 << 20  # bytes that any of the files may take
MUTATED = 10_000


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, BadFile]]:
    return lay_out(tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize("content", valid_images().values(), ids=valid_images())
def test_what_the_bad_files_are_made_from_is_sound(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    picture = read_image(path)
    assert (picture.width, picture.height) in ((24, 16), (16, 16))
    assert np.ptp(np.asarray(picture.image)) > 100


@pytest.mark.parametrize("limits", [TIGHT, DEFAULT_LIMITS], ids=["tight", "default"])
def test_every_bad_file_ends_as_it_may_and_leaves_nothing_behind(
    laid_out: list[tuple[Path, BadFile]], tmp_path: Path, limits: Limits
) -> None:
    told = read_all([path for path, _ in laid_out], limits, tmp_path, memory=MEMORY)
    assert len(told.outcomes) == len(laid_out)
    unexpected = {
        item.name: outcome
        for (_, item), outcome in zip(laid_out, told.outcomes, strict=True)
        if outcome not in item.outcomes
    }
    assert unexpected == {}
    assert told.peak_growth < GROWTH
    assert told.descriptors[0] == told.descriptors[1]
    # libtiff's own lines cannot be turned off; they name neither file nor folder. Nothing else may speak.
    assert "Warning" not in told.noise
    assert str(tmp_path.parent) not in told.noise


def test_all_reasons_are_met_but_those_of_the_world(laid_out: list[tuple[Path, BadFile]]) -> None:
    single = {next(iter(item.outcomes)) for _, item in laid_out if len(item.outcomes) == 1}
    assert single >= {
        None,
        Reason.EMPTY_FILE,
        Reason.NOT_AN_IMAGE,
        Reason.TRUNCATED,
        Reason.TOO_LARGE_PIXELS,
        Reason.TOO_LARGE_BYTES,
        Reason.MULTIPLE_FRAMES,
        Reason.VANISHED,
        Reason.NOT_A_FILE,
    }


def test_what_may_not_be_read_says_so(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="inspectq-rights-"))  # all of whose parents anybody may enter
    try:
        folder.chmod(0o755)
        locked, closed, open_ = folder / "locked.png", folder / "closed" / "part.png", folder / "open.png"
        closed.parent.mkdir()
        for path in (open_, locked, closed):
            path.write_bytes(valid_images()["colour.png"])
            path.chmod(0o644)
        locked.chmod(0)
        closed.parent.chmod(0)
        told = read_all([open_, locked, closed], TIGHT, tmp_path, memory=MEMORY, as_nobody=True)
        assert told.outcomes == [None, Reason.PERMISSION_DENIED, Reason.PERMISSION_DENIED]
    finally:
        closed.parent.chmod(0o755)
        shutil.rmtree(folder)


def test_neighbours_of_bad_files_keep_their_scores_and_every_path_has_one(
    laid_out: list[tuple[Path, BadFile]], tmp_path: Path
) -> None:
    checkpoint = tmp_path / f"{save_random_model(tmp_path)}.safetensors"
    good, mixed, own = [], [], []  # `own`: places of the good ones among all
    for number, (path, _) in enumerate(laid_out):
        if number % 10 == 0:
            own.append(len(mixed))
            good.append(tmp_path / f"good-{number}.png")
            Image.fromarray(blocks(number)).save(good[-1])
            mixed.append(good[-1])
        mixed.append(path)
    alone, among = score_all([good, mixed], TIGHT, tmp_path, checkpoint)
    assert [score["index"] for score in among] == list(range(len(mixed)))
    assert [among[place]["score"] for place in own] == pytest.approx([score["score"] for score in alone], abs=1e-5)
    assert np.ptp([score["score"] for score in alone]) > 0.01
    bad = [score for place, score in enumerate(among) if place not in set(own)]
    for (_, item), score in zip(laid_out, bad, strict=True):
        assert score["reason"] in item.outcomes, item.name
        assert (score["score"] is None) == (score["reason"] is not None) == bool(score["detail"]), item.name
        assert score["score"] is None or 0 <= score["score"] <= 1


def test_ten_thousand_mutated_images_give_a_picture_or_a_reason(tmp_path: Path) -> None:
    lines = run_module("tests.vision.mutations", str(tmp_path / "mutated.bin")).stdout.splitlines()
    read, distinct = map(int, lines[0].split())
    outcomes = {word: int(number) for word, number in (line.split() for line in lines[1:])}
    assert read == sum(outcomes.values())
    assert distinct >= MUTATED
    # Damage everywhere, and not only where it is noticed at once.
    assert min(outcomes["picture"], outcomes["corrupt"], outcomes["truncated"]) >= MUTATED // 10
    assert set(outcomes) - {"picture"} <= set(Reason)


# --- files that change while they are read ---------------------------------------------------------------------


Outcome = Picture | Unreadable


def changing(path: Path, change: Callable[[Path, int], None]) -> Iterator[Outcome]:
    """What reading gives, again and again, while another thread calls `change` with rising numbers.

    After every seventh change the file stays as it is for two readings, of which the second began after the change: a
    busy machine may let the reader run at no other time than in the midst of one.
    """
    stop = threading.Event()
    readings = threading.Semaphore(0)

    def keep_changing() -> None:
        for number in itertools.count():
            change(path, number)
            if number % 7 == 0:
                while readings.acquire(blocking=False):
                    pass  # those of before
            if stop.is_set():
                return
            if number % 7 == 0:
                readings.acquire()
                readings.acquire()

    writer = threading.Thread(target=keep_changing)
    writer.start()
    try:
        for _ in range(3000):
            try:
                outcome: Outcome = read_image(path)
            except Unreadable as fault:
                outcome = fault
            readings.release()
            yield outcome
    finally:
        stop.set()
        readings.release(2)
        writer.join()


def seen(path: Path, change: Callable[[Path, int], None], check: Callable[[Outcome], str], wanted: set[str]) -> None:
    """`check` names each outcome or fails; all that is `wanted` must turn up."""
    counted: collections.Counter[str] = collections.Counter()
    for outcome in changing(path, change):
        counted[check(outcome)] += 1
        if wanted <= set(counted):
            return
    pytest.fail(f"in all those readings there were only {dict(counted)}")


def test_a_file_that_is_replaced_is_one_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    contents = [encoded(Image.fromarray(blocks(seed)), "PNG") for seed in (1, 2)]
    path.write_bytes(contents[0])

    def replace(path: Path, number: int) -> None:
        other = path.with_name("new.png")
        other.write_bytes(contents[number % 2])
        other.replace(path)

    def check(outcome: Outcome) -> str:
        assert isinstance(outcome, Picture)
        return next(str(seed) for seed in (1, 2) if np.array_equal(np.asarray(outcome.image), blocks(seed)))

    seen(path, replace, check, {"1", "2"})


def test_hash_and_pixels_are_of_the_same_bytes_while_the_file_is_written_over(tmp_path: Path) -> None:
    """A BMP holds its pixels as they are, so the bytes that were decoded can be made from them again."""
    path = tmp_path / "part.bmp"
    contents = [encoded(Image.new("RGB", (400, 300), colour), "BMP") for colour in ("black", "white")]
    path.write_bytes(contents[0])

    def write_over(path: Path, number: int) -> None:
        with path.open("r+b") as file:
            file.write(contents[number % 2])

    def check(outcome: Outcome) -> str:
        assert isinstance(outcome, Picture)
        again = path.with_name("again.bmp")
        again.write_bytes(encoded(outcome.image, "BMP"))
        assert read_image(again).sha256 == outcome.sha256
        return str(outcome.image.getpixel((0, 0)))

    seen(path, write_over, check, {"(0, 0, 0)", "(255, 255, 255)"})


def test_a_file_that_grows_and_shrinks_is_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.bmp"
    content = encoded(Image.fromarray(noise(400, 300)), "BMP")
    path.write_bytes(content)

    def grow_and_shrink(path: Path, number: int) -> None:
        with path.open("r+b") as file:
            os.ftruncate(file.fileno(), 0)
            for place in range(0, len(content), 100_000):
                file.write(content[place : place + 100_000])
                file.flush()

    def check(outcome: Outcome) -> str:
        if isinstance(outcome, Picture):
            assert np.array_equal(np.asarray(outcome.image), noise(400, 300))
            return "whole"
        assert outcome.reason in {Reason.EMPTY_FILE, Reason.TRUNCATED}
        return "refused"

    seen(path, grow_and_shrink, check, {"whole", "refused"})
