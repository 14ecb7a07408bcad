"""Which images lie in a folder, in an order that can be taken up again after any of them?

Paths are bytes, as the operating system has them. Each folder's entries are sorted by name, so
the walk is the same every time; only one folder's names per level are in memory.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from operator import itemgetter

from db.paths import to_text
from vision.reading import open_folder
from vision.suffixes import IMAGE_SUFFIXES

# What following a link may come to for good. Whoever reads it as an image says the same in its verdict; anything else
# is a fault of the storage, which passes.
_LEADS_NOWHERE = (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Found(Enum):
    """What an entry of the folder is."""

    IMAGE = "image"  # by its extension; a scan gives every one of these a verdict
    OTHER = "other"  # any other file: counted, not inspected
    LINKED_FOLDER = "linked folder"  # a symbolic link to a folder: counted, not entered, since it may lead in a circle


def walk(root: bytes, after: bytes | None = None, *, roots: Sequence[bytes] = ()) -> Iterator[tuple[Found, bytes]]:
    """(what it is, path relative to `root`) of every file, in order, beginning behind `after`.

    Raises OSError, with the folder's name, where a folder cannot be listed: images that nobody
    can see must not be left out silently. Raises OutsideRoots where `root` lies below none of the
    allowed `roots`, if there are any.
    """
    start = after.split(b"/") if after is not None else []
    with _named(root):
        here = open_folder(root, roots)
    yield from _walk(root, here, b"", start)


def said(error: OSError) -> str:
    """What went wrong with which folder, for a person."""
    where = error.filename
    return f"{error.strerror}: {to_text(where) if isinstance(where, str | bytes) else where}"


def _walk(place: bytes, here: int, folder: bytes, start: list[bytes]) -> Iterator[tuple[Found, bytes]]:
    """The open folder `here`, which is closed at the end; `folder` is its path below the root, `place` its whole path.

    One folder is opened in the other and never through a link, so that a link that takes a folder's place
    meanwhile leads nowhere.
    """
    try:
        entries = _entries(here, place)
        first = start[0] if start else None
        for name, entry in entries:
            if first is not None and name < first:
                continue
            path = folder + b"/" + name if folder else name
            if entry.is_dir(follow_symlinks=False):
                inside = place + b"/" + name
                with _named(inside):
                    inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
                yield from _walk(inside, inner, path, start[1:] if name == first else [])
            elif name != first or len(start) > 1:
                yield _kind(entry, name), path
    finally:
        os.close(here)


@contextmanager
def _named(place: bytes) -> Iterator[None]:
    """Errors say the whole path of the folder."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, place) from error


def _entries(here: int, place: bytes) -> list[tuple[bytes, os.DirEntry[str]]]:
    """By name, as bytes: the order of text would depend on how it is decoded."""
    with _named(place), os.scandir(here) as listing:
        return sorted(((os.fsencode(entry.name), entry) for entry in listing), key=itemgetter(0))


def _kind(entry: os.DirEntry[str], name: bytes) -> Found:
    if entry.is_symlink() and _leads_to_folder(entry):
        return Found.LINKED_FOLDER
    suffix = os.path.splitext(name)[1].decode("ascii", "replace").lower()
    return Found.IMAGE if suffix in IMAGE_SUFFIXES else Found.OTHER


def _leads_to_folder(link: os.DirEntry[str]) -> bool:
    try:
        return link.is_dir()
    except OSError as error:
        if error.errno in _LEADS_NOWHERE:
            return False
        raise
