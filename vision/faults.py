"""Why can a file not be inspected, and who has to act: a person, or just the next attempt?

`Unreadable` is a fact about the file: it becomes a result with one of the reason codes below.
`StorageTrouble` is a passing fault of the world around it: the caller tries again, no verdict is recorded.
"""

import errno
from enum import StrEnum

MAX_DETAIL = 300  # characters: one line of a report, and one column of a table


class Reason(StrEnum):
    """The permanent faults of a file. The value is what the database and the reports hold."""

    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE_PIXELS = "too_large_pixels"
    TOO_LARGE_BYTES = "too_large_bytes"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    MULTIPLE_FRAMES = "multiple_frames"
    VANISHED = "vanished"
    NOT_A_FILE = "not_a_file"
    PERMISSION_DENIED = "permission_denied"
    OUTSIDE_ROOT = "outside_root"
    CRASHED_WORKER = "crashed_worker"
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_MEMORY = "decode_memory"

    @property
    def explanation(self) -> str:
        """One sentence for a person."""
        return EXPLANATIONS[self]


EXPLANATIONS = {
    Reason.EMPTY_FILE: "The file holds no bytes at all.",
    Reason.NOT_AN_IMAGE: "The content is not JPEG, PNG, BMP, TIFF or WebP, whatever the name says.",
    Reason.TRUNCATED: "The image starts well, but its end is missing: usually a broken copy or upload.",
    Reason.CORRUPT: "The file starts like an image, but its content is damaged and cannot be decoded.",
    Reason.TOO_LARGE_PIXELS: "The image has more pixels than the limit allows.",
    Reason.TOO_LARGE_BYTES: "The file has more bytes than the limit allows.",
    Reason.UNSUPPORTED_PIXELS: "The pixels have no defined range (32-bit integer, floating point) or layout.",
    Reason.MULTIPLE_FRAMES: "The file holds several pages or frames; a page nobody looked at must not pass.",
    Reason.VANISHED: "The file was there when the folder was listed, and is there no more.",
    Reason.NOT_A_FILE: "The name belongs to a folder, pipe, socket or device, not to a regular file.",
    Reason.PERMISSION_DENIED: "The inspecting process may not read the file.",
    Reason.OUTSIDE_ROOT: "The path leads out of the folders that may be inspected.",
    Reason.CRASHED_WORKER: "Decoding the file ended the process that did it, more than once.",
    Reason.DECODE_TIMEOUT: "Decoding the file took longer than the limit allows.",
    Reason.DECODE_MEMORY: "Decoding the file took more memory than the limit allows.",
}


class Unreadable(Exception):
    """This file can get no score, now or later; `reason` says why, `detail` in which words.

    `sha256` (of the file's bytes) and `size` (in bytes) are there when they could be learnt.
    """

    def __init__(self, reason: Reason, detail: str = "", *, sha256: str | None = None, size: int | None = None) -> None:
        self.reason = reason
        self.detail = one_line(detail or reason.explanation)
        self.sha256 = sha256
        self.size = size
        super().__init__(f"{reason.value}: {self.detail}")


class StorageTrouble(OSError):
    """A passing fault while reading a file (I/O error, stale handle, no memory left). Try again."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class OutOfMemory(StorageTrouble):
    """This machine is short of memory now. One image at a time, in a process of its own, may still do."""

    def __init__(self, words: str) -> None:
        super().__init__(errno.ENOMEM, words)


def one_line(text: str) -> str:
    """`text` on one line, without control characters or lone surrogates, at most `MAX_DETAIL` characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 1] + "…"


class Altered(Exception):
    """The file's bytes are not those that were inspected; whatever it shows is no evidence."""
