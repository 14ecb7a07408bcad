"""How do files reach the device without it waiting?

Threads read, decode and resize (Pillow and hashlib let go of the interpreter lock) a few batches ahead. Each
thread writes its picture into its own row of a staging buffer. For a GPU the buffer is pinned memory, copied
without blocking, and used again once the copy is over; on the CPU each batch has its own memory, which goes to
the network as it is.
"""

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.decode import DEFAULT_LIMITS, Limits, read_image
from vision.faults import Unreadable
from vision.guard import Guard
from vision.preprocessing import Preprocessing
from vision.reading import InspectedFolder, read_file

AnyPath = bytes | str | Path

MAX_THREADS = 32  # beyond that, one process decodes no faster


@dataclass(frozen=True, kw_only=True)
class LoadedItem:
    """What became of one path."""

    index: int  # position of the path in the input
    sha256: str | None  # of the file's bytes, if they could be read
    size: int | None  # of the file in bytes, if it could be learnt
    width: int | None = None  # pixels, upright; None if unreadable
    height: int | None = None
    fault: Unreadable | None = None  # set: this item's row holds zeros, and no score of it may be used


@dataclass(frozen=True, kw_only=True)
class LoadedBatch:
    """A batch on its device. Row i of `pixels` belongs to `items[i]`, also where files could not be read."""

    items: tuple[LoadedItem, ...]
    pixels: Tensor  # uint8 (len(items), 3, size, size)


def load_batches(
    paths: Iterable[AnyPath],
    *,
    preprocessing: Preprocessing,
    limits: Limits = DEFAULT_LIMITS,
    batch_size: int = 32,
    threads: int | None = None,
    device: torch.device | str = "cpu",
    folder: InspectedFolder | None = None,
    guard: Guard | None = None,
    on_decoded: Callable[[], None] | None = None,
) -> Generator[LoadedBatch, None, None]:
    """Every path once, in the order of the input, in batches on `device`. Paths are taken as they are needed.

    With a `folder`, paths are relative to it, and none is opened outside. With a `guard`, one image after the
    other is decoded in its process. `on_decoded` is called in a decoding thread after each image; what it raises
    ends the iteration. Raises `StorageTrouble` when its file's turn comes. However the iteration ends, the
    threads end with it.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    threads = 1 if guard is not None else default_threads() if threads is None else threads
    way = _Way(preprocessing=preprocessing, limits=limits, folder=folder, guard=guard, on_decoded=on_decoded)
    ahead = 1 + math.ceil(threads / batch_size)  # one batch to wait for, and work for every thread beyond it
    staging = _Staging(torch.device(device), (batch_size, 3, preprocessing.size, preprocessing.size), ahead)
    numbered = enumerate(paths)
    waiting: deque[_Pending] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode")
    try:
        while True:
            while len(waiting) < ahead and (chunk := list(itertools.islice(numbered, batch_size))):
                buffer = staging.take()
                rows = buffer.numpy()
                futures = [pool.submit(way.load, index, path, rows[row]) for row, (index, path) in enumerate(chunk)]
                waiting.append(_Pending(buffer=buffer, futures=futures))
            if not waiting:
                return
            ready = waiting.popleft()
            items = tuple(future.result() for future in ready.futures)
            yield LoadedBatch(items=items, pixels=staging.send(ready.buffer, len(items)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class _Pending:
    buffer: Tensor
    futures: list[Future[LoadedItem]]


class _Staging:
    """Buffers that a batch is written into on its way to the device."""

    def __init__(self, device: torch.device, shape: tuple[int, int, int, int], ahead: int) -> None:
        self._device = device
        self._shape = shape
        # One buffer for each batch being decoded and one whose copy may still run.
        self._spare = ahead + 1 if device.type == "cuda" else 0
        self._sent: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def take(self) -> Tensor:
        """A buffer that nobody reads any more."""
        if self._device.type != "cuda":
            return torch.empty(self._shape, dtype=torch.uint8)
        if self._spare:
            self._spare -= 1
            return torch.empty(self._shape, dtype=torch.uint8, pin_memory=True)
        buffer, copied = self._sent.popleft()
        copied.synchronize()
        return buffer

    def send(self, buffer: Tensor, rows: int) -> Tensor:
        """The first `rows` rows of the buffer on the device."""
        if self._device.type != "cuda":
            return buffer[:rows]
        with torch.cuda.device(self._device):
            pixels = buffer[:rows].to(self._device, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._sent.append((buffer, copied))
        return pixels


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How one path becomes one row."""

    preprocessing: Preprocessing
    limits: Limits
    folder: InspectedFolder | None
    guard: Guard | None
    on_decoded: Callable[[], None] | None

    def load(self, index: int, path: AnyPath, row: NDArray[np.uint8]) -> LoadedItem:
        try:
            return self._guarded(index, path, row) if self.guard else self._directly(index, path, row)
        except Unreadable as fault:
            row[:] = 0
            return LoadedItem(index=index, sha256=fault.sha256, size=fault.size, fault=fault)
        finally:
            if self.on_decoded is not None:
                self.on_decoded()

    def _directly(self, index: int, path: AnyPath, row: NDArray[np.uint8]) -> LoadedItem:
        picture = read_image(path, self.limits, folder=self.folder)
        row[:] = self.preprocessing.apply(picture.image)
        return LoadedItem(
            index=index, sha256=picture.sha256, size=picture.size, width=picture.width, height=picture.height
        )

    def _guarded(self, index: int, path: AnyPath, row: NDArray[np.uint8]) -> LoadedItem:
        assert self.guard is not None  # noqa: S101 - `load` has looked
        file = read_file(path, self.limits.max_bytes, folder=self.folder)
        try:
            row[:], width, height = self.guard.decode(file.content)
        except Unreadable as fault:
            raise Unreadable(fault.reason, fault.detail, sha256=file.sha256, size=file.size) from fault
        return LoadedItem(index=index, sha256=file.sha256, size=file.size, width=width, height=height)


def default_threads() -> int:
    """As many threads as this process may use cores: its affinity, or its container's quota if less."""
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_cores(Path("/sys/fs/cgroup/cpu.max"))
    return max(1, min(cores, MAX_THREADS if quota is None else math.ceil(quota), MAX_THREADS))


def cgroup_cores(cpu_max: Path) -> float | None:
    """The cores that a cgroup-v2 `cpu.max` file ("QUOTA PERIOD" in microseconds) grants; None: no limit."""
    try:
        quota, period = cpu_max.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
