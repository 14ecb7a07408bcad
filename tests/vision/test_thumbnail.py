"""Is a thumbnail small, upright, and of the very file that was inspected?"""

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from vision.faults import Altered, Reason, Unreadable
from vision.thumbnail import make_thumbnail
from vision.tiling import Tile


def _saved(path: Path, size: tuple[int, int], **options: object) -> str:
    Image.new("RGB", size, (200, 60, 20)).save(path, **options)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_image_is_reduced_and_keeps_its_proportions(tmp_path: Path) -> None:
    sha256 = _saved(tmp_path / "a.png", (1200, 600))
    small = make_thumbnail(tmp_path / "a.png", sha256, edge=300)
    with Image.open(io.BytesIO(small.jpeg)) as image:
        assert image.format == "JPEG"
        assert image.size == (small.width, small.height) == (300, 150)


def test_a_small_image_is_not_enlarged(tmp_path: Path) -> None:
    sha256 = _saved(tmp_path / "a.png", (40, 30))
    small = make_thumbnail(tmp_path / "a.png", sha256)
    assert (small.width, small.height) == (40, 30)


def test_what_decided_gets_a_frame_where_it_lies(tmp_path: Path) -> None:
    sha256 = _saved(tmp_path / "a.png", (1200, 600))
    small = make_thumbnail(tmp_path / "a.png", sha256, edge=300, mark=Tile(x=400, y=200, width=400, height=200))
    with Image.open(io.BytesIO(small.jpeg)) as image:
        framed = {(x, y) for x in range(300) for y in range(150) if image.getpixel((x, y))[1] > 150}
    assert min(framed) == (100, 50)
    assert max(framed) == (199, 99)
    assert (150, 75) not in framed


def test_the_orientation_of_the_camera_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sha256 = _saved(tmp_path / "a.jpg", (80, 40), exif=exif)
    small = make_thumbnail(tmp_path / "a.jpg", sha256)
    assert (small.width, small.height) == (40, 80)


def test_a_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    sha256 = _saved(tmp_path / "a.png", (40, 30))
    _saved(tmp_path / "a.png", (41, 30))
    with pytest.raises(Altered):
        make_thumbnail(tmp_path / "a.png", sha256)


def test_a_file_whose_new_bytes_are_no_image_is_refused_as_altered(tmp_path: Path) -> None:
    sha256 = _saved(tmp_path / "a.png", (40, 30))
    (tmp_path / "a.png").write_text("no image any more")
    with pytest.raises(Altered):
        make_thumbnail(tmp_path / "a.png", sha256)


def test_a_file_that_is_gone_is_reported_as_vanished(tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as caught:
        make_thumbnail(tmp_path / "gone.png", "0" * 64)
    assert caught.value.reason is Reason.VANISHED
