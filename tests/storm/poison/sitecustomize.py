"""Lets marked images do to Pillow what a hostile file and a bug in a decoder do together.

Python imports this by itself in every process whose path leads here: workers, their children and
the guarded decoder. The mark is the end of the file; tests/storm/pictures.py puts it there.
"""

import io
import os
import re
import signal
import time
from typing import Any

from PIL import Image

MARK = b"inspectq-storm:"
_really_open = Image.open


def _open(fp: Any, *arguments: Any, **named: Any) -> Any:
    if isinstance(fp, io.BytesIO):
        _, found, kind = bytes(fp.getbuffer()[-64:]).rpartition(MARK)
        if found:
            _act(kind.decode())
    return _really_open(fp, *arguments, **named)


def _act(kind: str) -> None:
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "sleep":
        time.sleep(3600)
    if kind == "spin":  # never lets go of the interpreter lock: a match that takes longer than the universe
        re.match(r"(a+)+b", "a" * 60)
    if kind == "swallow":
        bytearray(1 << 50)


Image.open = _open
