"""What does a WebP or PNG file announce, and hold, that Pillow does not check?

Pillow's WebP reader takes memory for the whole canvas while it opens the file, before anybody can ask for its size.
Its PNG reader is content with fewer rows than announced, and leaves the others black.
"""

import struct
import zlib
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of IHDR
DEFLATE_RATIO = 1032  # no deflated byte holds more
PIECE = 1 << 20  # bytes unpacked at a time

# Of each pass of an interlaced PNG: first column, first row, columns and rows between its pixels.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def is_webp(content: bytes) -> bool:
    """Whether these bytes begin as a WebP file does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def webp_pixels(content: bytes) -> int:
    """Width x height that the first chunk of a WebP file announces; 0 if it does not say."""
    kind, body = content[12:16], content[20:30]
    if len(body) < 10:
        return 0
    if kind == b"VP8X":
        return (int.from_bytes(body[4:7], "little") + 1) * (int.from_bytes(body[7:10], "little") + 1)
    if kind == b"VP8L" and body[0] == 0x2F:
        sides = int.from_bytes(body[1:5], "little")
        return ((sides & 0x3FFF) + 1) * ((sides >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return (int.from_bytes(body[6:8], "little") & 0x3FFF) * (int.from_bytes(body[8:10], "little") & 0x3FFF)
    return 0


def png_is_interlaced(content: bytes) -> bool:
    """Whether the last rows of a PNG are spread over the picture."""
    return content[28:29] == b"\1"


def png_could_be_whole(content: bytes) -> bool:
    """Whether a file of this length can hold the pixels that its header announces. Costs nothing."""
    return len(content) * DEFLATE_RATIO >= _png_row_bytes(content)


def png_is_whole(content: bytes) -> bool:
    """Whether all announced pixels are there. Costs the unpacking. Raises `zlib.error`, `struct.error`."""
    missing = _png_row_bytes(content)
    unpacker = zlib.decompressobj()
    for body in _png_data(content):
        packed: bytes | memoryview = body
        while packed and missing > 0 and not unpacker.eof:
            missing -= len(unpacker.decompress(packed, PIECE))
            packed = unpacker.unconsumed_tail
    return missing <= 0


def _png_row_bytes(content: bytes) -> int:
    """Bytes of all rows, unpacked, each with the byte that names its filter."""
    width, height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    pixel_bits = bits * PNG_CHANNELS.get(colour, 1)
    sizes = [(width, height)]
    if png_is_interlaced(content):
        sizes = [(_steps(width - x, across), _steps(height - y, down)) for x, y, across, down in PASSES]
    return sum(rows * (1 + (columns * pixel_bits + 7) // 8) for columns, rows in sizes if columns)


def _steps(length: int, step: int) -> int:
    return max(0, -(-length // step))


def _png_data(content: bytes) -> Iterator[memoryview]:
    """The bodies of the chunks that hold pixels."""
    view, place = memoryview(content), len(PNG_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"IDAT":
            yield view[place + 8 : place + 8 + length]
        place += length + 12
