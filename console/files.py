"""How does a file, or a folder of files, appear under its name only when it is complete?"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.errors import Refused

_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A path to write to; it takes the name `out` at the end of the block, and is gone after an error.

    Where `out` is a link, so does what it leads to. Raises Refused where that is a device, a pipe or a folder, which a
    file would take the place of, where its folder is not there, and where nothing can be written there.
    """
    place = out.resolve()
    if place.exists() and not place.is_file():
        raise Refused(f"{out} is there and is no file: nothing was written. Choose another --out.")
    if not place.parent.is_dir():
        raise Refused(f"There is no folder {out.parent} to write {out.name} into. Choose another --out.")
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(place)
    except OSError as error:
        if error.errno not in _OF_WRITING:
            raise
        raise Refused(f"{out} cannot be written: {error.strerror}. Choose another --out.") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """An empty folder to write into; it takes the name `out` at the end of the block, and is gone after an error.

    Raises Refused where `out` holds anything or is no folder, and where nothing can be written there.
    """
    place = out.resolve()
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise Refused(f"{out} is there and is no empty folder: nothing was written. Name another one.")
    if not place.parent.is_dir():
        raise Refused(f"There is no folder {out.parent} to make {out.name} in. Name another one.")
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        yield part
        part.replace(place)  # refused by the system where somebody has put something into it meanwhile
    except OSError as error:
        if error.errno not in (*_OF_WRITING, errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise Refused(f"{out} cannot be written: {error.strerror}. Name another folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
