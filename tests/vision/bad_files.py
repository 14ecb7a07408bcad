"""Which bad files does a folder of images hold in the worst case, and what may become of each?

Everything is drawn here from a fixed seed; nothing is copied from anywhere. `valid_images` are small sound files of
every supported format; `bad_files` are those files damaged, and everything else that can stand under an image's name.
"""

import functools
import io
import os
import socket
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from vision.faults import Reason

SCORE = None  # the outcome of a file that is sound enough: a picture, and so a score
Outcomes = frozenset[Reason | None]

SPARSE_BYTES = 1 << 40  # announced by a file that takes no disk
PNG_TAIL = 21  # bytes after a PNG's last pixel: checksums and end mark, whose loss costs nothing

SOUND: Outcomes = frozenset({SCORE})
NO_IMAGE: Outcomes = frozenset({Reason.NOT_AN_IMAGE})
CUT: Outcomes = frozenset({Reason.TRUNCATED, Reason.CORRUPT, Reason.NOT_AN_IMAGE})
DAMAGED: Outcomes = frozenset({Reason.TRUNCATED, Reason.CORRUPT})
TOO_MANY_PIXELS: Outcomes = frozenset({Reason.TOO_LARGE_PIXELS})
SEVERAL: Outcomes = frozenset({Reason.MULTIPLE_FRAMES})
NO_FILE: Outcomes = frozenset({Reason.NOT_A_FILE})
GONE: Outcomes = frozenset({Reason.VANISHED})
# What flipped bits may do: nothing that is seen, or a wish for other pixels, more pixels, more frames.
ANY_CONTENT: Outcomes = CUT | SOUND | TOO_MANY_PIXELS | SEVERAL | {Reason.UNSUPPORTED_PIXELS}


@dataclass(frozen=True, kw_only=True)
class BadFile:
    """One entry of the folder: `make` puts it at a path; nothing but `outcomes` may become of it."""

    name: str  # of the file, with a suffix that the folder's walk picks up
    make: Callable[[Path], object]
    outcomes: Outcomes


def lay_out(folder: Path) -> list[tuple[Path, BadFile]]:
    """Every bad file, made in `folder`."""
    made = []
    for item in bad_files():
        path = folder / item.name
        item.make(path)
        made.append((path, item))
    return made


def bad_files() -> Iterator[BadFile]:
    """Every bad file, in the same order with the same bytes each time."""
    for contents in (
        _truncated(),
        _unwritten(),
        _flipped(),
        _misnamed(),
        _wrong_sizes(),
        _bombs(),
        _several_frames(),
        _metadata(),
        _no_images(),
    ):
        for name, content, outcomes in contents:
            yield BadFile(name=name, make=_writer(content), outcomes=outcomes)
    yield from _special_files()


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# --- sound files -----------------------------------------------------------------------------------------------


def noise(width: int = 24, height: int = 16, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels that compress badly, so that every tenth of a file holds some of them; (height, width, channels)."""
    return np.random.default_rng(3).integers(0, 256, (height, width, channels), dtype=np.uint8)


@functools.cache
def valid_images(width: int = 24, height: int = 16) -> dict[str, bytes]:
    """A sound file of each kind, by a name that ends with its usual suffix."""
    colour = Image.fromarray(noise(width, height))
    grey = colour.convert("L")
    alpha = Image.fromarray(noise(width, height, 4))
    cmyk = colour.convert("CMYK")
    palette = colour.quantize(16)
    bits = colour.convert("1")
    deep = Image.fromarray(noise(width, height, 2).view(np.uint16)[..., 0])
    lab = ImageCms.profileToProfile(
        colour, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    del lab.info["icc_profile"]
    return {
        "baseline.jpg": encoded(colour, "JPEG", quality=90),
        "progressive.jpg": encoded(colour, "JPEG", quality=90, progressive=True),
        "restarts.jpg": encoded(colour, "JPEG", restart_marker_blocks=1),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(cmyk, "JPEG"),
        "phone.jpg": encoded(colour, "MPO", save_all=True, append_images=[colour.rotate(180)]),
        "colour.png": encoded(colour, "PNG"),
        "grey.png": encoded(grey, "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "bits.png": encoded(bits, "PNG"),
        "sixteen.png": encoded(deep, "PNG"),
        "interlaced.png": interlaced_png(noise(width, height)),
        "colour.bmp": encoded(colour, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "bits.bmp": encoded(bits, "BMP"),
        "packed.bmp": packed_bmp(np.asarray(palette)),
        "raw.tif": encoded(colour, "TIFF"),
        "lzw.tif": encoded(colour, "TIFF", compression="tiff_lzw"),
        "deflated.tif": encoded(colour, "TIFF", compression="tiff_adobe_deflate"),
        "packbits.tif": encoded(palette, "TIFF", compression="packbits"),
        "jpeg.tif": encoded(colour, "TIFF", compression="jpeg"),
        "fax.tif": encoded(bits, "TIFF", compression="group4"),
        "sixteen.tif": encoded(deep, "TIFF"),
        "cmyk.tif": encoded(cmyk, "TIFF", compression="tiff_lzw"),
        "lab.tif": encoded(lab, "TIFF", compression="tiff_lzw"),
        "ycbcr.tif": encoded(colour.convert("YCbCr"), "TIFF"),
        "big.tif": encoded(colour, "TIFF", big_tiff=True),
        "tiled.tif": tiled_tiff(grey, 16),
        "lossy.webp": encoded(colour, "WEBP"),
        "lossless.webp": encoded(colour, "WEBP", lossless=True),
        "alpha.webp": encoded(alpha, "WEBP"),
    }


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of the file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, with checksums that fit."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a sound PNG."""
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += length + 12
    return chunks


def ihdr(width: int, height: int, *, bits: int = 8, colour: int = 0, interlaced: bool = False) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)


def interlaced_png(pixels: NDArray[np.uint8], kept: int = 7) -> bytes:
    """An RGB picture in the seven passes that Pillow reads but does not write; only the first `kept` are there."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes()
        for top, left, down, right in passes[:kept]
        for row in pixels[top::down, left::right]
        if row.size
    )
    header = ihdr(pixels.shape[1], pixels.shape[0], colour=2, interlaced=True)
    return png([header, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def bmp(
    width: int, height: int, *, bits: int, compression: int = 0, palette: bytes = b"", pixels: bytes = b""
) -> bytes:
    offset = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + palette + pixels


def packed_bmp(indices: NDArray[np.uint8]) -> bytes:
    """A run-length encoded picture of palette indices, bottom row first: each row in runs of one."""
    pixels = b"".join(b"".join(bytes((1, index)) for index in row) + b"\0\0" for row in indices[::-1].tolist())
    palette = bytes(range(200, 56, -9)) * 64
    height, width = indices.shape
    return bmp(width, height, bits=8, compression=1, palette=palette, pixels=pixels + b"\0\1")


def tiff(
    tags: dict[int, int | bytes],
    *,
    next_directory: int = 0,
    pixels: bytes = b"",
    offset_tag: int = 273,
    strips: int = 1,
) -> bytes:
    """A little-endian TIFF of one directory; a number is one long, bytes are undefined data behind the directory.

    More than one of the `strips` all begin at the file's first byte.
    """
    begin = 8 + 2 + 12 * (len(tags) + 1) + 4
    if strips > 1:
        pixels = bytes(4 * strips)
    behind = pixels
    entries = []
    for tag, value in sorted({**tags, offset_tag: begin}.items()):
        if tag == offset_tag:
            entries.append(struct.pack("<HHII", tag, 4, strips, begin))
        elif isinstance(value, int):
            entries.append(struct.pack("<HHII", tag, 4, 1, value))
        else:
            entries.append(struct.pack("<HHII", tag, 7, len(value), begin + len(behind)))
            behind += value
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", next_directory)
    return b"II*\0" + struct.pack("<I", 8) + directory + behind


def grey_tiff(width: int, height: int, compression: int = 1) -> dict[int, int | bytes]:
    return {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1}


def tiled_tiff(grey: Image.Image, side: int) -> bytes:
    """One deflated tile of `side` x `side` pixels over the upper left of the picture's own size."""
    tile = zlib.compress(grey.crop((0, 0, side, side)).tobytes())
    size = (min(grey.width, side), min(grey.height, side))
    return tiff({**grey_tiff(*size, 8), 322: side, 323: side, 325: len(tile)}, pixels=tile, offset_tag=324)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", struct.pack("<I", flags) + size


# --- damaged files ---------------------------------------------------------------------------------------------

Contents = Iterator[tuple[str, bytes, Outcomes]]


def _truncated() -> Contents:
    for name, content in valid_images().items():
        for tenth in range(10):
            kept = len(content) * tenth // 10
            harmless = name.endswith(".png") and len(content) - kept <= PNG_TAIL
            # The second picture of a phone's file is not what is looked at.
            harmless = harmless or (name == "phone.jpg" and tenth > 4)
            outcomes = frozenset({Reason.EMPTY_FILE}) if not kept else CUT | SOUND if harmless else CUT
            yield f"cut-{tenth}-{name}", content[:kept], outcomes


def _unwritten() -> Contents:
    """Of full length, but zeros from each tenth on: a copy cut off after the size had been set.

    Pixels as they are (BMP, TIFF without compression) may be zeros, so nobody can tell there.
    """
    for name, content in valid_images(200, 160).items():
        if not name.endswith(".bmp") and name not in ("raw.tif", "sixteen.tif", "ycbcr.tif", "big.tif"):
            for tenth in range(1, 10):
                kept = len(content) * tenth // 10
                outcomes = CUT | SOUND if name == "phone.jpg" and tenth > 4 else CUT
                yield f"unwritten-{tenth}-{name}", content[:kept] + bytes(len(content) - kept), outcomes


def _flipped() -> Contents:
    random = np.random.default_rng(11)
    for name, content in valid_images().items():
        for number in range(10):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 1 + number):
                damaged[place] ^= 1 << int(random.integers(0, 8))
            yield f"flipped-{number}-{name}", bytes(damaged), ANY_CONTENT


def _misnamed() -> Contents:
    suffixes = [".jpg", ".png", ".bmp", ".tif", ".webp"]
    for name, content in valid_images().items():
        own = Path(name).suffix
        other = suffixes[(suffixes.index(own) + 1) % len(suffixes)]
        yield f"misnamed-{name}{other}", content, SOUND


def _wrong_sizes() -> Contents:
    """Headers that announce another size than the pixels behind them have."""
    maybe = DAMAGED | SOUND
    sizes = {
        "twice": (48, 32),
        "wider": (25, 16),
        "higher": (24, 17),
        "half": (12, 8),
        "none": (0, 16),
        "flat": (24, 0),
    }
    images = valid_images()
    for word, (width, height) in sizes.items():
        empty, larger = not width or not height, width > 24 or height > 16
        refused = DAMAGED if empty or larger else maybe
        for name in ("colour.png", "interlaced.png", "sixteen.png"):
            chunks = png_chunks(images[name])
            header = struct.pack(">II", width, height) + chunks[0][1][8:]
            yield f"{word}-{name}", png([(b"IHDR", header), *chunks[1:]]), refused
        for name in ("colour.bmp", "packed.bmp"):
            content = images[name]
            # A packed row that ends early is a picture of its own kind: the rest of the row is black.
            outcomes = maybe if name == "packed.bmp" and not empty else refused
            yield f"{word}-{name}", content[:18] + struct.pack("<ii", width, height) + content[26:], outcomes
        for name in ("baseline.jpg", "progressive.jpg", "grey.jpg"):
            # libjpeg fills what is missing with grey, and says so only in a warning that Pillow does not pass on.
            content = images[name]
            place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) + 5
            size = struct.pack(">HH", height, width)
            yield f"{word}-{name}", content[:place] + size + content[place + 4 :], DAMAGED if empty else maybe
        tags = grey_tiff(width, height)
        yield f"{word}-raw.tif", tiff({**tags, 278: height, 279: 384}, pixels=bytes(384)), refused
        packed = zlib.compress(bytes(384))
        yield f"{word}-deflated.tif", tiff({**tags, 259: 8, 278: height, 279: len(packed)}, pixels=packed), refused
        for name in ("lossy.webp", "lossless.webp"):
            if not empty:
                kind, body = images[name][12:16], images[name][20:]
                content = riff(webp_canvas(width, height), (kind, body))
                yield f"{word}-canvas-{name}", content, DAMAGED
    yield from _missing_pixels()


def _missing_pixels() -> Contents:
    """Sound headers and checksums, and an end where it belongs, but fewer rows, passes or strips between them."""
    lacking = frozenset({Reason.TRUNCATED})
    for rows in (0, 1, 15):
        data = zlib.compress((b"\0" + bytes([200] * 72)) * rows)
        yield f"rows-{rows}.png", png([ihdr(24, 16, colour=2), (b"IDAT", data), (b"IEND", b"")]), lacking
    for passes in (0, 1, 6):
        yield f"passes-{passes}.png", interlaced_png(noise(), passes), lacking
    black = zlib.compress((b"\0" + bytes(72)) * 16)
    yield "black.png", png([ihdr(24, 16, colour=2), (b"IDAT", black), (b"IEND", b"")]), SOUND
    halves = [(b"IDAT", black[: len(black) // 2]), (b"IDAT", black[len(black) // 2 :])]
    yield "black-in-halves.png", png([ihdr(24, 16, colour=2), *halves, (b"IEND", b"")]), SOUND
    large = png([ihdr(1000, 1000), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")])
    yield "rows-none-of-a-thousand.png", large, lacking
    many = tiff({**grey_tiff(24, 16), 278: 8, 279: 192}, strips=100_000)
    yield "strips-without-end.tif", many, frozenset({Reason.CORRUPT})
    yield "one-strip-of-two.tif", tiff({**grey_tiff(24, 16), 278: 8, 279: 192}, pixels=bytes(192)), lacking
    yield "one-row-of-a-thousand.tif", tiff({**grey_tiff(1000, 1000), 278: 1, 279: 1000}, pixels=bytes(1000)), lacking
    planes = {**grey_tiff(24, 16), 262: 2, 277: 3, 284: 2, 278: 16, 279: 384}
    yield "one-plane-of-three.tif", tiff(planes, pixels=bytes(384)), lacking


def _bombs() -> Contents:
    """Small files that ask for a great deal of memory."""
    rows = zlib.compress(bytes(1000))
    for word, width, height in (("square", 60_000, 60_000), ("wide", 2**31 - 1, 1), ("tall", 1, 2**31 - 1)):
        for bits, colour in ((8, 0), (16, 6)):
            content = png([ihdr(width, height, bits=bits, colour=colour), (b"IDAT", rows), (b"IEND", b"")])
            yield f"bomb-{word}-{bits}.png", content, TOO_MANY_PIXELS
        yield f"bomb-{word}.bmp", bmp(width, height, bits=24, pixels=bytes(100)), TOO_MANY_PIXELS
        yield (
            f"bomb-{word}-packed.bmp",
            bmp(width, height, bits=8, compression=1, pixels=b"\0\2\xff\xff"),
            TOO_MANY_PIXELS,
        )
        for compression in (1, 5, 8):
            content = tiff({**grey_tiff(width, height, compression), 278: height, 279: 100}, pixels=rows)
            yield f"bomb-{word}-{compression}.tif", content, TOO_MANY_PIXELS
    jpeg = encoded(Image.new("RGB", (8, 8)), "JPEG")
    place = jpeg.find(b"\xff\xc0") + 5
    yield "bomb.jpg", jpeg[:place] + struct.pack(">HH", 65_500, 65_500) + jpeg[place + 4 :], TOO_MANY_PIXELS
    lossy = encoded(Image.new("RGB", (8, 8)), "WEBP")
    vp8 = lossy[20:26] + struct.pack("<HH", 16_383, 16_383) + lossy[30:]
    yield "bomb-lossy.webp", riff((b"VP8 ", vp8)), TOO_MANY_PIXELS
    yield "bomb-canvas-lossy.webp", riff(webp_canvas(16_383, 16_383), (b"VP8 ", vp8)), TOO_MANY_PIXELS
    lossless = encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True)
    vp8l = lossless[20:21] + struct.pack("<I", 16_383 | 16_383 << 14) + lossless[25:]
    yield "bomb-lossless.webp", riff((b"VP8L", vp8l)), TOO_MANY_PIXELS
    yield "bomb-canvas.webp", riff(webp_canvas(60_000, 60_000), (b"VP8 ", vp8)), TOO_MANY_PIXELS
    # One pixel high or wide costs a pointer for each row, and far more than its pixels.
    thin = png([ihdr(1, 200_000_000), (b"IDAT", rows), (b"IEND", b"")])
    yield "bomb-thin.png", thin, TOO_MANY_PIXELS
    yield "bomb-thin.bmp", bmp(200_000_000, 1, bits=8, compression=1, pixels=b"\0\2\xff\xff\0\0"), TOO_MANY_PIXELS
    # Within the default limit, but no file of this length can hold that many pixels.
    hollow = png([ihdr(15_000, 15_000, colour=6), (b"IDAT", rows), (b"IEND", b"")])
    yield "bomb-hollow.png", hollow, TOO_MANY_PIXELS | {Reason.TRUNCATED}
    # A small picture cut from a huge tile, which libtiff decodes whole.
    tile = zlib.compress(bytes(20_000 * 20_000), 1)
    tags = {**grey_tiff(16, 16, 8), 322: 20_000, 323: 20_000, 325: len(tile)}
    yield "bomb-tile.tif", tiff(tags, pixels=tile, offset_tag=324), TOO_MANY_PIXELS
    # Metadata that unpacks to 64 MB, beside sound pixels.
    chunks = png_chunks(valid_images()["colour.png"])
    packed = zlib.compress(bytes(1 << 26))
    for kind, keyword in ((b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0"), (b"iCCP", b"profile\0\0")):
        content = png([chunks[0], (kind, keyword + packed), *chunks[1:]])
        yield f"bomb-{kind.decode()}.png", content, DAMAGED | SOUND
    many = png([chunks[0], *[(b"tEXt", b"Comment\0" + bytes(1 << 10))] * 500, *chunks[1:]])
    yield "bomb-texts.png", many, DAMAGED | SOUND


def _several_frames() -> Contents:
    pages = [Image.fromarray(noise()).rotate(angle) for angle in (0, 90, 180)]
    for format, suffix in (("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
        yield f"frames.{suffix}", encoded(pages[0], format, save_all=True, append_images=pages[1:]), SEVERAL
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    yield "pages-lzw.tif", content, SEVERAL
    yield "frames.jpg", encoded(pages[0], "GIF", save_all=True, append_images=pages[1:]), NO_IMAGE
    yield "single-frame-gif.png", encoded(pages[0], "GIF"), NO_IMAGE
    content = encoded(pages[0], "MPO", save_all=True, append_images=pages[1:])
    yield "frames-of-a-phone.jpg", content, SOUND
    yield "cut-phone-table.jpg", content.replace(b"MPF\0II*\0", b"MPF\0II*\xff"), SOUND | DAMAGED
    page = {**grey_tiff(24, 16), 278: 16, 279: 384}
    yield "page-follows-itself.tif", tiff(page, next_directory=8, pixels=bytes(384)), SOUND | SEVERAL
    yield "next-page-missing.tif", tiff(page, next_directory=1 << 30, pixels=bytes(384)), SEVERAL | DAMAGED
    chunks = png_chunks(valid_images()["colour.png"])
    control = struct.pack(">II", 2**31, 0)
    yield "frames-announced.png", png([chunks[0], (b"acTL", control), *chunks[1:]]), SEVERAL | DAMAGED
    yield "frames-twice.png", png([chunks[0], *[(b"acTL", struct.pack(">II", 2, 0))] * 2, *chunks[1:]]), SOUND | SEVERAL
    yield "frames-none.png", png([chunks[0], (b"acTL", bytes(8)), *chunks[1:]]), SOUND
    animated = webp_canvas(24, 16, flags=2)
    frame = (b"ANMF", bytes(6) + struct.pack("<I", 23)[:3] + struct.pack("<I", 15)[:3] + bytes(4))
    yield "frames-empty.webp", riff(animated, (b"ANIM", bytes(6)), frame, frame), DAMAGED | SEVERAL


GARBAGE = {
    "text": b"no metadata at all",
    "none": b"",
    "cut": b"Exif\0\0II*\0",
    "far": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    "many": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(256)),
    "loop": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08",
    "word": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0",
    "ninety-nine": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",
    "rational": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05\0\0\0\x01\0\0\0\x1a\0\0\0\0\0\0\0\x06\0\0\0\0",
    "huge": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\0\0\x10\0\0\0\0",
    "noise": noise(40, 16).tobytes(),
}


def _metadata() -> Contents:
    """Garbage where cameras and editors write remarks, beside sound pixels: no reason to withhold a verdict."""
    colour = Image.fromarray(noise())
    for word, garbage in GARBAGE.items():
        for format, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
            yield f"exif-{word}.{suffix}", encoded(colour, format, exif=garbage), SOUND
            yield f"icc-{word}.{suffix}", encoded(colour, format, icc_profile=garbage), SOUND
        yield f"icc-{word}.tif", encoded(colour, "TIFF", icc_profile=garbage), SOUND
        page = {**grey_tiff(24, 16), 278: 16, 279: 384}
        yield f"exif-{word}.tif", tiff({**page, 34665: garbage}, pixels=bytes(384)), SOUND | DAMAGED
        yield f"turned-{word}.tif", tiff({**page, 274: garbage}, pixels=bytes(384)), SOUND | DAMAGED
        xmp = b'<x tiff:Orientation="' + garbage + b'">'
        yield f"xmp-{word}.jpg", encoded(colour, "JPEG", xmp=xmp), SOUND


def _no_images() -> Contents:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("part.jpg", valid_images()["baseline.jpg"])
    jpeg = valid_images()["baseline.jpg"]
    others = {
        "zip": archive.getvalue(),
        "text": "Größe: 3 × 4\n".encode() * 100,
        "html": b"<!DOCTYPE html><title>404 Not Found</title>" * 10,
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\n" * 10,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9999999" height="9999999"/>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "program": b"\x7fELF" + bytes(500),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(100),
        "photoshop": b"8BPS\0\1" + bytes(100),
        "zeros": bytes(4096),
        "newline": b"\n",
        "noise": b"\0" + noise(64, 64).tobytes(),
        "late-jpeg": b"\0" + jpeg,
        "sound.wav": b"RIFF" + struct.pack("<I", 100) + b"WAVEfmt " + bytes(100),
    }
    for word, content in others.items():
        yield f"{word}.jpg", content, NO_IMAGE
    heads = {
        "jpeg": b"\xff\xd8\xff",
        "png": b"\x89PNG\r\n\x1a\n",
        "bmp": b"BM",
        "little-tiff": b"II*\0",
        "large-tiff": b"MM\0*",
        "big-tiff": b"II+\0",
        "webp": b"RIFF\xff\0\0\0WEBP",
        "webp-kind": b"RIFF\xff\0\0\0WEBPVP8 ",
    }
    for word, head in heads.items():
        yield f"head-of-{word}.jpg", head, DAMAGED
        yield f"head-of-{word}-and-zeros.jpg", head + bytes(2000), DAMAGED
        yield f"head-of-{word}-and-noise.jpg", head + noise(64, 64).tobytes(), DAMAGED
    yield "empty.jpg", b"", frozenset({Reason.EMPTY_FILE})
    yield "archive-behind.jpg", jpeg + archive.getvalue(), SOUND


# --- what is no plain file -------------------------------------------------------------------------------------


def _special_files() -> Iterator[BadFile]:
    yield BadFile(name="sparse.jpg", make=_sparse, outcomes=frozenset({Reason.TOO_LARGE_BYTES}))
    yield BadFile(name="sparse-but-allowed.jpg", make=_sparse_zeros, outcomes=NO_IMAGE)
    yield BadFile(name="hole-behind.jpg", make=_hole_behind, outcomes=SOUND)
    yield BadFile(name="pipe.jpg", make=os.mkfifo, outcomes=NO_FILE)
    yield BadFile(name="socket.jpg", make=_socket, outcomes=NO_FILE)
    yield BadFile(name="device.jpg", make=_endless_device, outcomes=NO_FILE)
    yield BadFile(name="link-to-device.jpg", make=lambda path: path.symlink_to("/dev/zero"), outcomes=NO_FILE)
    yield BadFile(name="folder.jpg", make=Path.mkdir, outcomes=NO_FILE)
    yield BadFile(name="link-to-folder.jpg", make=lambda path: path.symlink_to("/"), outcomes=NO_FILE)
    yield BadFile(name="loop.jpg", make=lambda path: path.symlink_to(path.name), outcomes=NO_FILE)
    yield BadFile(name="long-loop.jpg", make=_long_loop, outcomes=NO_FILE)
    yield BadFile(name="dangling.jpg", make=lambda path: path.symlink_to("nowhere.jpg"), outcomes=GONE)
    yield BadFile(name="gone.jpg", make=lambda path: None, outcomes=GONE)
    yield BadFile(name="below-a-file.jpg", make=lambda path: path.symlink_to("empty.jpg/part.jpg"), outcomes=GONE)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(SPARSE_BYTES)


def _sparse_zeros(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 20)


def _hole_behind(path: Path) -> None:
    path.write_bytes(valid_images()["baseline.jpg"])
    os.truncate(path, 1 << 20)


def _socket(path: Path) -> None:
    # By way of the folder's descriptor: the path of a socket is limited to about 100 bytes.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _endless_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        path.symlink_to("/dev/zero")


def _long_loop(path: Path) -> None:
    other = path.with_name("loop-other.jpg")
    path.symlink_to(other.name)
    other.symlink_to(path.name)
