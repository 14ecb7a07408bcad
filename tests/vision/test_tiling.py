"""Is every pixel looked at, by tiles that overlap as they should, and by no more of them than that takes?"""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vision.tiling import Tile, count_tiles, tiles

sides = st.integers(1, 300)
edges = st.integers(20, 200)
overlaps = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])


@given(sides, sides, edges, overlaps)
def test_tiles_lie_within_the_picture_and_leave_no_pixel_out(
    width: int, height: int, edge: int, overlap: float
) -> None:
    found = list(tiles(width, height, edge, overlap))
    assert len(found) == len(set(found)) == count_tiles(width, height, edge, overlap)
    for tile in found:
        assert 0 <= tile.x <= tile.x + tile.width <= width
        assert 0 <= tile.y <= tile.y + tile.height <= height
        assert (tile.width, tile.height) == (min(edge, width), min(edge, height))
    columns = {at for start, wide in {(tile.x, tile.width) for tile in found} for at in range(start, start + wide)}
    rows = {at for start, high in {(tile.y, tile.height) for tile in found} for at in range(start, start + high)}
    assert (columns, rows) == (set(range(width)), set(range(height)))


@given(sides, edges, overlaps)
def test_neighbours_overlap_as_asked_and_one_tile_less_would_not(length: int, edge: int, overlap: float) -> None:
    starts = [tile.x for tile in tiles(length, 1, edge, overlap)]
    stride = max(1, math.floor(edge * (1 - overlap)))
    assert all(after - before <= stride for before, after in pairwise(starts))
    assert len(starts) < 2 or (len(starts) - 2) * stride < length - edge


def test_twelve_megapixels_are_so_many_tiles() -> None:
    found = list(tiles(4000, 3000, 448, 0.25))
    assert (len(found), found[0]) == (12 * 9, Tile(x=0, y=0, width=448, height=448))
    assert found[-1] == Tile(x=4000 - 448, y=3000 - 448, width=448, height=448)


def test_a_picture_smaller_than_a_tile_is_looked_at_whole() -> None:
    assert list(tiles(300, 200, 448, 0.25)) == [Tile(x=0, y=0, width=300, height=200)]
    assert [tile.x for tile in tiles(900, 200, 448, 0.25)] == [0, 226, 452]
