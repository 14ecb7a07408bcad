"""How does a file become RGB pixels, in the one way that training and inspection share?

The file is opened once and read once; its hash and its pixels come from the same bytes. Content decides the
format, never the name. The conversion, whole (`CONVERSION_VERSION` changes whenever any of it does):

- The orientation that EXIF, XMP or TIFF names is applied; where it cannot be read, pixels stay as stored.
- Grey, palette, YCbCr and CMYK become RGB by Pillow's formulas; LAB through Little CMS to sRGB. Embedded
  colour profiles are not applied: one camera's profile must not change what the network sees.
- 16-bit grey is divided by 257 and rounded (12-bit TIFF by 4095/255; white-is-zero is inverted). Other 16-bit
  pixels keep their upper byte, as Pillow reads them.
- Alpha, or a colour marked as transparent, is composited over white.
- 32-bit integer, floating-point and signed pixels have no defined range and are refused. So is more than one
  page or frame, except in the multi-picture JPEG of phones, whose first picture is the photograph.
- So is a file that lacks pixels which it announces, and of which Pillow would make a picture nevertheless, black or
  grey where they lack: PNG with wrong checksums or too few rows, JPEG without its end, WebP whose end is zeros, TIFF
  with too few strips. (Zeros in BMP or uncompressed TIFF are pixels like any others: nobody can tell.)

Where a caller says how large a picture it needs, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, if that is
enough: libjpeg leaves out the frequencies that scaling down would remove anyway, and most of the work with them.

Nothing here needs torch.
"""

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from vision.faults import Altered, OutOfMemory, Reason, StorageTrouble, Unreadable
from vision.header import (
    is_webp,
    jpeg_end_is_missing,
    png_could_be_whole,
    png_is_damaged,
    png_is_interlaced,
    png_is_whole,
    webp_end_is_missing,
    webp_size,
)
from vision.reading import FileBytes, InspectedFolder, read_file
from vision.suffixes import IMAGE_SUFFIXES

__all__ = [
    "CONVERSION_VERSION",
    "DEFAULT_LIMITS",
    "IMAGE_SUFFIXES",
    "Limits",
    "Picture",
    "Reason",
    "StorageTrouble",
    "Unreadable",
    "read_image",
]

CONVERSION_VERSION = 1

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

TIFF_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}

# Everything that Pillow's readers were seen to raise on damaged input.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
EXIF_ORIENTATION = 0x0112
TIFF_BITS_PER_SAMPLE = 258
TIFF_PHOTOMETRIC = 262
TIFF_SAMPLES_PER_PIXEL = 277
TIFF_PLANAR = 284
TIFF_TILE_WIDTH = 322
TIFF_TILE_LENGTH = 323

MAX_SIDE = 1_000_000  # pixels; each row costs Pillow 12 bytes beside its pixels, so thin pictures cost far more
STRIP = 4_000_000  # pixels that are converted at a time where a conversion takes several copies
MAX_TILE = 16_000_000  # pixels that a TIFF's tile may have more than its picture

# Pillow's remarks on damaged metadata name no file; they would only fill the log. Set for the whole process:
# `warnings.catch_warnings` is not safe between threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.simplefilter("error", Image.DecompressionBombWarning)


Admit = Callable[[int], None]

# These codecs report a lack of memory as damage. Bytes per pixel that decoding takes: Pillow's own four, and in
# JPEG the coefficients of a progressive one, in WebP two canvases, the decoded frame and its copy.
MUTE_CODECS = {"JPEG": 12, "MPO": 12, "WEBP": 24}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused before it costs memory."""

    max_pixels: int = 250_000_000  # width x height; up to nine bytes each while decoding (16-bit grey, alpha)
    max_bytes: int = 512 * 1024 * 1024  # the file on disk
    decode_seconds: float = 60.0  # for one image; kept where decoding is guarded
    decode_memory: int = 4 * 1024**3  # bytes of address space of a guarded decoder


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a file's bytes show."""

    image: Image.Image  # mode RGB, upright; smaller than width x height where a smaller one was enough
    width: int  # pixels as stored, upright
    height: int


@dataclass(frozen=True, kw_only=True)
class Picture(Decoded):
    """A file, read and decoded."""

    sha256: str  # of the file's bytes
    size: int  # of the file, in bytes


def read_image(
    path: bytes | str | Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    folder: InspectedFolder | None = None,
    edge: int | None = None,
    sha256: str | None = None,
) -> Picture:
    """Read one file and decode it, `edge` as for `decode`.

    With a `folder` the path is relative to it, and a file that lies outside is `Unreadable` (outside_root). With a
    `sha256` (64 hex digits) other bytes are not decoded, whatever they would do: `Altered`.
    Raises `Unreadable` (permanent) or `StorageTrouble` (try again).
    """
    file = read_file(path, limits.max_bytes, folder=folder)
    if sha256 not in (None, file.sha256):
        raise Altered(file.sha256)
    seen = decode_file(file, limits, edge=edge)
    return Picture(image=seen.image, width=seen.width, height=seen.height, sha256=file.sha256, size=file.size)


def decode_file(file: FileBytes, limits: Limits, *, edge: int | None = None, admit: Admit | None = None) -> Decoded:
    """As `decode`; `Unreadable` then says which file, and a lack of memory is `StorageTrouble`."""
    try:
        return decode(file.content, limits.max_pixels, edge=edge, admit=admit)
    except Unreadable as fault:
        raise Unreadable(fault.reason, fault.detail, sha256=file.sha256, size=file.size) from fault
    except MemoryError as error:
        # The pixel limit was checked before: this machine is short of memory now, the file is not at fault.
        raise OutOfMemory("not enough memory to decode the image") from error


def decode(content: bytes, max_pixels: int, *, edge: int | None = None, admit: Admit | None = None) -> Decoded:
    """A file's bytes as an upright picture of mode RGB.

    With an `edge`, a picture whose longer side has at least that many pixels is enough, if the file's has. `admit`
    is called with the number of pixels before room is made for them, and may wait. Raises `Unreadable` or MemoryError.
    """
    if not content:
        raise Unreadable(Reason.EMPTY_FILE)
    _raise_pillow_ceiling(max_pixels)
    if is_webp(content):  # Pillow makes room for the whole picture before it says how large that is
        _check_pixels(*webp_size(content), max_pixels)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_header(image, max_pixels)
            _check_promise(image, content)
            stored = _reduce(image, edge) if edge is not None else None
            if admit is not None:
                admit(image.width * image.height)
            image.load()
            _check_last_row(image, content)
            orientation = _orientation(image)
            upright = _upright(image, orientation)
            width, height = upright.size if stored is None else stored[::-1] if orientation in SIDEWAYS else stored
            return Decoded(image=_to_rgb(upright), width=width, height=height)
    except UnidentifiedImageError as error:
        raise _cut_short(content) or _unidentified(content) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(Reason.TOO_LARGE_PIXELS, f"more pixels than the limit of {max_pixels}") from error
    except DECODE_ERRORS as error:
        _rule_out_memory(content)
        raise _cut_short(content) or _damaged(error) from error


def _raise_pillow_ceiling(max_pixels: int) -> None:
    """Let Pillow open what `max_pixels` allows; its own guard stays on above that.

    Pillow's limit belongs to the whole process, so it only ever goes up here: a smaller limit of another
    thread is kept by `_check_header`, which is the guard that counts.
    """
    if Image.MAX_IMAGE_PIXELS is None or max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


def _check_header(image: Image.Image, max_pixels: int) -> None:
    """Refuse, before a pixel is decoded, what would cost too much or could only be inspected in part."""
    _check_pixels(image.width, image.height, max_pixels)
    if max(image.size) > MAX_SIDE:
        detail = f"{image.width} x {image.height} pixels, the limit for one side is {MAX_SIDE}"
        raise Unreadable(Reason.TOO_LARGE_PIXELS, detail)
    if image.width == 0 or image.height == 0:
        raise Unreadable(Reason.CORRUPT, f"{image.width} x {image.height} pixels")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise Unreadable(Reason.MULTIPLE_FRAMES)


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Unreadable(Reason.TOO_LARGE_PIXELS, f"{width} x {height} pixels, the limit is {max_pixels}")


def _check_promise(image: ImageFile.ImageFile, content: bytes) -> None:
    """Refuse, before a pixel is decoded, a file that lacks pixels for sure, or unpacks to far more of them."""
    match image.format:
        case "PNG":
            if not png_could_be_whole(content):
                detail = f"{len(content)} bytes, too few for {image.width} x {image.height} pixels"
                raise Unreadable(Reason.TRUNCATED, detail)
            if png_is_damaged(content):
                raise Unreadable(Reason.CORRUPT, "pixels that do not fit their checksum")
        case "JPEG" | "MPO":
            if jpeg_end_is_missing(content):
                raise Unreadable(Reason.TRUNCATED, "no end of image")
        case "WEBP":
            if webp_end_is_missing(content):
                raise Unreadable(Reason.TRUNCATED, "zeros where the end of the image should be")
        case "TIFF":
            _check_tiff(image)


def _check_tiff(image: ImageFile.ImageFile) -> None:
    """Refuse tiles far larger than the picture, and another number of strips than it has."""
    width, length = _tiff_number(image, TIFF_TILE_WIDTH, 0), _tiff_number(image, TIFF_TILE_LENGTH, 0)
    if width * length > image.width * image.height + MAX_TILE:  # libtiff unpacks a tile whole
        raise Unreadable(Reason.TOO_LARGE_PIXELS, f"a tile of {width} x {length} pixels, far larger than the image")
    samples = _tiff_number(image, TIFF_SAMPLES_PER_PIXEL, 1)
    planes = samples if _tiff_number(image, TIFF_PLANAR, 1) == 2 else 1
    areas = [tile.extents for tile in image.tile if tile.extents is not None and tile.codec_name != "libtiff"]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in areas)
    if areas and covered < image.width * image.height * planes:  # Pillow would leave the rest black
        raise Unreadable(Reason.TRUNCATED, "fewer strips or tiles than the picture has")
    if covered > image.width * image.height * samples:  # Pillow would decode each of them, however many
        raise Unreadable(Reason.CORRUPT, "more strips or tiles than the picture has")


def _tiff_number(image: ImageFile.ImageFile, tag: int, default: int) -> int:
    value = getattr(image, "tag_v2", {}).get(tag, default)
    if not isinstance(value, int):
        raise Unreadable(Reason.CORRUPT, f"TIFF tag {tag} is not a whole number")
    return value


def _check_last_row(image: Image.Image, content: bytes) -> None:
    """Refuse a PNG that has fewer rows than it announces: Pillow leaves the others black."""
    if image.format != "PNG":
        return
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    suspicious = png_is_interlaced(content) or last_row.getbbox(alpha_only=False) is None
    if suspicious and not png_is_whole(content):
        raise Unreadable(Reason.TRUNCATED, "fewer pixels than the header announces")


def _rule_out_memory(content: bytes) -> None:
    """Raises MemoryError where there is too little of it for this picture, so that its damage is not proven."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            needed = image.width * image.height * MUTE_CODECS.get(image.format or "", 0)
    except DECODE_ERRORS:
        needed = math.prod(webp_size(content)) * MUTE_CODECS["WEBP"] if is_webp(content) else 0
    np.empty(needed, dtype=np.uint8)  # reserved, not touched


def _reduce(image: ImageFile.ImageFile, edge: int) -> tuple[int, int] | None:
    """Have a JPEG decoded no larger than it has to be. Returns the (width, height) it is stored with, if that is so."""
    stored = image.size
    if image.format not in ("JPEG", "MPO") or max(stored) <= edge:
        return None
    image.draft(None, (max(1, stored[0] * edge // max(stored)), max(1, stored[1] * edge // max(stored))))
    return stored


def _orientation(image: Image.Image) -> int:
    """How the picture's metadata asks for it to be turned; 1: not at all. Pillow has already turned a TIFF."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except DECODE_ERRORS:  # damaged metadata beside sound pixels is no reason to withhold a verdict
        return 1
    return orientation if isinstance(orientation, int) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = TRANSPOSITIONS.get(orientation)
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _grey16_to_rgb(image)
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if image.mode in ("1", "L", "P", "RGB", "LA", "PA", "RGBA", "La", "RGBa") and image.has_transparency_data:
        return _over_white(image)
    if image.mode == "RGB":
        return image  # `convert` would copy it: four bytes more for each pixel
    if image.mode in ("1", "L", "P", "RGBX", "CMYK", "YCbCr"):
        return image.convert("RGB")
    raise Unreadable(Reason.UNSUPPORTED_PIXELS, f"pixels of mode {image.mode} have no defined conversion")


def _over_white(image: Image.Image) -> Image.Image:
    result = Image.new("RGB", image.size)
    for upper, lower in _strips(image):
        box = (0, upper, image.width, lower)
        strip = image.crop(box).convert("RGBA")
        result.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), box)
    return result


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    largest = 4095 if tags.get(TIFF_BITS_PER_SAMPLE) == (12,) else 65535
    values = np.arange(65536)
    table = ((values * 255 + largest // 2) // largest).clip(0, 255).astype(np.uint8)
    if tags.get(TIFF_PHOTOMETRIC) == 0:  # Pillow inverts white-is-zero for 8 bits, but not for 16
        table = 255 - table
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        table[values == transparent] = 255
    pixels = np.asarray(image)
    grey = np.empty(pixels.shape, dtype=np.uint8)
    for upper, lower in _strips(image):
        grey[upper:lower] = table[pixels[upper:lower]]
    return Image.fromarray(grey).convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, int]]:
    """First row, and the one behind the last, of each part that is converted by itself."""
    rows = max(1, STRIP // image.width)
    return ((upper, min(upper + rows, image.height)) for upper in range(0, image.height, rows))


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise Unreadable(Reason.UNSUPPORTED_PIXELS, "LAB pixels could not be converted")
    return converted


def _unidentified(content: bytes) -> Unreadable:
    if content.startswith(SIGNATURES) or is_webp(content):
        return Unreadable(Reason.CORRUPT, "starts like an image, but its header is incomplete or damaged")
    return Unreadable(Reason.NOT_AN_IMAGE, "not a JPEG, PNG, BMP, TIFF or WebP image")


def _cut_short(content: bytes) -> Unreadable | None:
    """A file that names a place beyond its own end, where Pillow only says "damaged"."""
    needed = 0
    if is_webp(content):  # names its length
        needed = int.from_bytes(content[4:8], "little") + 8
    elif content[:4] in TIFF_ORDERS:  # names the place of its first directory
        needed = int.from_bytes(content[4:8], TIFF_ORDERS[content[:4]]) + 2
    if needed <= len(content):
        return None
    return Unreadable(Reason.TRUNCATED, f"{len(content)} bytes, of at least {needed}")


def _damaged(error: BaseException) -> Unreadable:
    words = str(error) or type(error).__name__
    cut = isinstance(error, EOFError) or "truncated" in words.lower()
    return Unreadable(Reason.TRUNCATED if cut else Reason.CORRUPT, words)
