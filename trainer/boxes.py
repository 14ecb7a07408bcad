"""Which part of a large image shows the defect that a person drew a box around?

A box says that a defect lies inside it, and nothing about what lies outside: people box what they notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.tiling import Tile

SHOWN_WELL = 0.8  # of what is seen of the box in the tile that shows most of it
MARGIN = 0.1  # of a tile's edge: what turning and cropping may take from a drawn place


@dataclass(frozen=True, kw_only=True, order=True)
class Box:
    """A rectangle in an upright picture, in whole pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def showing(tiles: Sequence[Tile], box: Box) -> NDArray[np.intp]:
    """The numbers of the tiles that show the box well: nearly as much of it as any tile does.

    Of a box that is larger than a tile these are all that lie inside it.
    """
    seen = np.array([_common(tile, box) for tile in tiles])
    return np.flatnonzero(seen >= SHOWN_WELL * seen.max())


def _common(tile: Tile, box: Box) -> int:
    """Pixels that both have."""
    across = min(tile.x + tile.width, box.x + box.width) - max(tile.x, box.x)
    down = min(tile.y + tile.height, box.y + box.height) - max(tile.y, box.y)
    return max(0, across) * max(0, down)


def can_be_drawn_around(box: Box, edge: int) -> bool:
    """Does a tile of this edge, wherever it lies on the box, show what the box is about?

    Not of a box that is longer and wider: around a crack from corner to corner most of it is good.
    """
    return min(box.width, box.height) <= edge


def starts_around(begin: int, length: int, edge: int, spare: int) -> tuple[int, int]:
    """From where to where a tile may begin along one side, so that a box of this begin and length is inside it.

    With a margin, where there is room for one. A tile that is shorter than the box lies inside the box. `spare`: the
    last place at which a tile can begin.
    """
    room = edge - length
    margin = min(int(MARGIN * edge), max(0, room) // 2)
    first, last = sorted((begin - room + margin, begin - margin))
    return min(max(first, 0), spare), min(max(last, 0), spare)
