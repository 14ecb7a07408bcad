"""Which points does a chart draw: bins of scores, the ROC curve, the precision-recall curve?

Positive = defective, score = P(defective); predicted defective from a threshold on (score >= threshold).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

BINS = 50  # over the whole range of a score
_MOST_POINTS = 600  # of a curve: finer than a screen shows, whatever the number of images
_CHUNK = 65_536  # scores in memory at a time

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Rates at falling thresholds, all of one length, from "nothing is predicted defective" to "everything is"."""

    recall: Floats  # found / defective
    false_alarm_rate: Floats  # good ones predicted defective / good
    precision: Floats  # found / predicted defective; 1 where nothing is predicted


def bin_edges(*limits: float) -> Floats:
    """Edges from 0 to 1 of about BINS bins, such that no bin lies on both sides of a limit."""
    stops = sorted({0.0, *limits, 1.0})
    parts = [
        np.linspace(low, high, max(1, round((high - low) * BINS)), endpoint=False) for low, high in pairwise(stops)
    ]
    return np.concatenate([*parts, np.ones(1)])


def count_scores(scores: Iterable[float], edges: Floats) -> Counts:
    """How many scores fall into each bin [edge, next edge); the last bin includes 1. Streams."""
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    for chunk in _chunks(scores):
        counts += np.histogram(chunk, bins=edges)[0]
    return counts


def _chunks(scores: Iterable[float]) -> Iterator[Floats]:
    source = iter(scores)
    while (chunk := np.fromiter(islice(source, _CHUNK), dtype=np.float64)).size:
        yield chunk


def curves(defective: Floats, good: Floats) -> Curves | None:
    """The ROC and precision-recall points of the scores of both classes; None where one of them is empty.

    Fawcett 2006, "An introduction to ROC analysis": one point per distinct score, taken from the highest down.
    """
    if not defective.size or not good.size:
        return None
    thresholds = np.unique(np.concatenate([defective, good]))[::-1]
    found = _at_least(defective, thresholds)
    alarms = _at_least(good, thresholds)
    keep = _spread(len(thresholds))
    found, alarms = found[keep], alarms[keep]
    precision = found / (found + alarms)
    return Curves(
        recall=np.concatenate([[0.0], found / defective.size]),
        false_alarm_rate=np.concatenate([[0.0], alarms / good.size]),
        precision=np.concatenate([[1.0], precision]),
    )


def _at_least(scores: Floats, thresholds: Floats) -> Counts:
    return scores.size - np.searchsorted(np.sort(scores), thresholds, side="left")


def _spread(points: int) -> NDArray[np.int64]:
    """Indices of at most _MOST_POINTS of them, the first and the last among them."""
    return np.unique(np.linspace(0, points - 1, min(points, _MOST_POINTS)).round().astype(np.int64))
