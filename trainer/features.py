"""What did the frozen layers say of every view, and where is that kept?

Frozen layers say the same of the same pixels in every epoch. With `views` in the recipe each training image is
decoded once, drawn in so many views, and passed through them once; the epochs then take turns on the views and
train what comes behind. View v is what the exact recipe's epoch v would see.

The features are appended to a file, in the order of the images: 2 KiB for each view of an image where only the head
learns, and in half precision what a layer is given (200 KiB before layer3, at 224 pixels). An interruption leaves the
whole batches that were written, and `--resume` goes on behind them. Up to BYTES_IN_MEMORY they are then held in memory;
more are read from the file where they lie.
"""

import errno
import fcntl
import math
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.augmentation import Draw
from trainer.batches import Batch, Source, epoch_order, read_batches, target_of
from trainer.errors import TrainerError
from trainer.progress import OnStep, Step

Kept = NDArray[np.floating[Any]]

BYTES_IN_MEMORY = 512 * 2**20  # about 130,000 images in two views

_SINGLE, _HALF = np.dtype("<f4"), np.dtype("<f2")


class KeptFeatures:
    """The features of all views of the training images: computed where the file lacks them, then read from it."""

    def __init__(self, source: Source, path: Path) -> None:
        """The file at `path` belongs to this recipe, these weights and these images alone: what it holds is used."""
        recipe = source.recipe
        self._source = source
        self._path = path
        # A view that no epoch would use is not computed.
        self._views = tuple(range(1, min(recipe.views, recipe.rounds) + 1))
        self._images = len(source.samples)
        self._shape = source.backbone.shape
        self._number: np.dtype[np.floating[Any]] = _SINGLE if len(self._shape) == 1 else _HALF
        self._image_bytes = len(self._views) * math.prod(self._shape) * self._number.itemsize
        # As many rows as a batch of the exact recipe has.
        self._together = max(1, recipe.batch_size // len(self._views))

    def load(self, on_step: OnStep | None, check: Callable[[], None]) -> Kept:
        """(images, views, features of one), in memory or in the file.

        `check` is called between two batches and may raise. Raises DatasetError where an image changed, and
        TrainerError where the file cannot be written or another training is writing it.
        """
        with self._refusals():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+b")
        with file:
            first = self._reserve(file)
            self._append(file, first, on_step, check)
            return self._read(file)

    def epoch_batches(self, features: Kept, epochs: range) -> Generator[Batch, None, None]:
        """The batches of all these epochs, of the images that the exact recipe's batches would have."""
        device = self._source.backbone.device
        targets = torch.tensor([target_of(sample) for sample in self._source.samples])
        for epoch in epochs:
            view = (epoch - 1) % len(self._views)
            for numbers in epoch_order(self._source.recipe, self._images, epoch):
                rows = torch.from_numpy(features[numbers, view])
                if rows.ndim == 4:
                    rows = rows.contiguous(memory_format=torch.channels_last)
                yield Batch(features=rows.to(device).float(), targets=targets[numbers].to(device))

    def _reserve(self, file: BinaryIO) -> int:
        """Hold the file for this training alone, with room for what it lacks; the number of the first image it lacks.

        What a batch gives depends, in the last bit, on its rows: of a former run only whole batches count.
        """
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainerError(f"The same training is running already: it is writing {self._path}.") from None
        except OSError:
            pass  # a file system without locks
        with self._refusals():
            there = os.fstat(file.fileno()).st_size // self._image_bytes
            first = self._images if there >= self._images else there - there % self._together
            file.truncate(first * self._image_bytes)
            if (self._images - first) * self._image_bytes > shutil.disk_usage(self._path.parent).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return first

    def _append(self, file: BinaryIO, first: int, on_step: OnStep | None, check: Callable[[], None]) -> None:
        starts = range(first, self._images, self._together)
        total = math.ceil(self._images / self._together)
        draws = (
            [Draw(image=number, views=self._views) for number in range(self._images)[start : start + self._together]]
            for start in starts
        )
        with closing(read_batches(self._source, draws)) as batches:
            for number, batch in enumerate(batches, start=total - len(starts) + 1):
                with self._refusals():
                    file.write(batch.features.cpu().numpy().astype(self._number, copy=False).tobytes())
                    file.flush()
                if on_step is not None:
                    on_step(Step(epoch=0, epochs=self._source.recipe.rounds, batch=number, batches=total))
                check()
        with self._refusals():
            os.fsync(file.fileno())

    def _read(self, file: BinaryIO) -> Kept:
        shape = (self._images, len(self._views), *self._shape)
        if self._images * self._image_bytes > BYTES_IN_MEMORY:
            return np.memmap(file, dtype=self._number, mode="r", shape=shape)
        file.seek(0)
        return np.fromfile(file, dtype=self._number, count=math.prod(shape)).reshape(shape)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Within, what the file system refuses is one sentence."""
        try:
            yield
        except OSError as error:
            raise TrainerError(
                f"{self._path} cannot be written ({error.strerror or error}). The features of {len(self._views)} "
                f"views take {self._images * self._image_bytes / 2**20:.0f} MiB; --views 0 keeps none."
            ) from error
