"""What does an inspected image look like, small enough to embed, and is it still the very same file?"""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from vision.decode import read_image
from vision.reading import InspectedFolder
from vision.tiling import Tile

DEFAULT_EDGE = 320  # pixels: sharp at 160 CSS pixels on a screen of double density
MARK_COLOUR, MARK_WIDTH = (255, 214, 0), 3  # seen on metal and on black; pixels of the small copy
_JPEG_QUALITY = 80
_FULL_QUALITY = 95  # no block of it is seen at any zoom; PNG is five times as large


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small copy of an image, upright."""

    jpeg: bytes
    width: int  # pixels
    height: int  # pixels


def make_thumbnail(
    path: bytes | str | Path,
    sha256: str,
    *,
    edge: int = DEFAULT_EDGE,
    mark: Tile | None = None,
    folder: InspectedFolder | None = None,
) -> Thumbnail:
    """A JPEG of at most `edge` x `edge` pixels of the file whose bytes have this sha256 (64 hex digits).

    An image that is smaller already is not enlarged. `mark`: a part of the image that gets a frame. With a `folder`,
    `path` is relative to it. Raises Altered where the bytes are others, Unreadable and StorageTrouble as
    `vision.decode.read_image` does.
    """
    picture = read_image(path, folder=folder, edge=edge, sha256=sha256)
    image = picture.image
    # reducing_gap: a first, coarse step makes a 50-megapixel photograph several times cheaper.
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if mark is not None:
        scale = image.width / picture.width
        left, top, right, bottom = (
            round(at * scale) for at in (mark.x, mark.y, mark.x + mark.width, mark.y + mark.height)
        )
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=MARK_COLOUR, width=MARK_WIDTH)
    return _encoded(image, _JPEG_QUALITY)


def full_picture(path: bytes | str | Path, sha256: str, *, folder: InspectedFolder | None = None) -> Thumbnail:
    """Every pixel of it, upright, as the network was given them but for the encoding: JPEG of the highest quality.

    Raises as `make_thumbnail` does.
    """
    return _encoded(read_image(path, folder=folder, sha256=sha256).image, _FULL_QUALITY, subsampling=0)


def _encoded(image: Image.Image, quality: int, **more: int) -> Thumbnail:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality, optimize=True, **more)
    return Thumbnail(jpeg=encoded.getvalue(), width=image.width, height=image.height)
