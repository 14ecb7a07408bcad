"""How do a file's bytes reach us, and only those of a file below an allowed folder?

A name is looked up one folder at a time, from a folder that is held open, and no symbolic link is
followed on the way (`openat` with O_NOFOLLOW). Whoever swaps a folder for a link between the check
and the opening therefore gains nothing. A link is allowed where it leads to an allowed place; then
its target is opened in the same way.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.faults import OutOfMemory, Reason, StorageTrouble, Unreadable, one_line
from vision.stages import stage

# What the file system says about this one file, for good. Every other errno may pass, and is tried again.
PERMANENT_ERRNO = {
    errno.ENOENT: Reason.VANISHED,
    errno.ENOTDIR: Reason.VANISHED,
    errno.ENAMETOOLONG: Reason.VANISHED,
    errno.ELOOP: Reason.NOT_A_FILE,
    errno.EISDIR: Reason.NOT_A_FILE,
    errno.ENXIO: Reason.NOT_A_FILE,  # what opening a socket answers
    errno.ENODEV: Reason.NOT_A_FILE,
    errno.EACCES: Reason.PERMISSION_DENIED,
    errno.EPERM: Reason.PERMISSION_DENIED,
}
GROWTH = 64 * 1024  # bytes read beyond the announced size, to see whether the file has grown
# O_NONBLOCK: opening a pipe that nobody writes to would wait for ever, before fstat could tell.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OutsideRoots(Exception):
    """The folder lies below none of the allowed roots."""


@dataclass(frozen=True, kw_only=True)
class FileBytes:
    """A file, read whole, once."""

    content: bytes
    sha256: str  # of the content

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)


class InspectedFolder:
    """A folder whose files may be opened, held open. Close it after use; threads may share it."""

    def __init__(self, folder: bytes, roots: Sequence[bytes] = ()) -> None:
        """`roots`: the allowed ones; none means that `folder` itself was named by somebody who may.

        Raises OutsideRoots, and StorageTrouble where the folder is not there.
        """
        self._folder = folder
        self._roots = tuple(roots)
        try:
            self._descriptor = open_folder(folder, self._roots)
        except OSError as error:
            words = f"the job's folder {os.fsdecode(folder)!r} cannot be opened: {os.strerror(error.errno or 0)}"
            raise StorageTrouble(error.errno, words) from error

    def __enter__(self) -> "InspectedFolder":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def open(self, path: bytes) -> int:
        """A descriptor of the file at `path`, relative to the folder. Raises OSError or Unreadable."""
        try:
            return _open_beneath(self._descriptor, path, _FILE)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        return self._open_target(path)

    def _open_target(self, path: bytes) -> int:
        """Of a path with a link in it: where it leads, if that may be inspected."""
        own = os.path.realpath(self._folder)
        target = os.path.realpath(own + b"/" + path)
        if self._roots:
            with contextlib.suppress(OutsideRoots):
                root, rest = allowed_root(target, self._roots)
                return _from(root, rest, _FILE)
        elif inside := _below(target, own):
            return _open_beneath(self._descriptor, inside, _FILE)
        detail = "a symbolic link that leads out of the folders that may be inspected"
        raise Unreadable(Reason.OUTSIDE_ROOT, detail)


def open_folder(folder: bytes, roots: Sequence[bytes] = ()) -> int:
    """A descriptor of the folder, below one of the `roots` if there are any. Raises OutsideRoots or OSError."""
    if not roots:
        return os.open(folder, _FOLDER)
    root, rest = allowed_root(folder, roots)
    try:
        return _from(root, rest, _FOLDER)
    except Unreadable as fault:
        raise OutsideRoots(f"{one_line(os.fsdecode(folder))} is no plain path.") from fault


def allowed_root(place: bytes, roots: Sequence[bytes]) -> tuple[bytes, bytes]:
    """(the allowed root, the path below it) of a path without links. Raises OutsideRoots.

    A root is the administrator's word: it may itself be a link.
    """
    for root in roots:
        for spelling in (root, os.path.realpath(root)):
            if (rest := _below(place, spelling)) is not None:
                return root, rest
    allowed = ", ".join(os.fsdecode(root) for root in roots)
    raise OutsideRoots(f"{one_line(os.fsdecode(place))} lies below none of the allowed folders ({allowed}).")


def read_file(
    path: bytes | str | Path,
    max_bytes: int,
    *,
    folder: InspectedFolder | None = None,
    admit: Callable[[int], None] | None = None,
) -> FileBytes:
    """The bytes of a regular file. Raises `Unreadable` (permanent) or `StorageTrouble` (try again).

    `admit` is called with the number of bytes before there is room for them, and may wait.
    """
    try:
        with stage("read"):
            descriptor = os.open(path, _FILE) if folder is None else folder.open(os.fsencode(path))
            try:  # not io.FileIO: it refuses a folder, and then leaves the descriptor open
                content = _read_regular(descriptor, max_bytes, admit)
            finally:
                os.close(descriptor)
    except ValueError as error:  # a name with a zero byte inside can belong to no file
        raise Unreadable(Reason.VANISHED, "no file can have this name") from error
    except MemoryError as error:
        raise OutOfMemory("not enough memory to read the file") from error
    except OSError as error:
        words = os.strerror(error.errno or errno.EIO)
        if error.errno in PERMANENT_ERRNO:
            raise Unreadable(PERMANENT_ERRNO[error.errno], words) from error
        raise StorageTrouble(error.errno, words) from error
    with stage("hash"):
        return FileBytes(content=content, sha256=hashlib.sha256(content).hexdigest())


def _read_regular(descriptor: int, max_bytes: int, admit: Callable[[int], None] | None) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(Reason.NOT_A_FILE)
    expected = status.st_size
    if admit is not None and expected <= max_bytes:
        admit(expected)
    chunks: list[bytes] = []
    total = 0
    # The file may grow while it is read, so the limit counts what arrived and not only what fstat announced.
    while expected <= max_bytes and total <= max_bytes:
        chunk = os.read(descriptor, max(expected - total, 0) + GROWTH)
        if not chunk:
            break
        chunks.append(chunk)
        total += len(chunk)
    if max(total, expected) > max_bytes:
        detail = f"{max(total, expected)} bytes, the limit is {max_bytes}"
        raise Unreadable(Reason.TOO_LARGE_BYTES, detail, size=max(total, expected))
    return b"".join(chunks)


def _from(root: bytes, rest: bytes, flags: int) -> int:
    start = os.open(root, _FOLDER)
    try:
        return _open_beneath(start, rest, flags) if rest else os.dup(start)
    finally:
        os.close(start)


def _open_beneath(start: int, path: bytes, flags: int) -> int:
    """`path` below the open folder `start`, without following any link. The caller keeps `start`."""
    *folders, name = path.split(b"/")
    if {b"", b".", b".."} & {*folders, name}:
        raise Unreadable(Reason.OUTSIDE_ROOT, "the path is not a plain one below the folder")
    here = start
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            if here != start:
                os.close(here)
            here = inner
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        if here != start:
            os.close(here)


def _below(path: bytes, folder: bytes) -> bytes | None:
    """`path` relative to `folder`; empty where they are the same, None where it lies elsewhere."""
    if path == folder:
        return b""
    start = folder.rstrip(b"/") + b"/"
    return path[len(start) :] if path.startswith(start) else None
