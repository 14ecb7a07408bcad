"""How does a browser get the picture of a verdict, or of a score: small for a gallery, or with all its pixels?

Only a file whose bytes are those that were inspected is shown, by the way in which it was read then: from the folder
of its job or data set, and never through a link that leads elsewhere. Pictures are named by these bytes, and are made
once.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from db.models import DatasetSnapshot, EvaluationScore, InspectionJob, InspectionResult
from db.paths import to_bytes
from vision.cores import usable_cores
from vision.faults import Altered, Reason, StorageTrouble, Unreadable
from vision.reading import InspectedFolder, OutsideRoots
from vision.thumbnail import Thumbnail, full_picture, make_thumbnail
from vision.whole_file import write_whole

SMALL = 320  # pixels: sharp at 160 CSS pixels on a screen of double density
_MOST_BYTES = 2 * 2**30  # on disk; about 100,000 small ones
_LOOK_EVERY = 500  # pictures made, from one look at the disk to the next


_Source = InspectionJob | DatasetSnapshot
_Row = InspectionResult | EvaluationScore


class NoPicture(Exception):
    """The message is a sentence for the person who wanted to see it."""


@dataclass(frozen=True)
class _Kind:
    name: str
    make: Callable[[bytes, str, InspectedFolder], Thumbnail]


_SMALL = _Kind("small", lambda path, sha256, folder: make_thumbnail(path, sha256, edge=SMALL, folder=folder))
_FULL = _Kind("full", lambda path, sha256, folder: full_picture(path, sha256, folder=folder))


class Pictures:
    """Pictures of inspected files, kept in a folder."""

    def __init__(self, folder: Path, roots: tuple[bytes, ...] = (), *, most_bytes: int = _MOST_BYTES) -> None:
        """`roots`: the allowed ones, as `INSPECTQ_ROOTS` names them."""
        self._folder = folder
        self._roots = roots
        self._most_bytes = most_bytes
        self._made = 0
        self._decoding = threading.Semaphore(usable_cores())  # each may hold a picture of 250 megapixels

    def small(self, job: InspectionJob, row: InspectionResult) -> bytes:
        """JPEG of at most SMALL x SMALL pixels. Raises NoPicture."""
        return self._get(_SMALL, job, row)

    def full(self, source: _Source, row: _Row) -> bytes:
        """JPEG with every pixel. Raises NoPicture."""
        return self._get(_FULL, source, row)

    def _get(self, kind: _Kind, source: _Source, row: _Row) -> bytes:
        if row.sha256 is None or row.score is None:
            raise NoPicture("It could not be read when it was inspected.")
        file = self._folder / kind.name / row.sha256[:2] / f"{row.sha256}.jpg"
        with suppress(OSError):
            return file.read_bytes()
        with self._decoding:
            made = _made(kind, source, row, self._roots).jpeg
        with suppress(OSError):  # a full disk costs time, not the picture
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, made)
            self._keep_small()
        return made

    def _keep_small(self) -> None:
        """Take away the oldest ones, now and then, where all together are too large."""
        self._made += 1
        if self._made % _LOOK_EVERY:
            return
        files = sorted(((found := path.stat()).st_mtime, found.st_size, path) for path in self._folder.rglob("*.jpg"))
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._most_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


def _made(kind: _Kind, source: _Source, row: _Row, roots: tuple[bytes, ...]) -> Thumbnail:
    try:
        with InspectedFolder(to_bytes(source.root), roots) as folder:
            return kind.make(to_bytes(row.path), row.sha256 or "", folder)
    except OutsideRoots as error:
        raise NoPicture("Its folder is not among the allowed ones (INSPECTQ_ROOTS).") from error
    except Altered as error:
        raise NoPicture("The file has been changed since it was inspected.") from error
    except Unreadable as fault:
        gone = fault.reason is Reason.VANISHED
        raise NoPicture("The file is no longer there." if gone else f"Cannot be read now: {fault.detail}") from fault
    except StorageTrouble as trouble:
        raise NoPicture(f"Cannot be read now: {trouble.strerror or trouble}") from trouble
