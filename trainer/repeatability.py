"""Would the model say the same of the same part, looked at again?

A repeatability study, as of a gauge: one appraiser, which is the model, and every photograph several times. First
nothing is changed, then what should not matter: the company in a batch, the runtime, a pixel, a little light. What
comes of it is compared with the base: the runtime that scans use, as many images at a time as it likes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.bounds import Bounds, exact_bounds
from trainer.errors import DatasetError
from vision.decode import DEFAULT_LIMITS, Limits, read_image
from vision.faults import StorageTrouble, Unreadable
from vision.perturbation import PERTURBATIONS
from vision.preprocessing import Preprocessing
from vision.runtime import Pixels, Runtime

REPEATS = 2
BATCH_SIZES = (1, 8, 32)

_TOGETHER = max(BATCH_SIZES)  # pictures whose pixels are in memory, scaled
_NOTHING = ""  # the perturbation that is none

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How the model's answers differ from the base under one change."""

    name: str
    images: int
    flipped: int  # images with another verdict
    flipped_share: float
    bounds: Bounds  # of that share, exact, 95%
    largest_difference: float  # of an image's two scores
    p95_difference: float  # the 95th percentile of these


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study found."""

    images: int
    unreadable: int
    conditions: tuple[Condition, ...]


def study(
    paths: Sequence[Path],
    base: Runtime,
    others: Mapping[str, Runtime],
    *,
    pass_below: float,
    fail_from: float,
    limits: Limits = DEFAULT_LIMITS,
    on_image: Callable[[], None] = lambda: None,
) -> Study:
    """Look at every picture under every condition; `others` are further runtimes of the same model, by name.

    Raises DatasetError where no picture can be read, and what a runtime raises of its device.
    """
    scores: dict[str, list[Floats]] = {}
    images = 0
    looks = _looks(paths, base.preprocessing, limits, on_image)
    for some in iter(lambda: list(islice(looks, _TOGETHER)), []):
        images += len(some)
        pixels = {name: np.stack([look[name] for look in some]) for name in some[0]}
        for name, found in _answers(pixels, base, others):
            scores.setdefault(name, []).append(found)
    if not images:
        raise DatasetError("None of these pictures can be read: nothing to study.")
    joined = {name: np.concatenate(parts) for name, parts in scores.items()}
    expected = joined.pop(_NOTHING)
    ends = np.array([pass_below, fail_from])
    return Study(
        images=images,
        unreadable=len(paths) - images,
        conditions=tuple(_condition(name, expected, found, ends) for name, found in joined.items()),
    )


def _looks(
    paths: Iterable[Path], preprocessing: Preprocessing, limits: Limits, on_image: Callable[[], None]
) -> Iterator[dict[str, Pixels]]:
    """Of each picture that can be read what the network is given, by perturbation."""
    for path in paths:
        try:
            picture = read_image(path, limits, edge=preprocessing.edge)
        except Unreadable:
            continue
        except StorageTrouble as trouble:
            raise DatasetError(f"{path} cannot be read just now: {trouble}. Try again.") from trouble
        finally:
            on_image()
        size = (picture.width, picture.height)
        changed = {name: preprocessing.apply(change(picture.image), size) for name, change in PERTURBATIONS.items()}
        yield {_NOTHING: preprocessing.apply(picture.image, size), **changed}


def _answers(
    pixels: Mapping[str, Pixels], base: Runtime, others: Mapping[str, Runtime]
) -> Iterator[tuple[str, Floats]]:
    """(the condition's name, the pictures' scores); first the base's."""
    unchanged = pixels[_NOTHING]
    yield _NOTHING, _scored(base, unchanged, base.batch_size)
    for number in range(1, REPEATS + 1):
        yield f"repeat {number}", _scored(base, unchanged, base.batch_size)
    for size in BATCH_SIZES:
        yield f"batches of {size}", _scored(base, unchanged, size)
    for name, runtime in others.items():
        yield name, _scored(runtime, unchanged, runtime.batch_size)
    for name in PERTURBATIONS:
        yield name, _scored(base, pixels[name], base.batch_size)


def _scored(runtime: Runtime, pixels: Pixels, together: int) -> Floats:
    starts = range(0, len(pixels), together)
    parts = [runtime.score(np.ascontiguousarray(pixels[at : at + together])).scores for at in starts]
    return np.concatenate(parts).astype(np.float64)


def _condition(name: str, expected: Floats, found: Floats, limits: Floats) -> Condition:
    differences = np.abs(found - expected)
    flipped = int((np.digitize(found, limits) != np.digitize(expected, limits)).sum())
    return Condition(
        name=name,
        images=len(expected),
        flipped=flipped,
        flipped_share=flipped / len(expected),
        bounds=exact_bounds(flipped, len(expected)),
        largest_difference=float(differences.max()),
        p95_difference=float(np.quantile(differences, 0.95)),
    )
