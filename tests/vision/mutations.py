"""Do 10,000 damaged images each give a picture or a reason, and nothing else?

Run as a process of its own (`python -m tests.vision.mutations FILE`), because a decoder that crashes would take
the whole suite with it; FILE then holds the image that did it. Prints how often each outcome was met.
"""

import hashlib
import struct
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vision.bad_files import valid_images
from tests.vision.outcomes import end_at_the_deadline
from vision.decode import Limits, Unreadable, read_image
from vision.faults import MAX_DETAIL, one_line

EXAMPLES = 3_300  # of three to nine images each: a sound one after each of its mutations
LIMITS = Limits(max_pixels=100_000, max_bytes=100_000)
SEEDS = list(valid_images(12, 8).values())
# What header fields are trusted too far with: nothing, the largest of each width, the first negative.
NUMBERS = [struct.pack(form, value) for form in ("<I", ">I", "<H", ">H") for value in (0, 1, 255, 0x7FFF, 0xFFFF)]
NUMBERS += [struct.pack("<I", value) for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)]

# Of 65,536 parts of the file. Mixed, because hypothesis likes small numbers, and damage to a file's first bytes
# only ever makes it no image.
places = st.integers(0, 0xFFFF).map(lambda number: (number * 40503 + 31337) & 0xFFFF)
lengths = st.integers(1, 64)  # bytes


def at(content: bytes, place: int) -> int:
    return len(content) * place >> 16


def flip(content: bytes, place: int, bit: int) -> bytes:
    damaged, where = bytearray(content), at(content, place)
    damaged[where : where + 1] = [damaged[where] ^ 1 << bit] if damaged else []
    return bytes(damaged)


def overwrite(content: bytes, place: int, new: bytes) -> bytes:
    where = at(content, place)
    return content[:where] + new + content[where + len(new) :]


def insert(content: bytes, place: int, new: bytes) -> bytes:
    where = at(content, place)
    return content[:where] + new + content[where:]


def delete(content: bytes, place: int, length: int) -> bytes:
    where = at(content, place)
    return content[:where] + content[where + length :]


def repeat(content: bytes, place: int, length: int) -> bytes:
    where = at(content, place)
    return content[: where + length] + content[where:]


def truncate(content: bytes, place: int) -> bytes:
    return content[: at(content, place)]


def splice(content: bytes, place: int, other: bytes, other_place: int) -> bytes:
    return content[: at(content, place)] + other[at(other, other_place) :]


def step(function: Callable[..., bytes], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.tuples(st.just(function), *arguments)


steps = st.one_of(
    step(flip, places, st.integers(0, 7)),
    step(overwrite, places, st.sampled_from(NUMBERS)),
    step(overwrite, places, st.binary(min_size=1, max_size=8)),
    step(insert, places, st.binary(min_size=1, max_size=8)),
    step(delete, places, lengths),
    step(repeat, places, lengths),
    step(truncate, places),
    step(splice, places, st.sampled_from(SEEDS), places),
)


def outcome(path: Path, content: bytes) -> str:
    """What became of the file at `path`, which holds `content`; all that is said of it must be true."""
    known = (hashlib.sha256(content).hexdigest(), len(content))
    try:
        picture = read_image(path, LIMITS)
    except Unreadable as fault:
        check_fault(fault, known)
        return fault.reason.value
    assert (picture.sha256, picture.size) == known
    assert picture.image.mode == "RGB"
    assert picture.image.size == (picture.width, picture.height)
    assert 0 < picture.width * picture.height <= LIMITS.max_pixels
    return "picture"


def check_fault(fault: Unreadable, known: tuple[str, int]) -> None:
    assert (fault.sha256, fault.size) == known
    assert fault.detail == one_line(fault.detail)
    assert 0 < len(fault.detail) <= MAX_DETAIL
    assert " at 0x" not in fault.detail  # an address differs from run to run


def main() -> None:
    """Read them all, tell how many there were, how many of them different, and what became of them."""
    end_at_the_deadline()
    path = Path(sys.argv[1])
    outcomes: Counter[str] = Counter()
    distinct = set()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(SEEDS), st.lists(steps, min_size=3, max_size=9))
    def mutate(content: bytes, mutations: list[tuple[Callable[..., bytes], object]]) -> None:
        for function, *arguments in mutations:
            content = function(content, *arguments)
            path.write_bytes(content)
            distinct.add(hashlib.sha256(content).hexdigest())
            outcomes[outcome(path, content)] += 1

    mutate()
    print(sum(outcomes.values()), len(distinct))
    for word, number in outcomes.most_common():
        print(word, number)


if __name__ == "__main__":
    main()
