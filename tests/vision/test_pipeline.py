"""Does every image keep its own outcome, is nothing done twice or waited for in vain, and do the threads end?"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vision.conftest import blocks
from vision import pipeline
from vision.decode import Limits, Reason, StorageTrouble, read_image
from vision.pipeline import Group, ImageScore, score_groups
from vision.preprocessing import Preprocessing
from vision.reading import FileBytes, read_file
from vision.runtime import Answers, Pixels

SMALL = Preprocessing(size=32)
UNREADABLE_NOW = Path("/proc/self/mem")  # reading it gives a real input/output error
DEADLINE_SECONDS = 30


class Fingerprints:
    """A runtime whose score tells which pixels it was asked about, and which notes who asked for how many."""

    engine, precision, device, batch_size = "test", "exact", "cpu", 4

    def __init__(self, lanes: int = 0, before: Callable[[int], None] = lambda _: None) -> None:
        self.preprocessing = SMALL
        self.lanes = lanes
        self.asked: list[tuple[str, int]] = []
        self._before = before

    def buffer(self, rows: int) -> Pixels:
        return np.empty((rows, 3, 32, 32), dtype=np.uint8)

    def score(self, pixels: Pixels) -> Answers:
        self.asked.append((threading.current_thread().name, len(pixels)))
        self._before(len(self.asked))
        prints = np.array([fingerprint(row) for row in pixels], dtype=np.float32)
        return Answers(scores=prints, novelties=prints + 1)


def fingerprint(row: Pixels) -> float:
    weights = np.arange(row.size, dtype=np.float64) % 251
    return float((row.reshape(-1) * weights).sum() / 1e9)


def expected(path: Path) -> float:
    return pytest.approx(fingerprint(SMALL.apply(read_image(path).image)), rel=1e-6)  # type: ignore[no-any-return]


def outcomes_of(groups: Sequence[Group[str]], runtime: Fingerprints, **options: int) -> dict[str, list[ImageScore]]:
    found: dict[str, list[ImageScore]] = {group.of: [] for group in groups}
    for group, outcomes in score_groups(groups, runtime, **options):
        found[group.of] += outcomes
    return found


def working_threads() -> int:
    return sum(thread.name.startswith(("decode", "score")) for thread in threading.enumerate())


@pytest.mark.parametrize("lanes", [0, 2])
@pytest.mark.parametrize(("batch_size", "threads"), [(1, 4), (3, 2), (4, 1), (32, 3)])
def test_every_image_gets_the_score_of_its_own_pixels_in_order(
    pictures: list[Path], lanes: int, batch_size: int, threads: int
) -> None:
    groups = [Group(of="a", paths=pictures[:7]), Group(of="b", paths=pictures[7:])]
    found = outcomes_of(groups, Fingerprints(lanes), batch_size=batch_size, threads=threads)
    assert [outcome.index for outcome in found["a"] + found["b"]] == [*range(7), *range(3)]
    for path, outcome in zip(pictures, found["a"] + found["b"], strict=True):
        picture = read_image(path)
        assert (outcome.sha256, outcome.size) == (picture.sha256, picture.size)
        assert outcome.novelty == pytest.approx((outcome.score or 0) + 1)
        assert (outcome.width, outcome.height) == (picture.width, picture.height)
        assert outcome.score == expected(path)
    assert working_threads() == 0


def test_bad_files_among_good_ones_shift_nobody(pictures: list[Path]) -> None:
    pictures[2].write_bytes(b"")
    pictures[3].unlink()
    pictures[7].write_bytes(b"no image")
    bad = {2: Reason.EMPTY_FILE, 3: Reason.VANISHED, 7: Reason.NOT_AN_IMAGE}
    runtime = Fingerprints()
    found = outcomes_of([Group(of="a", paths=pictures)], runtime)["a"]
    for index, (path, outcome) in enumerate(zip(pictures, found, strict=True)):
        assert outcome.reason == bad.get(index)
        assert outcome.score == (None if index in bad else expected(path))
    assert sorted(rows for _, rows in runtime.asked) == [2, 2, 3], "nobody asks about what cannot be read"


def test_a_batch_without_a_readable_image_asks_nothing(tmp_path: Path) -> None:
    runtime = Fingerprints()
    found = outcomes_of([Group(of="a", paths=[tmp_path / "gone", tmp_path])], runtime)["a"]
    assert [outcome.reason for outcome in found] == ["vanished", "not_a_file"]
    assert runtime.asked == []


def test_no_batch_holds_images_of_two_groups(pictures: list[Path]) -> None:
    runtime = Fingerprints()
    outcomes_of([Group(of="a", paths=pictures[:5]), Group(of="b", paths=pictures[5:])], runtime, threads=1)
    assert [rows for _, rows in runtime.asked] == [4, 1, 4, 1]


@pytest.mark.parametrize("lanes", [0, 1])
@pytest.mark.parametrize("looked_up", [None, "alone", "together"])
def test_the_next_group_is_decoded_while_the_one_before_is_scored(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch, lanes: int, looked_up: str | None
) -> None:
    monkeypatch.setattr(pipeline, "LOOKED_UP_ALONE_BYTES", 0 if looked_up == "alone" else 10**9)
    known = None if looked_up is None else lambda _: {}
    next_is_read = threading.Event()
    waited: list[bool] = []

    def first_waits(call: int) -> None:
        if call == 1:
            waited.append(next_is_read.wait(DEADLINE_SECONDS))

    groups = [
        Group(of="a", paths=pictures[:4], known=known),
        Group(of="b", paths=pictures[4:8], known=known, on_progress=next_is_read.set),
    ]
    runtime = Fingerprints(lanes, first_waits)
    outcomes_of(groups, runtime, threads=2)
    assert waited == [True]
    assert all(name.startswith("score" if lanes else "decode_") for name, _ in runtime.asked)


def test_on_a_cpu_never_more_threads_work_than_were_asked_for(pictures: list[Path]) -> None:
    both, most, inside, lock = threading.Barrier(2), [0], [0], threading.Lock()

    def count(_: int) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        both.wait(DEADLINE_SECONDS)  # the second of two batches is scored beside the first
        with lock:
            inside[0] -= 1

    runtime = Fingerprints(before=count)
    outcomes_of([Group(of="a", paths=pictures[:8])], runtime, threads=2)
    names = {name for name, _ in runtime.asked}
    assert most[0] == 2
    assert len(names) == 2
    assert all(name.startswith("decode") for name in names), "whoever decoded scores"


def test_an_endless_input_is_read_only_a_little_ahead(pictures: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Group[int]]:
        nonlocal taken
        while True:
            taken += 1
            yield Group(of=taken, paths=pictures[:4])

    with closing(score_groups(endless(), Fingerprints(), threads=2)) as scored:
        next(scored)
        assert taken <= 5
    assert working_threads() == 0


def test_limits_reach_the_decoder(pictures: list[Path]) -> None:
    ((_, (outcome,)),) = score_groups([Group(of=0, paths=pictures[:1])], Fingerprints(), limits=Limits(max_pixels=10))
    assert outcome.reason == Reason.TOO_LARGE_PIXELS


def test_a_passing_fault_is_raised_when_its_turn_comes_and_ends_the_threads(pictures: list[Path]) -> None:
    groups = [Group(of="a", paths=pictures[:8]), Group(of="b", paths=[UNREADABLE_NOW, *pictures[8:]])]
    seen = []
    with pytest.raises(StorageTrouble):
        for group, _ in score_groups(groups, Fingerprints(), threads=2):
            seen.append(group.of)
    assert seen == ["a", "a"]
    assert working_threads() == 0


def test_what_the_input_raises_comes_after_the_groups_before_it(pictures: list[Path]) -> None:
    def broken() -> Iterator[Group[str]]:
        yield Group(of="a", paths=pictures[:4])
        raise RuntimeError("the folder went away")

    seen = []
    with pytest.raises(RuntimeError, match="went away"):
        for group, _ in score_groups(broken(), Fingerprints(), threads=2):
            seen.append(group.of)
    assert seen == ["a"]
    assert working_threads() == 0


@pytest.mark.parametrize("lanes", [0, 1])
def test_what_the_runtime_raises_reaches_the_caller(pictures: list[Path], lanes: int) -> None:
    def fail(_: int) -> None:
        raise ArithmeticError("NaN")

    with pytest.raises(ArithmeticError, match="NaN"):
        outcomes_of([Group(of="a", paths=pictures)], Fingerprints(lanes, fail))
    assert working_threads() == 0


def test_what_the_callback_raises_ends_it_all(pictures: list[Path]) -> None:
    def stop() -> None:
        raise LookupError("cancelled")

    with pytest.raises(LookupError, match="cancelled"):
        outcomes_of([Group(of="a", paths=pictures, on_progress=stop)], Fingerprints())
    assert working_threads() == 0


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(score_groups([], Fingerprints(), batch_size=0))


@pytest.mark.parametrize("alone", [0, 10**9])
def test_what_is_known_gets_no_score_and_every_file_is_read_once(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch, alone: int
) -> None:
    monkeypatch.setattr(pipeline, "LOOKED_UP_ALONE_BYTES", alone)  # as if all files were large, or none
    pictures[5].write_bytes(b"no image")
    remembered = {read_image(pictures[index]).sha256: f"row {index}" for index in (0, 3, 4, 7)}
    asked: list[int] = []

    def known(digests: Sequence[str]) -> dict[str, object]:
        asked.append(len(digests))
        return {digest: remembered[digest] for digest in digests if digest in remembered}

    read: list[Path] = []

    def counted(path: Path, *arguments: Any, **options: Any) -> FileBytes:
        file = read_file(path, *arguments, **options)
        read.append(path)
        return file

    monkeypatch.setattr(pipeline, "read_file", counted)
    runtime = Fingerprints()
    found = outcomes_of([Group(of="a", paths=pictures, known=known)], runtime, threads=2)["a"]
    assert sorted(read) == sorted(pictures)
    for index, (path, outcome) in enumerate(zip(pictures, found, strict=True)):
        if index in (0, 3, 4, 7):
            assert (outcome.known, outcome.score, outcome.reason) == (f"row {index}", None, None)
        elif index == 5:
            assert (outcome.known, outcome.reason) == (None, Reason.NOT_AN_IMAGE)
        else:
            assert (outcome.known, outcome.score) == (None, expected(path))
        assert outcome.sha256 is not None
        assert outcome.size == path.stat().st_size
    assert asked == ([10] if alone else [1] * 10), "small ones share a question"
    assert sum(rows for _, rows in runtime.asked) == 5


def test_an_endless_input_of_known_images_is_taken_only_a_little_ahead(pictures: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Group[int]]:
        nonlocal taken
        while True:
            taken += 1
            yield Group(of=taken, paths=pictures[:4], known=lambda digests: dict.fromkeys(digests, "row"))

    with closing(score_groups(endless(), Fingerprints(), threads=2)) as scored:
        for _ in range(8):  # long enough for as many as it would take
            next(scored)
        assert taken <= 8 + pipeline.PASSING + 3
    assert working_threads() == 0


def test_while_all_is_known_the_next_files_are_read_during_a_look_up(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    next_is_read = threading.Event()
    waited: list[bool] = []

    def read(path: Path, *arguments: Any, **options: Any) -> FileBytes:
        if path == pictures[8]:
            next_is_read.set()
        return read_file(path, *arguments, **options)

    def known(digests: Sequence[str]) -> dict[str, object]:
        return dict.fromkeys(digests, "row")

    def known_later(digests: Sequence[str]) -> dict[str, object]:
        waited.append(next_is_read.wait(DEADLINE_SECONDS))
        return known(digests)

    monkeypatch.setattr(pipeline, "read_file", read)
    groups = [
        Group(of="a", paths=pictures[:4], known=known),
        Group(of="b", paths=pictures[4:8], known=known_later),
        Group(of="c", paths=pictures[8:], known=known),
    ]
    found = outcomes_of(groups, Fingerprints(), threads=2)
    assert waited == [True]
    assert [outcome.known for outcomes in found.values() for outcome in outcomes] == ["row"] * 10


@pytest.mark.parametrize("lanes", [0, 2])
@pytest.mark.parametrize("alone", [0, 3000, 10**9])
def test_known_new_large_and_bad_files_keep_their_places_over_several_look_ups(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch, lanes: int, alone: int
) -> None:
    monkeypatch.setattr(pipeline, "LOOKED_UP_TOGETHER", 4)
    monkeypatch.setattr(pipeline, "READ_TOGETHER", 2)
    monkeypatch.setattr(pipeline, "LOOKED_UP_ALONE_BYTES", alone)
    remembered = {read_image(pictures[index]).sha256: index for index in (0, 1, 2, 3, 5, 9)}
    pictures[6].unlink()
    pictures[8].write_bytes(b"no image")

    def known(digests: Sequence[str]) -> dict[str, object]:
        return {digest: remembered[digest] for digest in digests if digest in remembered}

    groups = [Group(of="a", paths=pictures, known=known), Group(of="b", paths=pictures[::-1], known=known)]
    found = outcomes_of(groups, Fingerprints(lanes), batch_size=3, threads=2)
    for group, order in (("a", range(10)), ("b", range(9, -1, -1))):
        assert [outcome.index for outcome in found[group]] == list(range(10))
        for number, outcome in zip(order, found[group], strict=True):
            bad = {6: Reason.VANISHED, 8: Reason.NOT_AN_IMAGE}.get(number)
            fresh = bad is None and number in (4, 7)
            assert outcome.reason == bad
            assert outcome.known == (number if number in (0, 1, 2, 3, 5, 9) else None)
            assert outcome.score == (expected(pictures[number]) if fresh else None)


def test_what_a_look_up_raises_comes_after_what_was_looked_up_before_it(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LOOKED_UP_TOGETHER", 4)
    asked = []

    def known(digests: Sequence[str]) -> dict[str, object]:
        asked.append(len(digests))
        if len(asked) == 2:
            raise RuntimeError("the database is broken")
        return {}

    seen: list[ImageScore] = []
    with pytest.raises(RuntimeError, match="broken"):
        for _, outcomes in score_groups([Group(of="a", paths=pictures, known=known)], Fingerprints(), threads=2):
            seen += outcomes
    assert [outcome.index for outcome in seen] == [0, 1, 2, 3]
    assert working_threads() == 0


def test_two_large_images_are_never_in_memory_at_once(pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LARGE_PIXELS", 100)
    met = []

    class Watched(Preprocessing):
        def apply(self, image: object, stored: object = None) -> Pixels:  # type: ignore[override]
            try:
                together.wait(0.2)
            except threading.BrokenBarrierError:
                together.reset()
            else:
                met.append(True)
            return np.asarray(blocks(0, 32, 32).transpose(2, 0, 1))

    together = threading.Barrier(2)
    runtime = Fingerprints()
    runtime.preprocessing = Watched(size=32)
    outcomes_of([Group(of="a", paths=pictures[:4])], runtime, threads=2)
    assert met == []
    monkeypatch.setattr(pipeline, "LARGE_PIXELS", 10**9)
    outcomes_of([Group(of="a", paths=pictures[:4])], runtime, threads=2)
    assert met, "small ones are decoded side by side"
