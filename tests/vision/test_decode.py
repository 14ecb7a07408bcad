"""Does every kind of file give the pixels, or the refusal, that are promised?"""

import errno
import hashlib
import io
import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.vision.conftest import blocks
from vision.decode import Limits, Reason, StorageTrouble, Unreadable, read_image

# Pillow remarks on damaged metadata; what the tests look at is the outcome.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

Pixels = NDArray[np.uint8]

WHITE = (255, 255, 255)
GREY16 = np.array([[0, 257, 25700, 65535]], dtype=np.uint16)
GREY8 = [(0, 0, 0), (1, 1, 1), (100, 100, 100), WHITE]


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def colours(image: Image.Image) -> list[tuple[int, ...]]:
    return [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()]


def decoded(tmp_path: Path, content: bytes, limits: Limits | None = None) -> Image.Image:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    return read_image(path, limits or Limits()).image


def refused(tmp_path: Path, content: bytes, limits: Limits | None = None) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        decoded(tmp_path, content, limits)
    return caught.value


def outcome(tmp_path: Path, content: bytes) -> bytes | Reason:
    """The pixels, or the reason why there are none."""
    try:
        return decoded(tmp_path, content, Limits(max_pixels=1_000_000)).tobytes()
    except Unreadable as fault:
        return fault.reason


# --- what comes back -------------------------------------------------------------------------------------------


def test_a_picture_says_hash_and_size_of_its_file_and_its_own_measures(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    Image.fromarray(blocks(1)).save(path)
    picture = read_image(path)
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture.size == path.stat().st_size
    assert (picture.width, picture.height) == (72, 48)
    assert picture.image.mode == "RGB"
    assert np.array_equal(np.asarray(picture.image), blocks(1))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_content_decides_the_format_and_not_the_name(tmp_path: Path, format: str) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(encoded(Image.new("RGB", (16, 16), (200, 40, 40)), format, quality=95))
    assert np.abs(np.asarray(read_image(path).image).astype(int) - (200, 40, 40)).max() <= 3


def test_names_that_are_not_utf8_are_read_from_bytes_and_from_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9\n .png"
    Path(os.fsdecode(name)).write_bytes(encoded(Image.new("RGB", (2, 2)), "PNG"))
    assert read_image(name).sha256 == read_image(os.fsdecode(name)).sha256


def test_decoding_needs_no_torch() -> None:
    code = "import sys, vision.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- the conversion --------------------------------------------------------------------------------------------


def test_one_bit_and_grey_become_three_equal_channels(tmp_path: Path) -> None:
    bits = Image.fromarray(np.array([[False, True]]))
    assert bits.mode == "1"
    assert colours(decoded(tmp_path, encoded(bits, "PNG"))) == [(0, 0, 0), WHITE]
    grey = Image.fromarray(np.array([[0, 7, 255]], dtype=np.uint8))
    assert colours(decoded(tmp_path, encoded(grey, "BMP"))) == [(0, 0, 0), (7, 7, 7), WHITE]


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    for format in ("PNG", "TIFF"):
        result = decoded(tmp_path, encoded(Image.fromarray(pixels), format))
        assert colours(result) == [(255, 0, 0), WHITE, (127, 127, 127)]
    grey = Image.fromarray(np.array([[[10, 255], [10, 0]]], dtype=np.uint8))
    assert grey.mode == "LA"
    assert colours(decoded(tmp_path, encoded(grey, "PNG"))) == [(10, 10, 10), WHITE]


def palette_picture() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    return image


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white(tmp_path: Path) -> None:
    opaque = decoded(tmp_path, encoded(palette_picture(), "PNG"))
    assert colours(opaque) == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    transparent = decoded(tmp_path, encoded(palette_picture(), "PNG", transparency=1))
    assert colours(transparent) == [(255, 0, 0), WHITE, (0, 0, 255)]


def test_a_palette_with_alpha_is_composited_over_white(tmp_path: Path) -> None:
    image = palette_picture().convert("PA")
    image.putalpha(Image.fromarray(np.array([[255, 0, 255]], dtype=np.uint8)))
    assert colours(decoded(tmp_path, encoded(image, "TIFF"))) == [(255, 0, 0), WHITE, (0, 0, 255)]


@pytest.mark.parametrize(("mode", "transparent"), [("L", 9), ("RGB", (9, 9, 9))])
def test_a_colour_marked_as_transparent_becomes_white(tmp_path: Path, mode: str, transparent: object) -> None:
    image = Image.fromarray(np.array([[9, 10]], dtype=np.uint8)).convert(mode)
    result = decoded(tmp_path, encoded(image, "PNG", transparency=transparent))
    assert colours(result) == [WHITE, (10, 10, 10)]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert colours(decoded(tmp_path, encoded(image, "TIFF")))[0] == (255, 0, 0)
    jpeg = np.asarray(decoded(tmp_path, encoded(image, "JPEG", quality=95))).astype(int)
    assert np.abs(jpeg - (255, 0, 0)).max() <= 3


def test_ycbcr_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (200, 40, 90)).convert("YCbCr")
    result = np.asarray(decoded(tmp_path, encoded(image, "TIFF"))).astype(int)
    assert np.abs(result - (200, 40, 90)).max() <= 2


def test_lab_becomes_srgb(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.new("RGB", (8, 8), (200, 40, 90)), srgb, lab, outputMode="LAB")
    assert image is not None
    result = np.asarray(decoded(tmp_path, encoded(image, "TIFF"))).astype(int)
    assert np.abs(result - (200, 40, 90)).max() <= 4


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_by_257(tmp_path: Path, format: str) -> None:
    assert colours(decoded(tmp_path, encoded(Image.fromarray(GREY16), format))) == GREY8


def test_big_endian_sixteen_bit_grey_is_scaled_likewise(tmp_path: Path) -> None:
    image = Image.frombytes("I;16B", (4, 1), GREY16.astype(">u2").tobytes())
    assert colours(decoded(tmp_path, encoded(image, "TIFF"))) == GREY8


def tiff(tags: list[tuple[int, int]], pixels: bytes) -> bytes:
    """A little-endian TIFF: header, one directory of short values, then its only strip."""
    offset = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = sorted([*tags, (273, offset), (279, len(pixels))])
    directory = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + pixels


def test_white_is_zero_is_inverted_for_sixteen_bits(tmp_path: Path) -> None:
    content = tiff([(256, 4), (257, 1), (258, 16), (259, 1), (262, 0), (277, 1), (278, 1)], GREY16.tobytes())
    assert colours(decoded(tmp_path, content)) == [WHITE, (254, 254, 254), (155, 155, 155), (0, 0, 0)]


def test_twelve_bit_grey_uses_its_own_range(tmp_path: Path) -> None:
    content = tiff([(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (277, 1), (278, 1)], b"\xff\xf0\x00")
    assert colours(decoded(tmp_path, content)) == [WHITE, (0, 0, 0)]


def png(header: bytes, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def test_a_transparent_sixteen_bit_grey_becomes_white(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 4, 1, 16, 0, 0, 0, 0)
    content = png(header, b"\0" + GREY16.astype(">u2").tobytes(), (b"tRNS", struct.pack(">H", 257)))
    assert colours(decoded(tmp_path, content)) == [(0, 0, 0), WHITE, (100, 100, 100), WHITE]


def test_sixteen_bit_colour_keeps_its_upper_byte(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    content = png(header, b"\0" + struct.pack(">HHH", 0x10FF, 0x2000, 0xFFFF))
    assert colours(decoded(tmp_path, content)) == [(0x10, 0x20, 0xFF)]


@pytest.mark.parametrize("kind", ["grey16", "alpha"])
def test_a_conversion_in_strips_gives_the_pixels_of_one_in_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (9, 8, 4), dtype=np.uint8)
    pixels = noise if kind == "alpha" else np.ascontiguousarray(noise).view(np.uint16)[..., 0]
    content = encoded(Image.fromarray(pixels), "PNG")
    whole = decoded(tmp_path, content)
    monkeypatch.setattr("vision.decode.STRIP", 16)  # pixels: four strips of two rows, and one of a single row
    assert decoded(tmp_path, content).tobytes() == whole.tobytes()


# EXIF orientation -> where the upper left, upper right, lower left, lower right stored corner belongs, upright.
ORIENTATIONS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


# Options that keep the colours of flat blocks.
EXACTLY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_honoured(tmp_path: Path, format: str, orientation: int) -> None:
    stored = np.kron(blocks(3, 24, 16)[::8, ::8], np.ones((16, 16, 1), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = EXACTLY.get(format, {})
    path = tmp_path / "turned"
    path.write_bytes(encoded(Image.fromarray(stored), format, exif=exif, **options))
    picture = read_image(path)
    expected = ORIENTATIONS[orientation](stored)
    assert (picture.height, picture.width) == expected.shape[:2]
    assert np.abs(np.asarray(picture.image).astype(int) - expected).max() <= 6


def test_damaged_exif_beside_sound_pixels_costs_no_verdict(tmp_path: Path) -> None:
    content = encoded(Image.new("RGB", (8, 8), WHITE), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert decoded(tmp_path, content).size == (8, 8)


def test_the_first_picture_of_a_phones_mpo_is_the_photograph(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), (250, 10, 10)), Image.new("RGB", (16, 16), (10, 10, 250))
    content = encoded(first, "MPO", save_all=True, append_images=[second])
    with Image.open(io.BytesIO(content)) as reread:
        assert (reread.format, getattr(reread, "n_frames", 1)) == ("MPO", 2)
    assert np.abs(np.asarray(decoded(tmp_path, content)).astype(int) - (250, 10, 10)).max() <= 4


# --- the refusals ----------------------------------------------------------------------------------------------


def test_an_empty_file_is_named_as_such(tmp_path: Path) -> None:
    fault = refused(tmp_path, b"")
    assert (fault.reason, fault.size) == (Reason.EMPTY_FILE, 0)
    assert fault.sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("content", [b"just some text", b"GIF89a" + bytes(40), b"%!PS-Adobe-3.0 EPSF", b"\0"])
def test_what_is_no_image_of_ours_is_refused_with_its_hash(tmp_path: Path, content: bytes) -> None:
    fault = refused(tmp_path, content)
    assert fault.reason is Reason.NOT_AN_IMAGE
    assert (fault.sha256, fault.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert str(tmp_path) not in fault.detail
    assert "0x" not in fault.detail


WRITTEN: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90},
    "progressive": {"format": "JPEG", "progressive": True},
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "deflated": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "WEBP": {},
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path: Path, kind: str, kept: float) -> None:
    options = {"format": kind, **WRITTEN[kind]}
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), **options)
    assert refused(tmp_path, content[: int(len(content) * kept)]).reason is Reason.TRUNCATED


@pytest.mark.parametrize("kind", WRITTEN)
def test_no_cut_gives_other_pixels_than_the_whole_file(tmp_path: Path, kind: str) -> None:
    """A PNG may lose its last 21 bytes, checksums and end mark, and still has all its pixels. Nothing else may."""
    content = encoded(Image.fromarray(blocks(2, 16, 8)), **{"format": kind, **WRITTEN[kind]})
    whole, spare = outcome(tmp_path, content), 21 if kind == "PNG" else 0
    refusals = {Reason.EMPTY_FILE, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.CORRUPT}
    assert isinstance(whole, bytes)
    for length in range(len(content)):
        allowed = refusals | {whole} if length >= len(content) - spare else refusals
        assert outcome(tmp_path, content[:length]) in allowed, length


def test_damage_in_the_middle_is_corrupt(tmp_path: Path) -> None:
    content = bytearray(encoded(Image.fromarray(blocks(2)), "PNG"))
    content[60] ^= 0xFF
    assert refused(tmp_path, bytes(content)).reason is Reason.CORRUPT


def test_random_damage_gives_a_picture_or_a_reason_and_nothing_else(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    outcomes = set()
    written: list[dict[str, Any]] = [
        {"format": "PNG"},
        {"format": "TIFF", "compression": "tiff_lzw"},
        {"format": "JPEG"},
    ]
    for options in written:
        content = encoded(Image.fromarray(blocks(2)), **options)
        for _ in range(150):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 3):
                damaged[place] = random.integers(0, 256)
            result = outcome(tmp_path, bytes(damaged))
            outcomes.add("picture" if isinstance(result, bytes) else result)
    assert {"picture", Reason.CORRUPT} <= outcomes


def test_huge_dimensions_are_refused_on_the_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    fault = refused(tmp_path, png(header, bytes(1000)))
    assert fault.reason is Reason.TOO_LARGE_PIXELS
    assert fault.sha256 is not None


@pytest.mark.parametrize("options", [{"lossless": True}, {}, {"exif": b"Exif\0\0"}], ids=["VP8L", "VP8", "VP8X"])
def test_a_webp_is_measured_before_pillow_makes_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    content = encoded(Image.new("RGB", (300, 7), "red"), "WEBP", **options)
    monkeypatch.setattr(Image, "open", None)
    fault = refused(tmp_path, content, Limits(max_pixels=2099))
    assert (fault.reason, fault.detail) == (Reason.TOO_LARGE_PIXELS, "300 x 7 pixels, the limit is 2099")


def test_the_pixel_limit_is_exact_and_holds_below_pillows_own(tmp_path: Path) -> None:
    content = encoded(Image.new("L", (20, 10)), "PNG")
    assert decoded(tmp_path, content, Limits(max_pixels=200)).size == (20, 10)
    fault = refused(tmp_path, content, Limits(max_pixels=199))
    assert (fault.reason, fault.detail) == (Reason.TOO_LARGE_PIXELS, "20 x 10 pixels, the limit is 199")


def test_pillows_own_guard_is_never_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    decoded(tmp_path, encoded(Image.new("L", (1, 1)), "PNG"))
    assert Limits().max_pixels == Image.MAX_IMAGE_PIXELS


def test_a_file_with_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.bmp"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)  # sparse: takes no disk
    with pytest.raises(Unreadable) as caught:
        read_image(path)
    assert (caught.value.reason, caught.value.size, caught.value.sha256) == (
        Reason.TOO_LARGE_BYTES,
        10_000_000_000,
        None,
    )


def test_the_byte_limit_counts_what_arrives_and_not_what_was_announced() -> None:
    path = Path("/proc/self/maps")  # a regular file that announces zero bytes and holds thousands
    if not path.exists():
        pytest.skip("no /proc here")
    with pytest.raises(Unreadable) as caught:
        read_image(path, Limits(max_bytes=100))
    assert caught.value.reason is Reason.TOO_LARGE_BYTES


@pytest.mark.parametrize(("mode", "value"), [("I", 70_000), ("F", 0.5)], ids=["32-bit integer", "floating point"])
def test_pixels_without_a_defined_range_are_refused(tmp_path: Path, mode: str, value: float) -> None:
    fault = refused(tmp_path, encoded(Image.new(mode, (2, 2), value), "TIFF"))
    assert fault.reason is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("format", ["TIFF", "PNG", "WEBP"])
def test_several_pages_or_frames_are_refused(tmp_path: Path, format: str) -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = encoded(pages[0], format, save_all=True, append_images=pages[1:])
    assert refused(tmp_path, content).reason is Reason.MULTIPLE_FRAMES


def test_what_is_not_there_has_vanished(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path / ("x" * 300), str(tmp_path / "zero\0byte.png")):
        with pytest.raises(Unreadable) as caught:
            read_image(path)
        assert caught.value.reason is Reason.VANISHED
        assert str(tmp_path) not in caught.value.detail


def test_folders_pipes_sockets_devices_and_link_loops_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipe has no writer: a reader that opened it plainly would wait for ever."""
    pipe, loop = tmp_path / "pipe.png", tmp_path / "loop.png"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")  # relative: the path of a socket is limited to about 100 bytes
        for path in (tmp_path, pipe, Path("socket.png"), loop, Path(os.devnull)):
            with pytest.raises(Unreadable) as caught:
                read_image(path)
            assert caught.value.reason is Reason.NOT_A_FILE, path


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(Image.new("L", (1, 1)), "PNG"))
    path.chmod(0)
    code = (
        "import os, sys; from vision.decode import Reason, Unreadable, read_image\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # the superuser may read everything
        "try: read_image(sys.argv[1])\n"
        "except Unreadable as fault: sys.exit(fault.reason is not Reason.PERMISSION_DENIED)\n"
        "sys.exit('it was read')"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0


def test_an_input_output_error_is_for_the_caller_to_try_again() -> None:
    path = Path("/proc/self/mem")  # a regular file whose first page cannot be read: a real EIO
    if not path.exists():
        pytest.skip("no /proc here")
    with pytest.raises(StorageTrouble) as caught:
        read_image(path)
    assert caught.value.errno == errno.EIO


def test_running_out_of_descriptors_is_for_the_caller_to_try_again(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(encoded(Image.new("L", (1, 1)), "PNG"))
    code = (
        "import resource, sys; from vision.decode import StorageTrouble, read_image\n"
        "read_image(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: read_image(sys.argv[1])\n"
        "except StorageTrouble: sys.exit(0)\n"
        "sys.exit('it was read')"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0


def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (12_000, 12_000)).save(path, compress_level=1)
    code = (
        "import resource, sys; from vision.decode import StorageTrouble, read_image; from PIL import Image\n"
        "Image.init()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "try: read_image(sys.argv[1])\n"
        "except StorageTrouble: sys.exit(0)\n"
        "sys.exit('it was read')"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=environment).returncode == 0
