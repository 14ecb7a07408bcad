"""Which files does a real folder hold beside good photographs, and which of them can be inspected?

Every scan meets truncated uploads, wrong extensions and unusual pixel layouts. The sample's incoming/odd/
holds one of each, named after what it is.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vision.samples.photograph import Photograph

JPEG_QUALITY = 92
_ORIENTATION = 0x0112  # the EXIF tag
_ROTATED = 6  # its value for: turn by 90 degrees clockwise to see it upright


@dataclass(frozen=True, kw_only=True)
class OddFile:
    """What an odd file is, and whether inspecting it must end in UNREADABLE."""

    what: str
    unreadable: bool
    encode: Callable[[Image.Image], bytes]
    shows_part: bool = True  # whether the photograph can still be recognised, so that its label is the truth


def write_odd_files(folder: Path, photograph: Photograph) -> None:
    """Every file of ODD_FILES, made from one photograph."""
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(photograph.pixels)
    for name, odd in ODD_FILES.items():
        (folder / name).write_bytes(odd.encode(image))


def _saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _jpeg(image: Image.Image) -> bytes:
    return _saved(image, "JPEG", quality=JPEG_QUALITY)


def _truncated(image: Image.Image) -> bytes:
    whole = _jpeg(image)
    return whole[: len(whole) // 2]


def _sixteen_bit(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L"), dtype=np.uint16) * 257
    return _saved(Image.fromarray(grey), "PNG")


def _rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = _ROTATED
    return _saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=JPEG_QUALITY, exif=exif)


def _palette(image: Image.Image) -> bytes:
    return _saved(image.quantize(64), "PNG", transparency=0)


ODD_FILES = {
    "truncated.jpg": OddFile(what="the first half of a JPEG", unreadable=True, encode=_truncated, shows_part=False),
    "text.png": OddFile(
        what="text that is named like an image",
        unreadable=True,
        encode=lambda _: b"not an image\n",
        shows_part=False,
    ),
    "zero-bytes.jpg": OddFile(what="an empty file", unreadable=True, encode=lambda _: b"", shows_part=False),
    "one-pixel.png": OddFile(
        what="an image of 1 x 1 pixel",
        unreadable=False,
        encode=lambda image: _saved(image.resize((1, 1)), "PNG"),
        shows_part=False,
    ),
    "sixteen-bit-grey.png": OddFile(what="16 bits per pixel, grey", unreadable=False, encode=_sixteen_bit),
    "cmyk.jpg": OddFile(
        what="four inks instead of three colours", unreadable=False, encode=lambda image: _jpeg(image.convert("CMYK"))
    ),
    "exif-rotated.jpg": OddFile(what="stored on its side, upright by EXIF", unreadable=False, encode=_rotated),
    "palette-transparent.png": OddFile(what="64 colours, one transparent", unreadable=False, encode=_palette),
    "CAPITALS.TIF": OddFile(
        what="an unusual extension in capitals", unreadable=False, encode=lambda image: _saved(image, "TIFF")
    ),
}
