"""What is everything drawn on and with? Planes of float32, one value per pixel.

Lengths are in two units: the frame runs from -1 to 1 in both directions (y down); a part's own coordinates are
turned, moved and scaled so that the part reaches about 1 from its centre.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Plane = NDArray[np.floating[Any]]
Rng = np.random.Generator

TABLE_LENGTH = 1024  # entries of a texture profile: finer than a pixel up to frames 700 pixels wide


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the part lies: its own coordinates at every pixel, each (size, size)."""

    x: Plane
    y: Plane
    radius: Plane
    angle: Plane  # radians, -pi to pi
    pixel: float  # width of one pixel in part units
    turn: float  # radians from the frame's x axis to the part's


@lru_cache(maxsize=4)
def frame(size: int) -> tuple[Plane, Plane]:
    """The frame's coordinates (x, y), shared between all images of one size and therefore read-only."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = (np.ascontiguousarray(plane) for plane in np.meshgrid(line, line))
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def lay_down(rng: Rng, size: int, play: Rng | None = None) -> Place:
    """Put a part on the bench: any rotation, some room at the edges, never cut off by the frame.

    `play` is for a fixture: it moves the part a little from where `rng` puts it.
    """
    scale = rng.uniform(0.66, 0.82)
    room = 0.92 - scale
    turn = rng.uniform(-np.pi, np.pi)
    across, down = rng.uniform(-room, room, 2)
    if play is not None:
        turn += play.uniform(-0.03, 0.03)  # radians: a fixture holds to about two degrees
        across, down = across + play.uniform(-0.01, 0.01), down + play.uniform(-0.01, 0.01)
    u, v = frame(size)
    u = u - np.float32(across)
    v = v - np.float32(down)
    cos, sin = float(np.cos(turn)) / scale, float(np.sin(turn)) / scale
    x, y = u * cos + v * sin, v * cos - u * sin
    radius = np.sqrt(x * x + y * y)
    return Place(x=x, y=y, radius=radius, angle=np.arctan2(y, x), pixel=2 / (size * scale), turn=turn)


def smoothstep(plane: Plane, low: float, high: float) -> Plane:
    """0 up to `low`, 1 from `high` on, and a soft S between them."""
    t: Plane = np.clip((plane - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def coverage(distance: Plane, pixel: float) -> Plane:
    """How much of each pixel lies inside (distance below 0): 0 to 1, which keeps edges free of stairs."""
    share: Plane = np.clip(0.5 - distance * (1 / pixel), 0, 1)
    return share


def enlarge(coarse: Plane, size: int) -> Plane:
    """A coarse plane stretched smoothly to (size, size)."""
    image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def clouds(rng: Rng, size: int, cells: int) -> Plane:
    """Smooth noise about 0 with a spread near 1; `cells` bumps fit side by side."""
    cells = min(cells, size)
    return enlarge(rng.standard_normal((cells, cells), dtype=np.float32), size)


def profile(rng: Rng, ridges: int) -> Plane:
    """A random profile of TABLE_LENGTH values, smooth over TABLE_LENGTH / ridges of them: tool marks in section."""
    knots = rng.standard_normal(ridges + 1)
    at = np.linspace(0, ridges, TABLE_LENGTH)
    return np.interp(at, np.arange(ridges + 1), knots).astype(np.float32)


def along(table: Plane, position: Plane) -> Plane:
    """Values of a profile where `position` runs from 0 (its start) to 1 (its end); clipped outside."""
    index = np.clip(position * (len(table) - 1), 0, len(table) - 1).astype(np.int32)
    return table.take(index)


def slopes(height: Plane, pixel: float) -> tuple[Plane, Plane]:
    """The rise of `height` per unit of length, towards the frame's right and towards its bottom."""
    across, down = np.empty_like(height), np.empty_like(height)
    half = 0.5 / pixel
    np.subtract(height[:, 2:], height[:, :-2], out=across[:, 1:-1])
    np.subtract(height[2:], height[:-2], out=down[1:-1])
    across[:, 0] = across[:, -1] = 0
    down[0] = down[-1] = 0
    across *= half
    down *= half
    return across, down


def stroke(lines: list[list[tuple[float, float]]], width: float, size: int) -> Plane:
    """Broken lines through pixel coordinates as coverage 0 to 1: `width` pixels wide at first, a third at the end.

    Drawn four times as large and averaged down, because Pillow's own lines have stairs.
    """
    fine = 4
    image = Image.new("L", (size * fine, size * fine))
    pen = ImageDraw.Draw(image)
    for line in lines:
        corners = [(px * fine, py * fine) for px, py in line]
        for i, piece in enumerate(pairwise(corners)):
            wide = width * fine * (1 - 0.67 * i / len(line))
            pen.line(piece, 255, max(1, round(wide)))
            px, py = piece[1]
            pen.ellipse((px - wide / 2, py - wide / 2, px + wide / 2, py + wide / 2), 255)
    return np.asarray(image.reduce(fine), dtype=np.float32) * (1 / 255)
