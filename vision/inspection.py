"""What does the model say about these files? The one answer that evaluation and workers share."""

import contextlib
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from vision.decode import DEFAULT_LIMITS, Limits
from vision.guard import Guard
from vision.loader import AnyPath, LoadedBatch, LoadedItem, load_batches
from vision.reading import InspectedFolder
from vision.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """One path's outcome: a score, or the reason why there is none."""

    index: int  # position of the path in the input
    sha256: str | None  # of the file's bytes, if they could be read
    size: int | None  # of the file in bytes, if it could be learnt
    width: int | None  # pixels, upright
    height: int | None
    score: float | None  # P(defective); None if unreadable
    reason: str | None  # code of `vision.faults.Reason`; None if there is a score
    detail: str | None


def score_images(
    paths: Iterable[AnyPath],
    runtime: Runtime,
    *,
    limits: Limits = DEFAULT_LIMITS,
    batch_size: int = 32,
    threads: int | None = None,
    on_image: Callable[[], None] | None = None,
    folder: InspectedFolder | None = None,
    guard: Guard | None = None,
    on_decoded: Callable[[], None] | None = None,
) -> Generator[ImageScore, None, None]:
    """Exactly one `ImageScore` per path, in order; `on_image` is called as each one is handed out.

    `folder`, `guard` and `on_decoded` as for `load_batches`. Raises `StorageTrouble` (try again), `InvalidScore`
    and what `runtime` raises of its device; none is an outcome of a single image.
    """
    batches = load_batches(
        paths,
        preprocessing=runtime.preprocessing,
        limits=limits,
        batch_size=batch_size,
        threads=threads,
        device=runtime.device,
        folder=folder,
        guard=guard,
        on_decoded=on_decoded,
    )
    with contextlib.closing(batches):  # whoever stops early stops the decoding threads too
        for batch in batches:
            for item, score in zip(batch.items, _scores(batch, runtime), strict=True):
                if on_image is not None:
                    on_image()
                yield _outcome(item, score)


def _scores(batch: LoadedBatch, runtime: Runtime) -> list[float]:
    """One number per item; that of an unreadable one means nothing."""
    if all(item.fault for item in batch.items):
        return [math.nan] * len(batch.items)
    scores: list[float] = runtime.score(batch.pixels).tolist()
    return scores


def _outcome(item: LoadedItem, score: float) -> ImageScore:
    fault = item.fault
    return ImageScore(
        index=item.index,
        sha256=item.sha256,
        size=item.size,
        width=item.width,
        height=item.height,
        score=score if fault is None else None,
        reason=None if fault is None else fault.reason.value,
        detail=None if fault is None else fault.detail,
    )
