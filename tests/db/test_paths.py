"""Does the stored form of a path lead back to its bytes?"""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db.paths import meant, to_bytes, to_text

names = st.binary(min_size=1).filter(lambda raw: b"\0" not in raw)


@given(names)
@example(rb"a\xff.jpg")
@example(b"a\\\xff.jpg")
@example(rb"\x5cx41")
@example("ä \n\t.jpg".encode())
def test_every_name_comes_back(raw: bytes) -> None:
    stored = to_text(raw)
    assert to_bytes(stored) == raw
    stored.encode("utf-8")  # what a database, JSON or a terminal will do


@given(st.text(st.characters(exclude_characters="\\\0", codec="utf-8"), min_size=1))
def test_ordinary_names_are_stored_as_they_are(name: str) -> None:
    assert to_text(name) == name


@pytest.mark.parametrize(("raw", "stored"), [(b"caf\xe9.jpg", r"caf\xe9.jpg"), (rb"a\b.jpg", r"a\b.jpg")])
def test_only_what_is_not_utf_8_is_spelled_out(raw: bytes, stored: str) -> None:
    assert to_text(raw) == stored


plain = names.filter(lambda raw: b"/" not in raw and raw not in (b".", b".."))


@given(plain, plain)
@example(b"caf\xe9", rb"a\x41.jpg")
def test_a_path_is_meant_as_it_is_stored_and_as_the_file_is_called(folder: bytes, name: bytes) -> None:
    root, stored = to_text(b"/images/" + folder), to_text(name)
    for typed in (stored, f"{root}/{stored}"):
        assert meant(typed, root)[0] == stored
    for raw in (name, b"./" + name, b"/images/" + folder + b"//" + name):
        assert stored in meant(os.fsdecode(raw), root)


def test_what_leads_out_of_the_folder_is_meant_by_nobody() -> None:
    for typed in ("", ".", "..", "../b.jpg", "/images/a", "/images/ab/c.jpg", "line/../../b.jpg"):
        assert meant(typed, "/images/a") == [], typed
