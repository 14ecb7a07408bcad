"""How does a part go wrong? Each kind of defect turns a good workpiece into a bad one.

A defect takes a strength from 0 (hardly there) to 1 (plain across the room), which sets its size and its contrast.
It always lies on the part, so that the label is true.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from vision.samples.canvas import Plane, Rng, clouds, smoothstep, stroke
from vision.samples.workpiece import Colour, Workpiece

RUST, OIL, SCALE = (0.60, 0.36, 0.20), (0.30, 0.27, 0.19), (0.24, 0.26, 0.32)


def scratch(rng: Rng, piece: Workpiece, strength: float) -> Workpiece:
    """A groove, slightly bent, tapering at both ends; often with a shorter one beside it."""
    place = piece.place
    half = 0.16 + 0.34 * strength
    row, column = _deep_pixel(rng, piece.face, 0.05)
    cx, cy = float(place.x[row, column]), float(place.y[row, column])
    heading = _roomy_heading(rng, piece, (row, column), half)
    depth = np.zeros_like(place.x)
    for shift, share in [(0.0, 1.0), (rng.uniform(0.05, 0.09), rng.uniform(0.4, 0.7))][: 1 + (rng.random() < 0.4)]:
        cos, sin = float(np.cos(heading)), float(np.sin(heading))
        s = (place.x - cx) * cos + (place.y - cy) * sin
        t = (place.y - cy) * cos - (place.x - cx) * sin - shift
        t -= rng.uniform(-0.25, 0.25) * s * s
        reach = share * half
        width = max(0.007 + 0.013 * strength, 0.6 * place.pixel)
        depth += share * np.exp(-np.square(t * (1 / width))) * (1 - smoothstep(np.abs(s), reach * 0.6, reach))
        heading += rng.uniform(-0.12, 0.12)
    depth *= piece.face < 0.03
    glint = rng.choice([-0.55, 0.75]) * (0.25 + 0.75 * strength)
    return replace(piece, relief=piece.relief - 0.022 * strength * depth, tone=piece.tone * (1 + glint * depth))


def pit(rng: Rng, piece: Workpiece, strength: float) -> Workpiece:
    """One to four dark hollows close together, the first one the largest."""
    place = piece.place
    radius = 0.016 + 0.056 * strength
    cx, cy = _spot(rng, piece, piece.face, 1.5 * radius)
    ragged = radius * (0.20 * clouds(rng, len(place.x), 30) + 0.14 * clouds(rng, len(place.x), 80))
    hollow = np.zeros_like(place.x)
    for i in range(int(rng.integers(1, 5))):
        at = radius if i == 0 else radius * rng.uniform(0.3, 0.6)
        dx = place.x - cx - (0 if i == 0 else rng.uniform(-3, 3) * radius)
        dy = place.y - cy - (0 if i == 0 else rng.uniform(-3, 3) * radius)
        edge = np.sqrt(dx * dx + dy * dy) + ragged
        np.maximum(hollow, 1 - smoothstep(edge, 0.35 * at, 1.2 * at), out=hollow)
    hollow *= piece.face < 0.02
    dark = 1 - (0.35 + 0.45 * strength) * hollow
    return replace(piece, relief=piece.relief - 0.9 * radius * hollow, tone=piece.tone * dark)


def crack(rng: Rng, piece: Workpiece, strength: float) -> Workpiece:
    """A dark, jagged line that starts at an edge and runs inwards, with a branch when it is long."""
    place = piece.place
    size = len(place.x)
    unit = 1 / place.pixel
    row, column = _pixel(rng, np.abs(piece.distance + 1.5 * place.pixel) < place.pixel)
    heading = _inwards(piece.distance, row, column)
    length = (0.22 + 0.50 * strength) * unit
    main = _jagged(rng, (column, row), heading, length)
    lines = [main]
    if strength > 0.4:
        start = main[len(main) // 2]
        lines.append(_jagged(rng, start, heading + rng.choice([-0.7, 0.7]), 0.4 * length))
    width = (0.008 + 0.022 * strength) * unit
    gap = stroke(lines, width, size) * (piece.distance < 0)
    dark = 1 - (0.45 + 0.47 * strength) * gap
    return replace(piece, relief=piece.relief - 0.012 * gap, tone=piece.tone * dark)


def stain(rng: Rng, piece: Workpiece, strength: float) -> Workpiece:
    """Rust, oil or scale: a film with a ragged outline and a darker rim."""
    place = piece.place
    radius = 0.12 + 0.20 * strength
    cx, cy = _spot(rng, piece, piece.face, 0.04)
    dx, dy = place.x - cx, (place.y - cy) * rng.uniform(0.8, 1.4)
    size = len(place.x)
    ragged = 0.20 * clouds(rng, size, 14) + 0.10 * clouds(rng, size, 45)
    edge = np.sqrt(dx * dx + dy * dy) * (1 / radius) + ragged
    film = 1 - smoothstep(edge, 0.5, 1.0)
    rim = film * (1 - film) * 1.6
    film = np.clip((film * (0.85 + 0.5 * ragged) + rim) * (0.18 + 0.74 * strength), 0, 0.95)
    colour: Colour = (RUST, OIL, SCALE)[int(rng.integers(3))]
    return replace(piece, film=film, film_colour=colour)


def chip(rng: Rng, piece: Workpiece, strength: float) -> Workpiece:
    """A missing edge: a bite out of the outline, with a rough slope of broken metal beside it."""
    place = piece.place
    size = len(place.x)
    radius = 0.07 + 0.17 * strength
    row, column = _pixel(rng, np.abs(piece.outline) < 1.5 * place.pixel)
    dx, dy = place.x - place.x[row, column], place.y - place.y[row, column]
    ragged = clouds(rng, size, 22)
    bite = np.sqrt(dx * dx + dy * dy) + radius * 0.18 * ragged - radius
    slope = np.clip(1 - bite * (1 / (0.02 + 0.18 * radius)), 0, 1)
    grain = clouds(rng, size, 90)
    relief = piece.relief - 0.25 * radius * slope - 0.008 * slope * grain
    tone = piece.tone * (1 + slope * (0.18 * grain - 0.12))
    return replace(piece, distance=np.maximum(piece.distance, -bite), relief=relief, tone=tone)


DEFECTS: Mapping[str, Callable[[Rng, Workpiece, float], Workpiece]] = {
    "scratch": scratch,
    "pit": pit,
    "crack": crack,
    "stain": stain,
    "chip": chip,
}


def _spot(rng: Rng, piece: Workpiece, room: Plane, margin: float) -> tuple[float, float]:
    """A point of the part at least `margin` from the edge of `room`, or as far as the part allows."""
    row, column = _deep_pixel(rng, room, margin)
    return float(piece.place.x[row, column]), float(piece.place.y[row, column])


def _deep_pixel(rng: Rng, room: Plane, margin: float) -> tuple[int, int]:
    return _pixel(rng, room < max(-margin, 0.8 * float(room.min())))


def _roomy_heading(rng: Rng, piece: Workpiece, middle: tuple[int, int], half: float) -> float:
    """Of six headings, in part coordinates, the one along which most of a line of 2 `half` lies on the face.

    A long scratch that begins beside a rim would otherwise leave the part, and the label would be hard to defend.
    """
    headings = rng.uniform(0, np.pi, 6)
    along = np.linspace(-half, half, 25) / piece.place.pixel
    last = len(piece.face) - 1
    rows = np.clip(middle[0] + np.outer(np.sin(headings + piece.place.turn), along), 0, last).astype(int)
    columns = np.clip(middle[1] + np.outer(np.cos(headings + piece.place.turn), along), 0, last).astype(int)
    return float(headings[np.argmax((piece.face[rows, columns] < 0).sum(axis=1))])


def _pixel(rng: Rng, allowed: np.ndarray) -> tuple[int, int]:
    choices = np.flatnonzero(allowed)
    row, column = divmod(int(choices[rng.integers(len(choices))]), allowed.shape[1])
    return row, column


def _inwards(distance: Plane, row: int, column: int) -> float:
    """The heading, in the frame, along which the nearest edge is left behind fastest."""
    last = len(distance) - 2
    r, c = min(max(row, 1), last), min(max(column, 1), last)
    down = float(distance[r + 1, c] - distance[r - 1, c])
    across = float(distance[r, c + 1] - distance[r, c - 1])
    return float(np.arctan2(-down, -across))


def _jagged(rng: Rng, start: tuple[float, float], heading: float, length: float) -> list[tuple[float, float]]:
    """A walk of 14 steps that keeps its heading on the whole and never for long."""
    steps = 14
    points = [start]
    for turn in rng.normal(0, 0.55, steps):
        px, py = points[-1]
        step = length / steps * rng.uniform(0.6, 1.4)
        points.append((px + step * float(np.cos(heading + turn)), py + step * float(np.sin(heading + turn))))
        heading += 0.12 * float(turn)
    return points
