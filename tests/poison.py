"""How does a test get an image that ends, hangs or swells the process that decodes it under guard?

What really does that to Pillow is mended with its next release. So a mark at the end of a good image makes
the decoding process do it; every other process reads the image as it is.
"""

from pathlib import Path

import pytest

MARK_BYTES = 8

# Found by every Python that starts with this folder on its path: an image with a mark at its end is poison.
POISON = """
import os, signal
from pathlib import Path
from PIL import Image

opened, died = Image.open, Path(__file__).with_name("died")

def poisoned(stream, *args, **options):
    mark = stream.getvalue()[-8:].strip(b"-")
    if mark.startswith(b"SIG") or (mark == b"ONCE" and not died.exists()):
        died.touch()
        os.kill(os.getpid(), getattr(signal, mark.decode(), signal.SIGSEGV))
    while mark == b"HANG":
        signal.pause()
    hoard = []
    while mark == b"SWALLOW":
        hoard.append(bytearray(2**24))
    return opened(stream, *args, **options)

Image.open = poisoned
"""


def marked(image: bytes, mark: str) -> bytes:
    """The image, which from now on is poison: a signal's name, ONCE (that dies once), HANG or SWALLOW."""
    return image + mark.encode().rjust(MARK_BYTES, b"-")


def poison_decoders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarded decoders that are started from now on heed the marks. `folder` is made for that."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(POISON)
    monkeypatch.syspath_prepend(folder)
