"""Does every path keep its own row, and do the threads end however the iteration ends?"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vision.decode import Limits, Reason, StorageTrouble, read_image
from vision.loader import LoadedItem, cgroup_cores, default_threads, load_batches
from vision.preprocessing import Preprocessing

SMALL = Preprocessing(size=32)
UNREADABLE_NOW = Path("/proc/self/mem")  # reading it gives a real input/output error


def decoding_threads() -> int:
    return sum(thread.name.startswith("decode") for thread in threading.enumerate())


def loaded(paths: list[Path], batch_size: int, threads: int) -> list[tuple[LoadedItem, torch.Tensor]]:
    batches = load_batches(paths, preprocessing=SMALL, batch_size=batch_size, threads=threads)
    return [pair for batch in batches for pair in zip(batch.items, batch.pixels, strict=True)]


def assert_row_is_its_own(path: Path, item: LoadedItem, row: torch.Tensor) -> None:
    picture = read_image(path)
    assert (item.fault, item.sha256, item.size) == (None, picture.sha256, picture.size)
    assert (item.width, item.height) == (picture.width, picture.height)
    assert np.array_equal(row.numpy(), SMALL.apply(picture.image))


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 4), (3, 2), (4, 1), (32, 3)])
def test_order_is_kept_for_any_batch_size_and_number_of_threads(
    pictures: list[Path], batch_size: int, threads: int
) -> None:
    pairs = loaded(pictures, batch_size=batch_size, threads=threads)
    assert [item.index for item, _ in pairs] == list(range(10))
    for path, (item, row) in zip(pictures, pairs, strict=True):
        assert_row_is_its_own(path, item, row)
    assert decoding_threads() == 0


def test_bad_files_among_good_ones_shift_nobody(pictures: list[Path]) -> None:
    pictures[2].write_bytes(b"")
    pictures[3].unlink()
    pictures[7].write_bytes(b"no image")
    expected = {2: Reason.EMPTY_FILE, 3: Reason.VANISHED, 7: Reason.NOT_AN_IMAGE}
    pairs = loaded(pictures, batch_size=4, threads=3)
    for index, (path, (item, row)) in enumerate(zip(pictures, pairs, strict=True)):
        assert item.index == index
        if index in expected:
            assert item.fault is not None
            assert item.fault.reason is expected[index]
            assert not row.any()
        else:
            assert_row_is_its_own(path, item, row)


def test_batches_that_are_kept_are_not_overwritten_by_later_ones(pictures: list[Path]) -> None:
    batches = list(load_batches(pictures, preprocessing=SMALL, batch_size=2, threads=2))
    for path, row in zip(pictures, torch.cat([batch.pixels for batch in batches]), strict=True):
        assert np.array_equal(row.numpy(), SMALL.apply(read_image(path).image))


def test_the_last_batch_is_as_long_as_it_is(pictures: list[Path]) -> None:
    shapes = [tuple(batch.pixels.shape) for batch in load_batches(pictures, preprocessing=SMALL, batch_size=4)]
    assert shapes == [(4, 3, 32, 32), (4, 3, 32, 32), (2, 3, 32, 32)]


def test_no_paths_give_no_batches() -> None:
    assert list(load_batches([], preprocessing=SMALL)) == []


def test_an_endless_input_is_read_only_a_little_ahead(pictures: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield pictures[0]

    batches = load_batches(endless(), preprocessing=SMALL, batch_size=4, threads=2)
    next(batches)
    assert taken <= 12
    batches.close()
    assert decoding_threads() == 0


def test_limits_reach_the_decoder(pictures: list[Path]) -> None:
    batch = next(load_batches(pictures[:1], preprocessing=SMALL, limits=Limits(max_pixels=10)))
    assert batch.items[0].fault is not None
    assert batch.items[0].fault.reason is Reason.TOO_LARGE_PIXELS


@pytest.mark.skipif(not UNREADABLE_NOW.exists(), reason="no /proc here")
def test_a_passing_fault_ends_the_iteration_and_the_threads(pictures: list[Path]) -> None:
    paths = [*pictures[:5], UNREADABLE_NOW, *pictures[5:]]
    batches = load_batches(paths, preprocessing=SMALL, batch_size=2, threads=2)
    assert [item.index for _ in range(2) for item in next(batches).items] == [0, 1, 2, 3]
    with pytest.raises(StorageTrouble):
        next(batches)
    assert decoding_threads() == 0


def test_a_broken_input_ends_the_threads(pictures: list[Path]) -> None:
    def broken() -> Iterator[Path]:
        yield from pictures
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError, match="went away"):
        list(load_batches(broken(), preprocessing=SMALL, batch_size=4, threads=2))
    assert decoding_threads() == 0


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(load_batches([], preprocessing=SMALL, batch_size=0))


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("1 0", None), ("x y", None)],
)
def test_the_quota_of_a_container_is_understood(tmp_path: Path, content: str, cores: float | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert cgroup_cores(path) == cores
    assert cgroup_cores(tmp_path / "missing") is None


def test_there_is_always_a_thread() -> None:
    assert default_threads() >= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_pinned_buffers_are_reused_without_mixing_batches(pictures: list[Path], tmp_path: Path) -> None:
    paths = pictures * 20
    batches = load_batches(paths, preprocessing=SMALL, batch_size=3, threads=4, device="cuda:0")
    rows = torch.cat([batch.pixels for batch in batches]).cpu()
    for path, row in zip(paths, rows, strict=True):
        with Image.open(path) as image:
            assert np.array_equal(row.numpy(), SMALL.apply(image.convert("RGB")))
