"""How does a zip file grow, a file at a time and never in memory, so that the same content gives the same bytes?"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO

from console.evidence.checksums import checksum_line

_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold
_UNIX = 3  # the system whose permissions follow
_READABLE = 0o644 << 16
CHECKSUMS = "SHA256SUMS"


class Archive:
    """A zip file that is written. When it is closed, `SHA256SUMS` over all of its files has become its last."""

    def __init__(self, file: Path) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._digests: dict[str, str] = {}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            lines = [checksum_line(digest, name.encode()) for name, digest in sorted(self._digests.items())]
            with self.binary(CHECKSUMS) as stream:
                stream.writelines(lines)
        self._zip.close()

    @contextmanager
    def binary(self, name: str) -> Iterator[BinaryIO]:
        """A new file of the archive; the one before it has to be complete."""
        info = zipfile.ZipInfo(name, _NO_TIME)
        info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, _UNIX, _READABLE
        with self._zip.open(info, "w", force_zip64=True) as member:
            hashing = _Hashing(member)
            with io.BufferedWriter(hashing) as stream:
                yield stream
        self._digests[name] = hashing.digest

    @contextmanager
    def text(self, name: str) -> Iterator[IO[str]]:
        """The same, in UTF-8; line breaks stay as they are written."""
        with self.binary(name) as stream, io.TextIOWrapper(stream, encoding="utf-8", newline="") as text:
            yield text

    def json(self, name: str, value: Any) -> None:
        """A file of JSON."""
        with self.text(name) as stream:
            json.dump(value, stream, indent=2)
            stream.write("\n")


class _Hashing(io.RawIOBase):
    """Passes bytes on, and knows their sha256."""

    def __init__(self, to: IO[bytes]) -> None:
        super().__init__()
        self._to = to
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, some: Any) -> int:
        content = bytes(some)
        self._sha256.update(content)
        return self._to.write(content)
