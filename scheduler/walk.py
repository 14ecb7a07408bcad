"""Which images lie in a folder, in an order that can be taken up again after any of them?

Paths are bytes, as the operating system has them. Each folder's entries are sorted by name, so
the walk is the same every time; only one folder's names per level are in memory.
"""

import os
from collections.abc import Iterator
from enum import Enum

from db.paths import to_text
from vision.suffixes import IMAGE_SUFFIXES


class Found(Enum):
    """What an entry of the folder is."""

    IMAGE = "image"  # by its extension; a scan gives every one of these a verdict
    OTHER = "other"  # any other file: counted, not inspected
    LINKED_FOLDER = "linked folder"  # a symbolic link to a folder: counted, not entered, since it may lead in a circle


def walk(root: bytes, after: bytes | None = None) -> Iterator[tuple[Found, bytes]]:
    """(what it is, path relative to `root`) of every file, in order, beginning behind `after`.

    Raises OSError, with the folder's name, where a folder cannot be listed: images that nobody
    can see must not be left out silently.
    """
    start = after.split(b"/") if after is not None else []
    yield from _walk(root, b"", start)


def said(error: OSError) -> str:
    """What went wrong with which folder, for a person."""
    where = error.filename
    return f"{error.strerror}: {to_text(where) if isinstance(where, str | bytes) else where}"


def _walk(root: bytes, folder: bytes, start: list[bytes]) -> Iterator[tuple[Found, bytes]]:
    with os.scandir(os.path.join(root, folder) if folder else root) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    first = start[0] if start else None
    for entry in entries:
        if first is not None and entry.name < first:
            continue
        path = folder + b"/" + entry.name if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, start[1:] if entry.name == first else [])
        elif entry.name != first or len(start) > 1:
            yield _kind(entry), path


def _kind(entry: os.DirEntry[bytes]) -> Found:
    if entry.is_symlink() and entry.is_dir():
        return Found.LINKED_FOLDER
    suffix = os.path.splitext(entry.name)[1].decode("ascii", "replace").lower()
    return Found.IMAGE if suffix in IMAGE_SUFFIXES else Found.OTHER
