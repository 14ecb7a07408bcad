"""Are copies of a photograph found as twins, and other parts of the same kind not?"""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from trainer.twins import ALIKE, clusters, near_twins, nearest_twins
from vision.samples import draw_photograph
from vision.signature import as_array, signature

Change = Callable[[Image.Image], Image.Image]
PARTS = 48
SIZE = 240  # pixels


def saved(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


CHANGES: dict[str, Change] = {
    "saved at 90": lambda image: saved(image, 90),
    "saved at 70": lambda image: saved(image, 70),
    "half as large": lambda image: image.resize((SIZE // 2, SIZE // 2), Image.Resampling.LANCZOS),
    "half as large again": lambda image: image.resize((SIZE * 3 // 2, SIZE * 3 // 2), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "of more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "mirrored": lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 85),
    "upside down": lambda image: saved(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 85),
    "turned by 90": lambda image: saved(image.transpose(Image.Transpose.ROTATE_90), 85),
    "turned by 180": lambda image: saved(image.transpose(Image.Transpose.ROTATE_180), 85),
    "turned by 270": lambda image: saved(image.transpose(Image.Transpose.ROTATE_270), 85),
    "mirrored and turned": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    "cropped by a hundredth": lambda image: image.crop((1, 0, SIZE, SIZE - 1)),
}


# At a station little sets a part apart, and what a coarse encoder leaves of that may be too little.
NOT_EVERY_TIME = ("saved at 70", "cropped by a hundredth")


@pytest.fixture(scope="module", params=[False, True], ids=["many products", "one station"])
def parts(request: pytest.FixtureRequest) -> list[Image.Image]:
    """Photographs of different parts: of many products, and of one in its fixture."""
    return [Image.fromarray(draw_photograph(3, number, SIZE, station=request.param).pixels) for number in range(PARTS)]


def signed(images: list[Image.Image]) -> np.ndarray:
    return as_array([signature(image) for image in images])


def test_different_parts_are_no_twins(parts: list[Image.Image]) -> None:
    assert near_twins(signed(parts)) == []


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in NOT_EVERY_TIME])
def test_a_changed_copy_is_a_twin_of_its_original_alone(parts: list[Image.Image], change: str) -> None:
    copies = [CHANGES[change](part) for part in parts[::6]]
    pairs = near_twins(signed(parts + copies))
    assert {(pair.first, pair.second) for pair in pairs} == {(6 * at, PARTS + at) for at in range(len(copies))}
    assert all(pair.similarity >= ALIKE for pair in pairs)


def test_most_copies_that_were_saved_at_70_are_found(parts: list[Image.Image]) -> None:
    copies = [CHANGES["saved at 70"](part) for part in parts[::4]]
    found = {(pair.first, pair.second) for pair in near_twins(signed(parts + copies))}
    true = {(4 * at, PARTS + at) for at in range(len(copies))}
    assert found <= true
    assert len(found) >= 0.75 * len(true)


def test_most_copies_that_were_cropped_by_a_hundredth_are_found_among_many_products() -> None:
    products = [Image.fromarray(draw_photograph(3, number, SIZE).pixels) for number in range(PARTS)]
    copies = [CHANGES["cropped by a hundredth"](part) for part in products[::4]]
    found = {(pair.first, pair.second) for pair in near_twins(signed(products + copies))}
    true = {(4 * at, PARTS + at) for at in range(len(copies))}
    assert found <= true
    assert len(found) >= 0.9 * len(true)


def test_two_kinds_of_part_in_their_fixtures_are_not_all_twins_of_each_other() -> None:
    """What all parts of a kind share is most of a photograph, and says nothing about the single part."""
    both = [
        Image.fromarray(draw_photograph(seed, number, SIZE, station=True).pixels)
        for seed in (3, 7)
        for number in range(16)
    ]
    assert near_twins(signed(both)) == []


def test_the_nearest_of_others_is_named(parts: list[Image.Image]) -> None:
    tested = [parts[40], CHANGES["turned by 90"](parts[5]), parts[41]]
    pairs = nearest_twins(signed(tested), signed(parts[:40]))
    assert [(pair.first, pair.second) for pair in pairs] == [(1, 5)]


def test_where_most_images_show_nothing_the_others_are_still_compared(parts: list[Image.Image]) -> None:
    blank = [Image.new("RGB", (SIZE, SIZE), (shade,) * 3) for shade in range(60)]
    pairs = near_twins(signed([*parts[:40], saved(parts[2], 90), *blank]))
    assert (2, 40) in {(pair.first, pair.second) for pair in pairs}
    assert max(pair.second for pair in pairs) == 40, "of the blank ones none"


def test_what_shows_nothing_has_no_twin(parts: list[Image.Image]) -> None:
    grey = [Image.new("RGB", (SIZE, SIZE), (shade,) * 3) for shade in (90, 90, 140)]
    assert near_twins(signed(parts[:20] + grey)) == []


@pytest.mark.parametrize("images", [0, 1, 2])
def test_too_few_images_are_not_compared(images: int) -> None:
    flat = as_array([bytes(range(256)) * 4] * images)
    assert near_twins(flat) == []
    assert nearest_twins(flat, as_array([])) == []


def test_a_cluster_is_what_is_joined_over_others() -> None:
    first, second, third, alone, other = clusters(5, [(0, 1), (2, 1)])
    assert first == second == third
    assert len({first, alone, other}) == 3
    assert clusters(2, []) == [0, 1]
