"""Does the walk find every image once, in an order that can be taken up again anywhere?"""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.walk import Found, walk


def tree(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return root


def images(root: Path, after: bytes | None = None) -> list[bytes]:
    return [path for kind, path in walk(os.fsencode(root), after) if kind is Found.IMAGE]


def test_images_are_found_by_extension_in_any_case_and_in_sub_folders(tmp_path: Path) -> None:
    tree(tmp_path, "b.JPG", "a.png", "line 1/c.TiFf", "line 1/deep/d.webp", "notes.txt", "no_extension")
    assert images(tmp_path) == [b"a.png", b"b.JPG", b"line 1/c.TiFf", b"line 1/deep/d.webp"]


def test_other_files_and_linked_folders_are_told_apart(tmp_path: Path) -> None:
    tree(tmp_path, "scan/a.jpg", "scan/readme.txt", "elsewhere/b.jpg")
    (tmp_path / "scan" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "scan" / "circle").symlink_to(tmp_path / "scan")
    (tmp_path / "scan" / "c.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    found = list(walk(os.fsencode(tmp_path / "scan")))
    assert found == [
        (Found.IMAGE, b"a.jpg"),
        (Found.IMAGE, b"c.jpg"),
        (Found.LINKED_FOLDER, b"circle"),
        (Found.LINKED_FOLDER, b"link"),
        (Found.OTHER, b"readme.txt"),
    ]


def test_a_link_that_leads_nowhere_keeps_no_other_image_waiting(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "z.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "dangling.jpg").symlink_to("gone.jpg")
    (tmp_path / "through-a-file.jpg").symlink_to("a.jpg/b.jpg")
    (tmp_path / "too-long.jpg").symlink_to("x" * 300 + ".jpg")
    (tmp_path / "circle").symlink_to("circle")
    assert images(tmp_path) == [
        b"a.jpg",
        b"circle.jpg",
        b"dangling.jpg",
        b"through-a-file.jpg",
        b"too-long.jpg",
        b"z.jpg",
    ]


def test_a_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg/b.jpg")
    assert images(tmp_path) == [b"a.jpg/b.jpg"]


def test_odd_names_come_as_they_are(tmp_path: Path) -> None:
    names = [b"caf\xe9.jpg", b"two words.jpg", b"new\nline.jpg"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    assert images(tmp_path) == sorted(names)


names = st.lists(st.sampled_from(["a", "a.jpg", "a-b", "b", "z"]), min_size=1, max_size=3).map(tuple)


@settings(max_examples=40, deadline=None)
@given(st.sets(names, min_size=1))
def test_the_walk_goes_on_after_any_image(
    tmp_path_factory: pytest.TempPathFactory, paths: set[tuple[str, ...]]
) -> None:
    root = tmp_path_factory.mktemp("walk")
    for parts in paths:
        file = root.joinpath(*parts[:-1]) / (parts[-1] + ".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    whole = images(root)
    for position, path in enumerate(whole):
        assert images(root, after=path) == whole[position + 1 :]


def test_an_image_that_vanished_while_the_planner_was_dead_is_no_obstacle(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "b/c.jpg", "d.jpg")
    assert images(tmp_path, after=b"b/b.jpg") == [b"b/c.jpg", b"d.jpg"]


def test_a_folder_that_is_gone_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        images(tmp_path / "nowhere")
