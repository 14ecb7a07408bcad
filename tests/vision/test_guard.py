"""Does a guarded decoder give the very same answers, and does a poison image cost nothing but itself?"""

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.poison import marked, poison_decoders
from tests.vision.conftest import blocks
from tests.vision.test_pipeline import Fingerprints
from vision.decode import Limits, Reason, StorageTrouble, Unreadable
from vision.guard import Guard
from vision.pipeline import Group, ImageScore, score_groups
from vision.preprocessing import Preprocessing

SMALL = Preprocessing(size=32)
SOON = Limits(decode_seconds=2, decode_memory=512 * 2**20)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def poison(mark: str) -> bytes:
    return marked(encoded(Image.fromarray(blocks(3))), mark)


@pytest.fixture
def _poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison_decoders(tmp_path / "site", monkeypatch)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a decoder or a descriptor behind."""
    before = open_descriptors()
    yield
    assert decoders() == []
    assert open_descriptors() == before


def decoders() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "vision.guarded_decoder" in child.cmdline()]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def refused(guard: Guard, content: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        guard.decode(content)
    return caught.value


def assert_decodes(guard: Guard) -> None:
    pixels, width, height = guard.decode(encoded(Image.fromarray(blocks(5))))
    assert (width, height) == (72, 48)
    assert np.array_equal(pixels, SMALL.apply(Image.fromarray(blocks(5)))[np.newaxis])


def samples(folder: Path) -> list[Path]:
    """One file of every kind, good and bad."""
    picture = Image.fromarray(blocks(1))
    turned = Image.Exif()
    turned[0x0112] = 6
    grey16 = Image.fromarray(np.arange(6000, dtype=np.uint16).reshape(60, 100) * 10)
    clear = picture.convert("RGBA")
    clear.putalpha(100)
    contents = {
        "plain.png": encoded(picture),
        "turned.jpg": encoded(picture, "JPEG", exif=turned),
        "grey16.png": encoded(grey16),
        "clear.webp": encoded(clear, "WEBP"),
        "bits.bmp": encoded(picture.convert("1"), "BMP"),
        "cmyk.tif": encoded(picture.convert("CMYK"), "TIFF"),
        "empty.jpg": b"",
        "text.jpg": b"no image",
        "truncated.png": encoded(picture)[:-200],
        "corrupt.png": encoded(picture)[:45] + bytes(80) + encoded(picture)[125:],
        "huge.png": encoded(Image.new("1", (3000, 3000))),
        "float.tif": encoded(Image.new("F", (4, 4)), "TIFF"),
        "two.tif": encoded(picture, "TIFF", save_all=True, append_images=[picture]),
        "long.bmp": encoded(Image.new("RGB", (400, 400)), "BMP"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    return [*(folder / name for name in contents), folder / "folder.jpg", folder / "vanished.jpg"]


def test_pixels_and_reasons_are_those_of_the_direct_path(tmp_path: Path) -> None:
    paths = samples(tmp_path)
    limits = Limits(max_pixels=1_000_000, max_bytes=400_000)

    def outcomes(guard: Guard | None) -> list[ImageScore]:
        group = Group(of=None, paths=paths, guard=guard)
        scored = score_groups([group], Fingerprints(), limits=limits, batch_size=5, threads=1)
        return [outcome for _, some in scored for outcome in some]

    with Guard(SMALL, limits) as guard:
        guarded = outcomes(guard)
    direct = outcomes(None)
    found = {outcome.reason for outcome in direct if outcome.reason}
    assert found == {
        Reason.EMPTY_FILE,
        Reason.NOT_AN_IMAGE,
        Reason.TRUNCATED,
        Reason.CORRUPT,
        Reason.TOO_LARGE_PIXELS,
        Reason.TOO_LARGE_BYTES,
        Reason.UNSUPPORTED_PIXELS,
        Reason.MULTIPLE_FRAMES,
        Reason.NOT_A_FILE,
        Reason.VANISHED,
    }
    for path, careful, expected in zip(paths, guarded, direct, strict=True):
        assert careful == expected, path.name


def test_one_process_serves_and_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", "postgresql://anna:s3cret@db/x")
    monkeypatch.setenv("ANOTHER_TOKEN", "s3cret")
    inheritable = os.dup(0)
    os.set_inheritable(inheritable, True)
    with Guard(SMALL, SOON) as guard:
        assert decoders() == [], "none is started before there is an image"
        assert_decodes(guard)
        (process,) = decoders()
        assert not [name for name in process.environ() if name.startswith("INSPECTQ_")]
        assert "s3cret" not in str(process.environ())
        held = {int(entry.name): str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()}
        beyond = [where.partition(" ")[0] for number, where in held.items() if number > 2]
        assert sorted(beyond) == ["/memfd:content", "/memfd:pixels"]
        refused(guard, b"no image")
        process.send_signal(signal.SIGINT)  # Ctrl-C
        assert_decodes(guard)
        assert decoders() == [process]
    os.close(inheritable)


def test_a_decoder_that_stands_still_costs_its_image_only() -> None:
    with Guard(SMALL, SOON) as guard:
        assert_decodes(guard)
        decoders()[0].suspend()
        assert refused(guard, poison("")).reason is Reason.DECODE_TIMEOUT
        assert_decodes(guard)


def test_a_decoder_that_stands_still_when_the_guard_is_closed_is_ended() -> None:
    with Guard(SMALL, SOON) as guard:
        assert_decodes(guard)
        (process,) = decoders()
        process.suspend()
    assert not process.is_running()


@pytest.mark.usefixtures("_poisoned")
def test_an_image_that_ends_its_decoder_once_gets_its_verdict() -> None:
    with Guard(SMALL, SOON) as guard:
        _, width, height = guard.decode(poison("ONCE"))
        assert (width, height) == (72, 48)
        (process,) = decoders()
        process.kill()
        process.wait()
        assert_decodes(guard)


@pytest.mark.usefixtures("_poisoned")
@pytest.mark.parametrize(("mark", "times"), [("SIGSEGV", 2), ("SIGKILL", 4)])
def test_an_image_that_ends_every_decoder_is_named_with_the_signal(mark: str, times: int) -> None:
    with Guard(SMALL, SOON) as guard:
        fault = refused(guard, poison(mark))
        assert fault.reason is Reason.CRASHED_WORKER
        assert f"{mark}, {times} times" in fault.detail
        assert_decodes(guard)


@pytest.mark.usefixtures("_poisoned")
def test_an_image_that_hangs_and_one_that_swallows_memory_cost_themselves_only() -> None:
    with Guard(SMALL, SOON) as guard:
        fault = refused(guard, poison("HANG"))
        assert fault.reason is Reason.DECODE_TIMEOUT
        assert "2 seconds" in fault.detail
        fault = refused(guard, poison("SWALLOW"))
        assert fault.reason is Reason.DECODE_MEMORY
        assert str(SOON.decode_memory) in fault.detail
        assert_decodes(guard)


@pytest.mark.parametrize(
    ("format", "options", "room"),  # MiB; the pixels themselves take 23, at four bytes each
    [
        ("PNG", {}, 20),  # decoded in place: nothing but the pixels can lack room
        ("JPEG", {"progressive": True}, 30),  # libjpeg reports a lack of memory as broken data
        ("WEBP", {"lossless": True, "method": 0}, 30),  # libwebp too
        ("TIFF", {"compression": "tiff_lzw"}, 20),
    ],
)
def test_an_image_that_needs_more_memory_than_the_limit_is_not_called_damaged(
    format: str, options: dict[str, Any], room: int
) -> None:
    content = encoded(Image.new("RGB", (3000, 2000)), format, **options)
    whole = Preprocessing(size=32, decode="full")  # reduced, a JPEG needs far less
    with Guard(whole, Limits()) as guard:
        assert_decodes(guard)
        at_rest = int(decoders()[0].memory_info().vms)
        assert guard.decode(content)[1:] == (3000, 2000)
    with Guard(whole, Limits(decode_memory=at_rest + room * 2**20)) as tight:
        assert refused(tight, content).reason is Reason.DECODE_MEMORY
        assert_decodes(tight)


def test_a_decoder_that_cannot_start_says_nothing_about_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(3)")
    with monkeypatch.context() as broken, Guard(SMALL, SOON) as guard:
        broken.syspath_prepend(tmp_path)
        with pytest.raises(StorageTrouble, match="with code 3"):
            guard.decode(poison(""))
        broken.setattr(sys, "executable", str(tmp_path / "nowhere"))
        with pytest.raises(StorageTrouble, match="cannot be started"):
            guard.decode(poison(""))
        broken.undo()
        assert_decodes(guard)
