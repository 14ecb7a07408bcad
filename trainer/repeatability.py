"""Would the model say the same of the same part, looked at again?

A repeatability study, as of a gauge: one appraiser, which is the model, and every photograph several times. First
nothing is changed, then what should not matter: the company in a batch, the runtime, a pixel, a little light. What
comes of it is compared with the base: the runtime that scans use, as many images at a time as it likes. Of a model that
looks at tiles all of a picture's tiles are asked about under every condition, and the worst one decides, as in a scan.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.bounds import Bounds, exact_bounds
from trainer.errors import DatasetError
from vision.decode import DEFAULT_LIMITS, Decoded, Limits, read_image
from vision.faults import StorageTrouble, Unreadable
from vision.perturbation import PERTURBATIONS, Change
from vision.preprocessing import Preprocessing
from vision.runtime import Runtime

REPEATS = 2
BATCH_SIZES = (1, 8, 32)

_NOTHING = ""  # the condition in which nothing is changed

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
    together = max(BATCH_SIZES) if base.preprocessing.tile is None else 1  # decoded pictures in memory: tiled are large
    for some in iter(lambda: list(islice(looks, together)), []):
        images += len(some)
        for name, found in _answers(some, base, others):
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
    paths: Sequence[Path], preprocessing: Preprocessing, limits: Limits, on_image: Callable[[], None]
) -> Iterator[Decoded]:
    """Each picture that can be read."""
    for path in paths:
        try:
            picture = read_image(path, limits, edge=preprocessing.edge)
        except Unreadable:
            continue
        except StorageTrouble as trouble:
            raise DatasetError(f"{path} cannot be read just now: {trouble}. Try again.") from trouble
        finally:
            on_image()
        yield picture


def _answers(looks: Sequence[Decoded], base: Runtime, others: Mapping[str, Runtime]) -> Iterator[tuple[str, Floats]]:
    """(the condition's name, the pictures' scores); first the base's."""
    yield _NOTHING, _scored(base, looks, base.batch_size)
    for number in range(1, REPEATS + 1):
        yield f"repeat {number}", _scored(base, looks, base.batch_size)
    for size in BATCH_SIZES:
        yield f"batches of {size}", _scored(base, looks, size)
    for name, runtime in others.items():
        yield name, _scored(runtime, looks, runtime.batch_size)
    for name, change in PERTURBATIONS.items():
        yield name, _scored(base, looks, base.batch_size, change)


def _scored(runtime: Runtime, looks: Sequence[Decoded], together: int, change: Change = lambda image: image) -> Floats:
    """The pictures' scores: of each the worst of what the network looks at, so many squares at a time."""
    squares = (
        (at, square)
        for at, look in enumerate(looks)
        for square in runtime.preprocessing.squares(change(look.image), (look.width, look.height))
    )
    worst = np.zeros(len(looks))
    for some in iter(lambda: list(islice(squares, together)), []):
        places = [at for at, _ in some]
        np.maximum.at(worst, places, runtime.score(np.stack([square for _, square in some])).scores)
    return worst


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
