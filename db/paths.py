r"""How is a file name that is not UTF-8 written down, so that it can be found again?

A path on Linux is bytes. Databases, JSON and terminals want text. Valid UTF-8 is stored as it
is; any other byte is stored as `\xNN`. A name that by itself spells `\xNN` has its backslash
stored as `\x5c`, so that the text always leads back to the same bytes.
"""

import os
import posixpath
import re

_SPELLED = re.compile(r"\\(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_ODD = frozenset(map(chr, range(0xDC80, 0xDD00)))  # how Python's own text holds a byte that is not UTF-8


def to_text(path: str | bytes) -> str:
    """The stored form of a path as the operating system gives it."""
    raw = os.fsencode(path)
    decoded = raw.decode("utf-8", "surrogateescape")
    kept = _SPELLED.sub(r"\\x5c", decoded)
    return kept.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def to_bytes(text: str) -> bytes:
    """The path that `to_text` was given."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8"))


def meant(typed: str, root: str) -> list[str]:
    r"""The stored forms that a path which a person typed may stand for, relative to the folder `root` (stored form).

    The person may have it from `inspectq results` (`caf\xe9.jpg`, which is meant first) or from the file system (the
    very bytes); relative to `root`, or absolute, also through links to the folder that it lies in. Empty where it
    leads out of `root`.
    """
    folder = to_bytes(root).rstrip(b"/") + b"/"
    spelled = [] if any(letter in typed for letter in _ODD) else [to_bytes(typed)]
    found = []
    for raw in (*spelled, os.fsencode(typed)):
        for path in (raw, _without_links(raw)):
            inside = posixpath.normpath(posixpath.join(folder, path))
            if inside.startswith(folder):
                found.append(to_text(inside[len(folder) :]))
    return list(dict.fromkeys(found))


def _without_links(path: bytes) -> bytes:
    """An absolute path without a link on the way to its last name: a file that is a link itself has its own verdict."""
    if not posixpath.isabs(path) or b"\0" in path:
        return path
    folder, name = posixpath.split(path)
    return posixpath.join(os.path.realpath(folder), name)
