"""Does a file or a folder appear whole or not at all, and does a file take the place of nothing but a file?"""

import errno
import os
from pathlib import Path

import pytest

from console.files import whole, whole_folder
from db.errors import Refused


def test_it_appears_when_it_is_complete_and_leaves_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("before")
    with whole(out) as part:
        part.write_text("now")
        assert out.read_text() == "before"
    assert (out.read_text(), list(tmp_path.iterdir())) == ("now", [out])


def test_after_an_error_what_was_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("before")
    with pytest.raises(ValueError, match="half-way"), whole(out) as part:
        part.write_text("half")
        raise ValueError("half-way")
    assert (out.read_text(), list(tmp_path.iterdir())) == ("before", [out])


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    out, place = tmp_path / "newest.html", tmp_path / "of-monday.html"
    out.symlink_to(place)
    with whole(out) as part:
        part.write_text("now")
    assert (out.is_symlink(), place.read_text()) == (True, "now")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a device"])
def test_it_takes_the_place_of_nothing_but_a_file(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "pipe":
        os.mkfifo(out)
    elif kind == "folder":
        out.mkdir()
    elif kind == "link to a device":
        out.symlink_to("/dev/null")
    else:
        out = Path("/dev/null")
    before = out.lstat()
    with pytest.raises(Refused, match="is no file"), whole(out):
        pytest.fail("nothing may be written")
    assert (out.lstat().st_mode, out.lstat().st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, number: int) -> None:
    with pytest.raises(Refused, match="cannot be written: "), whole(tmp_path / "out"):
        raise OSError(number, os.strerror(number))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="There is no folder"), whole(tmp_path / "nowhere/out"):
        pytest.fail("nothing may be written")


def test_a_folder_appears_when_all_of_it_is_there_and_after_an_error_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "parts"
    with pytest.raises(ValueError, match="half-way"), whole_folder(out) as part:
        (part / "half").write_text("half")
        raise ValueError("half-way")
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    with whole_folder(out) as part:
        (part / "all").write_text("all")
        assert list(out.iterdir()) == []
    assert [path.name for path in tmp_path.rglob("*")] == ["parts", "all"]


def test_a_folder_takes_the_place_of_nothing_even_of_what_came_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "parts"
    with pytest.raises(Refused, match="cannot be written: "), whole_folder(out) as part:
        (part / "ours").write_text("ours")
        out.mkdir()
        (out / "theirs").write_text("theirs")
    assert [path.name for path in tmp_path.rglob("*")] == ["parts", "theirs"]
    for taken in (out, out / "theirs"):
        with pytest.raises(Refused, match="no empty folder"), whole_folder(taken):
            pytest.fail("nothing may be written")
