"""What does a file announce, and hold, that Pillow does not check?

Pillow's WebP reader takes memory for the whole canvas while it opens the file, before anybody can ask for its size.
Its PNG reader is content with fewer rows than announced, leaves the others black, and does not compare the checksums
of pixels. And where a file's end is zeros, as a copy leaves it that was cut off after the size had been set, the
decoders of JPEG and WebP go on to draw a picture from the zeros.
"""

import struct
import zlib
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of IHDR
DEFLATE_RATIO = 1032  # no deflated byte holds more
PIECE = 1 << 20  # bytes unpacked at a time
UNWRITTEN = 1024  # zeros at the end of a WebP file: its coders never write that many
START_OF_SCAN, END_OF_IMAGE = 0xDA, b"\xff\xd9"

# Of each pass of an interlaced PNG: first column, first row, columns and rows between its pixels.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def is_webp(content: bytes) -> bool:
    """Whether these bytes begin as a WebP file does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels that the first chunk of a WebP file announces; zeros if it does not say."""
    kind, body = content[12:16], content[20:30]
    if len(body) < 10:
        return 0, 0
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L" and body[0] == 0x2F:
        sides = int.from_bytes(body[1:5], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return 0, 0


def webp_end_is_missing(content: bytes) -> bool:
    """Whether the last bytes that a WebP file announces were never written."""
    size = int.from_bytes(content[4:8], "little") + 8
    return len(content) >= UNWRITTEN and not any(content[max(0, size - UNWRITTEN) : size])


def jpeg_end_is_missing(content: bytes) -> bool:
    """Whether no end-of-image marker follows the pixels of a JPEG: within pixels its bytes never occur."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        if content[place + 1] == START_OF_SCAN:
            return content.find(END_OF_IMAGE, place) < 0
        # A marker may have any number of 0xff before it.
        place += 1 if content[place + 1] == 0xFF else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False  # not a plain sequence of segments: the decoder has its own opinion


def png_is_interlaced(content: bytes) -> bool:
    """Whether the last rows of a PNG are spread over the picture."""
    return content[28:29] == b"\1"


def png_could_be_whole(content: bytes) -> bool:
    """Whether a file of this length can hold the pixels that its header announces. Costs nothing."""
    return len(content) * DEFLATE_RATIO >= _png_row_bytes(content)


def png_is_damaged(content: bytes) -> bool:
    """Whether a chunk of pixels does not fit its checksum; one whose checksum was cut off counts as sound."""
    for place, body in _png_data(content):
        checksum = content[place + 8 + len(body) : place + 12 + len(body)]
        if len(checksum) == 4 and zlib.crc32(body, zlib.crc32(b"IDAT")) != int.from_bytes(checksum, "big"):
            return True
    return False


def png_is_whole(content: bytes) -> bool:
    """Whether all announced pixels are there. Costs the unpacking. Raises `zlib.error`, `struct.error`."""
    missing = _png_row_bytes(content)
    unpacker = zlib.decompressobj()
    for _, body in _png_data(content):
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


def _png_data(content: bytes) -> Iterator[tuple[int, memoryview]]:
    """Place and body of each chunk that holds pixels."""
    view, place = memoryview(content), len(PNG_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"IDAT":
            yield place, view[place + 8 : place + 8 + length]
        place += length + 12
