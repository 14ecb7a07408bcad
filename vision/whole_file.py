"""How does a model's file appear: whole, or not at all?"""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> str:
    """Write the file under a temporary name, rename it, and return its sha256 (hex)."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, except on network file systems that refuse."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
