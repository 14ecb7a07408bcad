"""How does a file appear under its name only when it is complete?"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.errors import Refused


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A path to write to; it takes the name `out` at the end of the block, and is gone after an error.

    Raises Refused where the folder of `out` is not there or cannot be written.
    """
    if not out.parent.is_dir():
        raise Refused(f"There is no folder {out.parent} to write {out.name} into.")
    part = out.with_name(f".{out.name}.part")
    try:
        yield part
        part.replace(out)
    except PermissionError as error:
        raise Refused(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
