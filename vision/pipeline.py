"""How do files become scores without anything waiting that could work?

Threads, one per core, read, decode and resize some batches ahead, each picture into its own row of the batch's
buffer. Whoever finishes a batch's last picture has it scored: on the CPU in that very thread, so that never more
threads compute than there are cores; on a GPU in one of its lanes, from pinned memory, while the threads go on
with the next batches. Of a model that looks at tiles, whoever has decoded an image also has its tiles scored, some at a
time: an image is a batch of its own. Groups (a worker's batches of a job) follow each other without a gap, but no
batch holds images of two groups: what a score was computed beside does not depend on chance.
"""

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vision.cores import usable_cores
from vision.decode import DEFAULT_LIMITS, Limits, decode_file
from vision.faults import Unreadable
from vision.guard import Guard
from vision.reading import FileBytes, InspectedFolder, read_file
from vision.runtime import Pixels, Runtime
from vision.stages import stage
from vision.tiling import Tile

AnyPath = bytes | str | Path
T = TypeVar("T")
Lookup = Callable[[Sequence[str]], Mapping[str, object]]

# One image with more pixels, or file with more bytes, at a time: what they take is the memory that is needed.
LARGE_PIXELS = 16_000_000
LARGE_BYTES = 64 * 2**20
# Files are asked for together, since a question takes as long as decoding a small one.
LOOKED_UP_TOGETHER = 64
READ_TOGETHER = 8  # of those, by one thread in a row
PASSING = 2  # batches without anything to score that wait to be handed out; each may be a whole group
# A file with more bytes is asked for by itself, when its turn to be decoded comes: many at once are no small memory.
LOOKED_UP_ALONE_BYTES = 2**19

_one_large = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Group(Generic[T]):
    """Images that belong together, in order."""

    of: T  # whatever the caller knows it by
    paths: Sequence[AnyPath]
    folder: InspectedFolder | None = None  # paths are relative to it, and none is opened outside
    guard: Guard | None = None  # decodes each image in its process; for a pipeline of one thread
    # Called in a thread, once or more for each image, as it gets through; what it raises ends it all.
    on_progress: Callable[[], None] | None = None
    known: Lookup | None = None  # of some sha256s, what is known already; those images get no score


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """One path's outcome: a score, the reason why there is none, or what was known of it before."""

    index: int  # position of the path in its group
    sha256: str | None = None  # of the file's bytes, if they could be read
    size: int | None = None  # of the file in bytes, if it could be learnt
    width: int | None = None  # pixels, upright
    height: int | None = None
    score: float | None = None  # P(defective)
    novelty: float | None = None  # as vision.novelty has it; None also where the model knows none
    tile: Tile | None = None  # the one that decided, of a model that looks at tiles
    reason: str | None = None  # code of `vision.faults.Reason`: the file is unreadable
    detail: str | None = None
    known: object | None = None  # what `Group.known` said of its sha256

    @property
    def awaits_score(self) -> bool:
        """Whether its pixels are there, and nothing is known of it yet."""
        return self.score is None and self.reason is None and self.known is None


def score_groups(
    groups: Iterable[Group[T]],
    runtime: Runtime,
    *,
    limits: Limits = DEFAULT_LIMITS,
    batch_size: int | None = None,
    threads: int | None = None,
) -> Generator[tuple[Group[T], list[ImageScore]], None, None]:
    """Every path of every group once, in order, some at a time: (its group, the outcomes of its next paths).

    The next group is taken as soon as there is room for an image, by a thread of the pipeline's own.
    `batch_size`: images scored at a time, by default as the runtime likes; `threads`: that decode, by default one
    per core. Raises `StorageTrouble` (try again), `InvalidScore` and what the runtime raises of its device, when
    the image's turn comes; none is an outcome of a single image. However the iteration ends, the threads end.
    """
    size = runtime.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size}")
    yield from _Pipeline[T](runtime, limits, size, threads or usable_cores()).run(iter(groups))


class _Batch(Generic[T]):
    """Consecutive images of a group, handed out together; those without an outcome are scored together."""

    def __init__(self, group: Group[T]) -> None:
        self.group = group
        self.outcomes: dict[int, ImageScore] = {}  # by index; without their scores until `done`
        self.indices: list[int] = []  # the image at indices[i] belongs in row i of `pixels`
        self.files: dict[int, FileBytes] = {}  # by row: those that were read and looked up before
        self.pixels: Pixels  # of a batch with indices
        self.done: Future[None] = Future()
        self._settled = 0
        self._lock = threading.Lock()

    def settle(self, outcome: ImageScore) -> bool:
        """An image is decoded, or needs not be. True when no other is left."""
        with self._lock:
            self.outcomes[outcome.index] = outcome
            self._settled += 1
            return self._settled == len(self.indices)

    def fail(self, error: BaseException) -> None:
        """What went wrong is raised when the batch's turn comes; the first of several."""
        with suppress(InvalidStateError):
            self.done.set_exception(error)


@dataclass(frozen=True, kw_only=True)
class _Span(Generic[T]):
    """Consecutive images of a group that become batches together."""

    group: Group[T]
    indices: Sequence[int]
    reading: list[Future[list[FileBytes | ImageScore | None]]] | None  # their files, if they are to be looked up


class _Pipeline(Generic[T]):
    """The threads, and what passes between them."""

    def __init__(self, runtime: Runtime, limits: Limits, size: int, threads: int) -> None:
        self._runtime = runtime
        self._limits = limits
        self._size = size
        self._loaders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        # Tiles are scored by the threads that decode; on a GPU by no more of them at once than it has lanes.
        self._turns = threading.Semaphore(runtime.lanes or threads)
        self._lanes = ThreadPoolExecutor(runtime.lanes, thread_name_prefix="score") if runtime.lanes else None
        self._begun: queue.SimpleQueue[_Batch[T] | BaseException | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[Pixels | None] = queue.SimpleQueue()
        # One for each batch being scored, as many as the threads can decode at once, and one to wait for.
        for _ in range((runtime.lanes or threads) + math.ceil(threads / size) + 1):
            self._free.put(runtime.buffer(size))
        # Batches that need no scoring and no buffer, and wait to be handed out.
        self._passing = threading.Semaphore(PASSING)
        self._read_together = max(1, min(READ_TOGETHER, LOOKED_UP_TOGETHER // threads))
        self._stopping = False

    def run(self, groups: Iterator[Group[T]]) -> Generator[tuple[Group[T], list[ImageScore]], None, None]:
        """Hand out the batches in the order in which they were begun."""
        feeder = threading.Thread(target=self._feed, args=(groups,), name="decode-feeder", daemon=True)
        feeder.start()
        try:
            while (batch := self._begun.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                batch.done.result()
                outcomes = [outcome for _, outcome in sorted(batch.outcomes.items())]
                if batch.indices:
                    self._free.put(batch.pixels)
                else:
                    self._passing.release()
                yield batch.group, outcomes
        finally:
            self._stopping = True
            self._free.put(None)
            self._passing.release()
            self._loaders.shutdown(wait=True, cancel_futures=True)
            feeder.join()
            if self._lanes is not None:
                self._lanes.shutdown(wait=True, cancel_futures=True)

    def _feed(self, groups: Iterator[Group[T]]) -> None:
        batches = self._batches(groups)
        try:
            # Room first: the next group is asked for when something can be done with it.
            pixels = self._free.get()
            while pixels is not None and not self._stopping and (batch := next(batches, None)) is not None:
                if batch.indices:
                    batch.pixels = pixels
                    self._begin(batch)
                    pixels = self._free.get()
                else:
                    self._passing.acquire()
                    batch.done.set_result(None)
                    self._begun.put(batch)
            self._begun.put(None)
        except BaseException as error:
            self._begun.put(error)  # raised where the batches are handed out

    def _begin(self, batch: _Batch[T]) -> None:
        self._begun.put(batch)
        for row in range(len(batch.indices)):
            self._loaders.submit(self._load, batch, row)

    def _batches(self, groups: Iterator[Group[T]]) -> Iterator[_Batch[T]]:
        """The batches of all groups, in order.

        While nothing is left to score, the files of the next span are read during a span's look-up, too.
        """
        spans = (span for group in groups for span in self._spans(group))
        begun: deque[_Span[T]] = deque()
        trouble: BaseException | None = None
        nothing_to_score = False
        while True:
            try:
                while trouble is None and len(begun) < (2 if nothing_to_score else 1) and (span := next(spans, None)):
                    begun.append(span)
            except BaseException as error:  # of the input; what came before it goes first
                trouble = error
            if not begun:
                break
            nothing_to_score = True
            for batch in self._looked_up(begun.popleft()):
                nothing_to_score = nothing_to_score and not batch.indices
                yield batch
        if trouble is not None:
            raise trouble

    def _spans(self, group: Group[T]) -> Iterator[_Span[T]]:
        """The group in parts: of files that are looked up together, being read already, or of a batch each."""
        together = self._size if group.known is None else max(self._size, LOOKED_UP_TOGETHER)
        for indices in _chunked(range(len(group.paths)), together):
            reading = None
            if group.known is not None:
                some = _chunked(indices, self._read_together)
                reading = [self._loaders.submit(self._read, group, few) for few in some]
            yield _Span(group=group, indices=indices, reading=reading)

    def _looked_up(self, span: _Span[T]) -> Iterator[_Batch[T]]:
        """Batches of what is left to score when all files have been asked for with one question."""
        group = span.group
        batch = _Batch(group)
        if group.known is None or span.reading is None:
            batch.indices += span.indices
            yield batch
            return
        read = deque(one for few in span.reading for one in few.result())
        span.reading.clear()  # no file is kept for longer than it is needed
        digests = [file.sha256 for file in read if isinstance(file, FileBytes)]
        found = group.known(digests) if digests else {}
        for index in span.indices:
            file = read.popleft()
            outcome = _known(index, file, found) if isinstance(file, FileBytes) else file
            if outcome is not None:
                batch.outcomes[index] = outcome
                continue
            if isinstance(file, FileBytes):
                batch.files[len(batch.indices)] = file
            batch.indices.append(index)
            if len(batch.indices) == self._size:
                yield batch
                batch = _Batch(group)
        if batch.outcomes or batch.indices:
            yield batch

    def _read(self, group: Group[T], indices: Sequence[int]) -> list[FileBytes | ImageScore | None]:
        """The files, or why there is none. None: too large to be kept, and therefore not read yet."""
        read: list[FileBytes | ImageScore | None] = []
        for index in indices:
            if self._stopping:
                raise CancelledError
            try:
                file = self._file(group, index, _refuse_large)
                read.append(file if file.size <= LOOKED_UP_ALONE_BYTES else None)  # it may have grown
            except _Large:
                read.append(None)
            except Unreadable as fault:
                read.append(_unreadable(index, fault))
            self._tell(group)
        return read

    def _load(self, batch: _Batch[T], row: int) -> None:
        """Settle one image; whoever settles the last one of its batch scores it."""
        try:
            if self._stopping:
                return
            outcome = self._outcome(batch, row)
            self._tell(batch.group)
            if batch.settle(outcome):
                self._score(batch) if self._lanes is None else self._lanes.submit(self._score, batch)
        except BaseException as error:
            batch.fail(error)

    def _outcome(self, batch: _Batch[T], row: int) -> ImageScore:
        """Of one image: what is known, why it is unreadable, or that its pixels are in their row of the batch."""
        group, index = batch.group, batch.indices[row]
        with _Room() as room:
            try:
                if (file := batch.files.pop(row, None)) is None:
                    file = self._file(group, index, room.for_bytes)
                    if group.known is not None and (known := _known(index, file, group.known([file.sha256]))):
                        return known
                return self._decoded(batch, row, file, room)
            except Unreadable as fault:
                return _unreadable(index, fault)

    def _file(self, group: Group[T], index: int, admit: Callable[[int], None]) -> FileBytes:
        return read_file(group.paths[index], self._limits.max_bytes, folder=group.folder, admit=admit)

    def _decoded(self, batch: _Batch[T], row: int, file: FileBytes, room: "_Room") -> ImageScore:
        preprocessing, guard = self._runtime.preprocessing, batch.group.guard
        squares: Iterable[NDArray[np.uint8]]
        if guard is not None:
            try:
                squares, width, height = guard.decode(file.content)
            except Unreadable as fault:
                raise Unreadable(fault.reason, fault.detail, sha256=file.sha256, size=file.size) from fault
        else:
            with stage("decode"):
                seen = decode_file(file, self._limits, edge=preprocessing.edge, admit=room.for_pixels)
            width, height = seen.width, seen.height
            squares = preprocessing.squares(seen.image, (width, height))
        outcome = ImageScore(index=batch.indices[row], sha256=file.sha256, size=file.size, width=width, height=height)
        if preprocessing.tile is not None:
            return self._worst(outcome, zip(preprocessing.tiles(width, height), squares, strict=True), batch.group)
        with stage("resize"):
            (batch.pixels[row],) = squares
        return outcome

    def _worst(
        self, outcome: ImageScore, squares: Iterable[tuple[Tile, NDArray[np.uint8]]], group: Group[T]
    ) -> ImageScore:
        """The outcome by the tile with the highest score; of several the first."""
        remaining = iter(squares)
        while some := list(islice(remaining, self._size)):
            with self._turns, stage("infer"):
                answers = self._runtime.score(np.stack([pixels for _, pixels in some]))
            at = int(answers.scores.argmax())
            score = float(answers.scores[at])
            if outcome.score is None or score > outcome.score:
                novelty = None if answers.novelties is None else float(answers.novelties[at])
                outcome = replace(outcome, score=score, novelty=novelty, tile=some[at][0])
            self._tell(group)
        return outcome

    @staticmethod
    def _tell(group: Group[T]) -> None:
        if group.on_progress is not None:
            group.on_progress()

    def _score(self, batch: _Batch[T]) -> None:
        try:
            rows = [row for row, index in enumerate(batch.indices) if batch.outcomes[index].awaits_score]
            if rows:
                with stage("infer"):
                    gaps = rows[-1] >= len(rows)
                    answers = self._runtime.score(batch.pixels[rows] if gaps else batch.pixels[: len(rows)])
                novelties = [None] * len(rows) if answers.novelties is None else answers.novelties.tolist()
                for row, score, novelty in zip(rows, answers.scores.tolist(), novelties, strict=True):
                    index = batch.indices[row]
                    batch.outcomes[index] = replace(batch.outcomes[index], score=score, novelty=novelty)
            batch.done.set_result(None)
        except BaseException as error:
            batch.fail(error)


class _Large(Exception):
    """The file is not one to be kept while others are read."""


def _refuse_large(size: int) -> None:
    if size > LOOKED_UP_ALONE_BYTES:
        raise _Large


class _Room(AbstractContextManager["_Room"]):
    """Keeps two large images from being in memory at once."""

    def __init__(self) -> None:
        self._alone = False

    def __exit__(self, *_: object) -> None:
        if self._alone:
            _one_large.release()

    def for_bytes(self, count: int) -> None:
        self._take(count > LARGE_BYTES)

    def for_pixels(self, count: int) -> None:
        self._take(count > LARGE_PIXELS)

    def _take(self, large: bool) -> None:
        if large and not self._alone:
            _one_large.acquire()
            self._alone = True


def _chunked(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _known(index: int, file: FileBytes, found: Mapping[str, object]) -> ImageScore | None:
    """The outcome of a file whose sha256 was found; None where it was not."""
    known = found.get(file.sha256)
    return None if known is None else ImageScore(index=index, sha256=file.sha256, size=file.size, known=known)


def _unreadable(index: int, fault: Unreadable) -> ImageScore:
    return ImageScore(index=index, sha256=fault.sha256, size=fault.size, reason=fault.reason.value, detail=fault.detail)
