r"""How is a file name that is not UTF-8 written down, so that it can be found again?

A path on Linux is bytes. Databases, JSON and terminals want text. Valid UTF-8 is stored as it
is; any other byte is stored as `\xNN`. A name that by itself spells `\xNN` has its backslash
stored as `\x5c`, so that the text always leads back to the same bytes.
"""

import os
import re

_SPELLED = re.compile(r"\\(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def to_text(path: str | bytes) -> str:
    """The stored form of a path as the operating system gives it."""
    raw = os.fsencode(path)
    decoded = raw.decode("utf-8", "surrogateescape")
    kept = _SPELLED.sub(r"\\x5c", decoded)
    return kept.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def to_bytes(text: str) -> bytes:
    """The path that `to_text` was given."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8"))
