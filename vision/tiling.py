"""Which parts of a large image does a network look at, one after the other?

Squares of one size, in rows and columns that are evenly spread from edge to edge, and that overlap: what lies on the
border of one tile lies inside its neighbour. An image that is smaller than a tile, in one direction or in both, is
looked at whole in that direction.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of an upright picture, in pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def tiles(width: int, height: int, edge: int, overlap: float) -> Iterator[Tile]:
    """The tiles of a picture, row by row; neighbours share at least `overlap` (0 <= overlap < 1) of their edge."""
    for y in _starts(height, edge, overlap):
        for x in _starts(width, edge, overlap):
            yield Tile(x=x, y=y, width=min(edge, width), height=min(edge, height))


def count_tiles(width: int, height: int, edge: int, overlap: float) -> int:
    """How many there are."""
    return len(_starts(width, edge, overlap)) * len(_starts(height, edge, overlap))


def _starts(length: int, edge: int, overlap: float) -> list[int]:
    """Where tiles begin along one side: as few as the overlap allows."""
    spare = length - edge
    if spare <= 0:
        return [0]
    stride = max(1, math.floor(edge * (1 - overlap)))
    steps = math.ceil(spare / stride)
    return [spare * step // steps for step in range(steps + 1)]
