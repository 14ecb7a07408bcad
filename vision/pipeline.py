"""How do files become scores without anything waiting that could work?

Threads, one per core, read, decode and resize some batches ahead, each picture into its own row of the batch's
buffer. Whoever finishes a batch's last picture has it scored: on the CPU in that very thread, so that never more
threads compute than there are cores; on a GPU in one of its lanes, from pinned memory, while the threads go on
with the next batches. Groups (a worker's batches of a job) follow each other without a gap, but no batch holds
images of two groups: what a score was computed beside does not depend on chance.
"""

import math
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from vision.cores import usable_cores
from vision.decode import DEFAULT_LIMITS, Limits, decode_file
from vision.faults import Unreadable
from vision.guard import Guard
from vision.reading import FileBytes, InspectedFolder, read_file
from vision.runtime import Pixels, Runtime
from vision.stages import stage

AnyPath = bytes | str | Path
T = TypeVar("T")
Lookup = Callable[[Sequence[str]], Mapping[str, object]]

# One image with more pixels, or file with more bytes, at a time: what they take is the memory that is needed.
LARGE_PIXELS = 16_000_000
LARGE_BYTES = 64 * 2**20
# A file with more bytes is asked for by itself: no batch of them should be in memory while it is asked for.
LOOKED_UP_ALONE_BYTES = 2**20

_one_large = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Group(Generic[T]):
    """Images that belong together, in order."""

    of: T  # whatever the caller knows it by
    paths: Sequence[AnyPath]
    folder: InspectedFolder | None = None  # paths are relative to it, and none is opened outside
    guard: Guard | None = None  # decodes each image in its process; for a pipeline of one thread
    on_decoded: Callable[[], None] | None = None  # called in a thread after each image; what it raises ends it all
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

    The next group is taken as soon as there is room for its images, by a thread of the pipeline's own.
    `batch_size`: images scored at a time, by default as the runtime likes; `threads`: that decode, by default one
    per core. Raises `StorageTrouble` (try again), `InvalidScore` and what the runtime raises of its device, when
    the image's turn comes; none is an outcome of a single image. However the iteration ends, the threads end.
    """
    size = runtime.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size}")
    yield from _Pipeline[T](runtime, limits, size, threads or usable_cores()).run(iter(groups))


class _Batch(Generic[T]):
    """Images that are scored at once: the one at paths[i] in row i of `pixels`."""

    def __init__(self, group: Group[T], start: int, paths: Sequence[AnyPath], pixels: Pixels) -> None:
        self.group = group
        self.start = start  # position of its first path in the group
        self.paths = paths
        self.pixels = pixels
        self.outcomes: dict[int, ImageScore] = {}  # by row; without its score until `done`
        self.done: Future[None] = Future()
        self._left = len(paths)
        self._lock = threading.Lock()

    def is_last(self) -> bool:
        """Called once for each image; True when no other is left."""
        with self._lock:
            self._left -= 1
            return self._left == 0

    def fail(self, error: BaseException) -> None:
        """What went wrong is raised when the batch's turn comes; the first of several."""
        with suppress(InvalidStateError):
            self.done.set_exception(error)


class _Pipeline(Generic[T]):
    """The threads, and what passes between them."""

    def __init__(self, runtime: Runtime, limits: Limits, size: int, threads: int) -> None:
        self._runtime = runtime
        self._limits = limits
        self._size = size
        self._loaders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._lanes = ThreadPoolExecutor(runtime.lanes, thread_name_prefix="score") if runtime.lanes else None
        self._begun: queue.SimpleQueue[_Batch[T] | BaseException | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[Pixels | None] = queue.SimpleQueue()
        # One for each batch being scored, as many as the threads can decode at once, and one to wait for.
        for _ in range((runtime.lanes or threads) + math.ceil(threads / size) + 1):
            self._free.put(runtime.buffer(size))
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
                outcomes = [batch.outcomes[row] for row in range(len(batch.paths))]
                self._free.put(batch.pixels)
                yield batch.group, outcomes
        finally:
            self._stopping = True
            self._free.put(None)
            self._loaders.shutdown(wait=True, cancel_futures=True)
            feeder.join()
            if self._lanes is not None:
                self._lanes.shutdown(wait=True, cancel_futures=True)

    def _feed(self, groups: Iterator[Group[T]]) -> None:
        parts = (
            (group, start, group.paths[start : start + self._size])
            for group in groups
            for start in range(0, len(group.paths), self._size)
        )
        try:
            # Room first: the next group is asked for when something can be done with it.
            while (pixels := self._free.get()) is not None and not self._stopping:
                if (part := next(parts, None)) is None:
                    break
                self._begin(_Batch(*part, pixels))
            self._begun.put(None)
        except BaseException as error:
            self._begun.put(error)  # raised where the batches are handed out

    def _begin(self, batch: _Batch[T]) -> None:
        rows: Sequence[int] = range(len(batch.paths))
        files: dict[int, FileBytes] = {}
        if batch.group.known is not None:
            reading = [self._loaders.submit(self._read, batch, row) for row in rows]
            read = [future.result() for future in reading]
            files = {row: file for row, file in enumerate(read) if isinstance(file, FileBytes)}
            known = batch.group.known([file.sha256 for file in files.values()])
            for row, file in enumerate(read):
                if isinstance(file, ImageScore):
                    self._settle(batch, row, file)
                elif file.sha256 in known:
                    self._settle(batch, row, _known(batch.start + row, file, known[file.sha256]))
            rows = [row for row in rows if row not in batch.outcomes]
        self._begun.put(batch)
        for row in rows:  # the last one to be settled is one of these, so that it is a loader that scores
            self._loaders.submit(self._load, batch, row, files.get(row))

    def _read(self, batch: _Batch[T], row: int) -> FileBytes | ImageScore:
        """A file that is looked up together with others, or the outcome of a large or unreadable one."""
        group, index = batch.group, batch.start + row
        with _Room() as room:
            try:
                file = read_file(batch.paths[row], self._limits.max_bytes, folder=group.folder, admit=room.for_bytes)
                if file.size <= LOOKED_UP_ALONE_BYTES or group.known is None:
                    return file
                known = group.known([file.sha256])
                if file.sha256 in known:
                    return _known(index, file, known[file.sha256])
                return self._decoded(batch, row, file, room)
            except Unreadable as fault:
                return _unreadable(index, fault)

    def _load(self, batch: _Batch[T], row: int, file: FileBytes | None) -> None:
        """Settle one image; whoever settles the last one of its batch scores it."""
        try:
            if self._stopping:
                return
            folder, index = batch.group.folder, batch.start + row
            with _Room() as room:
                try:
                    if file is None:
                        file = read_file(batch.paths[row], self._limits.max_bytes, folder=folder, admit=room.for_bytes)
                    outcome = self._decoded(batch, row, file, room)
                except Unreadable as fault:
                    outcome = _unreadable(index, fault)
            self._settle(batch, row, outcome)
        except BaseException as error:
            batch.fail(error)

    def _decoded(self, batch: _Batch[T], row: int, file: FileBytes, room: "_Room") -> ImageScore:
        preprocessing, guard = self._runtime.preprocessing, batch.group.guard
        if guard is not None:
            try:
                batch.pixels[row], width, height = guard.decode(file.content)
            except Unreadable as fault:
                raise Unreadable(fault.reason, fault.detail, sha256=file.sha256, size=file.size) from fault
        else:
            with stage("decode"):
                seen = decode_file(file, self._limits, edge=preprocessing.edge, admit=room.for_pixels)
            with stage("resize"):
                batch.pixels[row] = preprocessing.apply(seen.image, (seen.width, seen.height))
            width, height = seen.width, seen.height
        return ImageScore(index=batch.start + row, sha256=file.sha256, size=file.size, width=width, height=height)

    def _settle(self, batch: _Batch[T], row: int, outcome: ImageScore) -> None:
        batch.outcomes[row] = outcome
        if batch.group.on_decoded is not None:
            batch.group.on_decoded()
        if not batch.is_last():
            return
        if self._lanes is None:
            self._score(batch)
        else:
            self._lanes.submit(self._score, batch)

    def _score(self, batch: _Batch[T]) -> None:
        try:
            rows = [row for row in range(len(batch.paths)) if batch.outcomes[row].awaits_score]
            if rows:
                with stage("infer"):
                    gaps = rows[-1] >= len(rows)
                    scores = self._runtime.score(batch.pixels[rows] if gaps else batch.pixels[: len(rows)])
                for row, score in zip(rows, scores.tolist(), strict=True):
                    batch.outcomes[row] = replace(batch.outcomes[row], score=score)
            batch.done.set_result(None)
        except BaseException as error:
            batch.fail(error)


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


def _known(index: int, file: FileBytes, known: object) -> ImageScore:
    return ImageScore(index=index, sha256=file.sha256, size=file.size, known=known)


def _unreadable(index: int, fault: Unreadable) -> ImageScore:
    return ImageScore(index=index, sha256=fault.sha256, size=fault.size, reason=fault.reason.value, detail=fault.detail)
