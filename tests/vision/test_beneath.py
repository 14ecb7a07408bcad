"""Can a name, a link or a swap of folders lead a reader out of the folder that it may inspect?"""

import contextlib
import ctypes
import gc
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.walk import Found, walk
from vision.faults import Reason, StorageTrouble, Unreadable
from vision.reading import InspectedFolder, OutsideRoots, allowed_root, read_file

LIMIT = 1000  # bytes
SECRET = b"the secret"
RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100
READS = 3000  # while another thread swaps as fast as it can


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    gc.collect()  # what an earlier test has left is closed now, and not meanwhile
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    yield
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two allowed roots, a and b, and a secret beside them."""
    for name in ("a/job/sub/deep", "b/shared", "secret"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a/job/plain.jpg", "a/job/sub/deep/nested.jpg", "a/other.jpg", "b/shared/theirs.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "secret" / "secret.jpg").write_bytes(SECRET)
    return tmp_path


def content(folder: Path, path: str | bytes, *roots: Path) -> bytes:
    with InspectedFolder(os.fsencode(folder), [os.fsencode(root) for root in roots]) as opened:
        return read_file(path if isinstance(path, bytes) else path.encode(), LIMIT, folder=opened).content


def reason(folder: Path, path: str | bytes, *roots: Path) -> Reason:
    with pytest.raises(Unreadable) as caught:
        content(folder, path, *roots)
    return caught.value.reason


def link(at: Path, to: Path | str) -> None:
    at.symlink_to(to)


def test_plain_and_nested_files_are_read(place: Path) -> None:
    for roots in ([], [place / "a"], [place / "b", place / "a"], [place / "a" / "job"], [Path("/")]):
        assert content(place / "a/job", "plain.jpg", *roots) == b"a/job/plain.jpg"
        assert content(place / "a/job", "sub/deep/nested.jpg", *roots) == b"a/job/sub/deep/nested.jpg"


def test_a_link_is_followed_as_far_as_the_job_or_its_roots_reach(place: Path) -> None:
    job, a, b = place / "a/job", place / "a", place / "b"
    link(job / "inside.jpg", "sub/deep/nested.jpg")
    link(job / "above.jpg", "../other.jpg")
    link(job / "theirs.jpg", b / "shared/theirs.jpg")
    link(job / "secret.jpg", place / "secret/secret.jpg")
    link(job / "detour.jpg", job / "secret.jpg")
    assert content(job, "inside.jpg") == content(job, "inside.jpg", a) == b"a/job/sub/deep/nested.jpg"
    assert reason(job, "above.jpg") is Reason.OUTSIDE_ROOT
    assert content(job, "above.jpg", a) == b"a/other.jpg"
    assert reason(job, "theirs.jpg", a) is Reason.OUTSIDE_ROOT
    assert content(job, "theirs.jpg", a, b) == b"b/shared/theirs.jpg"
    for name in ("secret.jpg", "detour.jpg"):
        assert reason(job, name) is reason(job, name, a, b) is Reason.OUTSIDE_ROOT


def test_a_linked_folder_on_the_way_is_judged_by_where_it_leads(place: Path) -> None:
    job = place / "a/job"
    link(job / "short", "sub/deep")
    link(job / "theirs", place / "b/shared")
    link(job / "sub/out", place / "secret")
    assert content(job, "short/nested.jpg") == b"a/job/sub/deep/nested.jpg"
    assert reason(job, "theirs/theirs.jpg") is Reason.OUTSIDE_ROOT
    assert content(job, "theirs/theirs.jpg", place / "a", place / "b") == b"b/shared/theirs.jpg"
    assert reason(job, "sub/out/secret.jpg") is Reason.OUTSIDE_ROOT
    assert reason(job, "sub/out/secret.jpg", place / "a") is Reason.OUTSIDE_ROOT


@pytest.mark.parametrize(
    "path",
    ["../other.jpg", "sub/../plain.jpg", "..", ".", "", "/", "./plain.jpg", "sub//deep/nested.jpg", "plain.jpg/"],
)
def test_a_path_that_is_not_plain_is_refused(place: Path, path: str) -> None:
    assert reason(place / "a/job", path) is reason(place / "a/job", path, place) is Reason.OUTSIDE_ROOT
    absolute = os.fspath(place / "a/job/plain.jpg")
    assert reason(place / "a/job", absolute, place) is Reason.OUTSIDE_ROOT


def test_what_is_no_file_is_told_apart_from_what_is_gone(place: Path) -> None:
    job = place / "a/job"
    link(job / "loop.jpg", "loop.jpg")
    link(job / "ring-1", "ring-2")
    link(job / "ring-2", "ring-1")
    link(job / "dangling.jpg", "nothing.jpg")
    link(job / "dangling-out.jpg", place / "secret" / "nothing.jpg")
    link(job / "null.jpg", "/dev/null")
    link(job / "here.jpg", ".")
    os.mkfifo(job / "pipe.jpg")
    (job / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(job):
        listening.bind("socket.jpg")
    expected = {
        "loop.jpg": Reason.NOT_A_FILE,
        "ring-1/x.jpg": Reason.VANISHED,
        "dangling.jpg": Reason.VANISHED,
        "dangling-out.jpg": Reason.OUTSIDE_ROOT,
        "null.jpg": Reason.OUTSIDE_ROOT,
        "pipe.jpg": Reason.NOT_A_FILE,
        "folder.jpg": Reason.NOT_A_FILE,
        "socket.jpg": Reason.NOT_A_FILE,
        "missing.jpg": Reason.VANISHED,
        "missing/x.jpg": Reason.VANISHED,
        "plain.jpg/x.jpg": Reason.VANISHED,
        "n\0.jpg": Reason.VANISHED,
        "sub/n\0/x.jpg": Reason.VANISHED,
        "n" * 300: Reason.VANISHED,
    }
    assert {path: reason(job, path) for path in expected} == expected
    assert {path: reason(job, path, place / "a") for path in expected} == expected
    assert reason(job, "null.jpg", Path("/")) is Reason.NOT_A_FILE, "a device is no image, wherever it may lie"
    assert reason(job, "here.jpg", place / "a") is Reason.NOT_A_FILE


def test_a_file_above_the_limit_is_refused_with_its_size(place: Path) -> None:
    (place / "a/job/large.jpg").write_bytes(bytes(LIMIT + 1))
    assert reason(place / "a/job", "large.jpg") is Reason.TOO_LARGE_BYTES


def test_a_root_that_the_administrator_named_may_be_a_link(place: Path) -> None:
    link(place / "named", place / "a")
    for folder in (place / "named/job", place / "a/job"):
        assert content(folder, "plain.jpg", place / "named") == b"a/job/plain.jpg"
        assert content(folder, "plain.jpg") == b"a/job/plain.jpg"


def test_a_folder_below_none_of_the_roots_is_refused(place: Path) -> None:
    (place / "ab").mkdir()
    for folder in (place / "ab", place / "secret", place, place / "a/job/../../secret"):
        with pytest.raises(OutsideRoots, match=r"below none|no plain path"):
            InspectedFolder(os.fsencode(folder), [os.fsencode(place / "a"), os.fsencode(place / "b")])
    assert allowed_root(b"/data/x/y", [b"/da", b"/data/x/", b"/data"]) == (b"/data/x/", b"y")
    assert allowed_root(b"/data", [b"/data"]) == (b"/data", b"")


def test_a_folder_that_is_missing_or_became_a_link_is_waited_for(place: Path) -> None:
    job = place / "a/job"
    job.rename(place / "a/moved")
    for roots in ([], [os.fsencode(place / "a")]):
        with pytest.raises(StorageTrouble, match="cannot be opened"):
            InspectedFolder(os.fsencode(job), roots)
    job.symlink_to(place / "secret")
    with pytest.raises(StorageTrouble):
        InspectedFolder(os.fsencode(job), [os.fsencode(place / "a")])


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Another thread exchanges the two names in one step, again and again, as long as the block runs."""
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(one), os.fsencode(other))
    over = threading.Event()
    swaps: list[int] = []

    def swap() -> None:
        while not over.is_set():
            swaps.append(library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE))

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert len(swaps) > 100
    assert not any(swaps), os.strerror(ctypes.get_errno())


def test_a_folder_that_is_swapped_for_a_link_never_leads_to_the_secret(place: Path) -> None:
    job = place / "a/job"
    (job / "sub/secret.jpg").write_bytes(b"harmless")
    link(job / "out", place / "secret")
    read, refused = set(), 0
    with InspectedFolder(os.fsencode(job), [os.fsencode(place / "a")]) as opened, swapping(job / "sub", job / "out"):
        for _ in range(READS):
            try:
                read.add(read_file(b"sub/secret.jpg", LIMIT, folder=opened).content)
            except (Unreadable, StorageTrouble):
                refused += 1
    assert read == {b"harmless"}
    assert refused


def test_a_job_folder_that_is_swapped_for_a_link_is_never_opened(place: Path) -> None:
    job = place / "a/job"
    (job / "secret.jpg").write_bytes(b"harmless")
    link(place / "a/out", place / "secret")
    read, refused = set(), 0
    with swapping(job, place / "a/out"):
        for _ in range(READS):
            try:
                read.add(content(job, "secret.jpg", place / "a"))
            except (Unreadable, StorageTrouble):
                refused += 1
    assert read == {b"harmless"}
    assert refused


def test_the_walk_enters_no_folder_that_became_a_link_after_it_was_listed(place: Path) -> None:
    job = place / "a/job"
    found = walk(os.fsencode(job))
    assert next(found) == (Found.IMAGE, b"plain.jpg"), "by now the job's folder is listed, `sub` among its entries"
    (job / "sub").rename(job / "was-sub")
    link(job / "sub", place / "secret")
    with pytest.raises(OSError, match="sub"):
        list(found)
