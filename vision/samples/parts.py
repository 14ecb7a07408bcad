"""Which kinds of part are there, and what shape has each?

A shape is a distance to its edge (negative inside); shapes join by minimum and cut by maximum.
"""

from collections.abc import Callable, Mapping

import numpy as np

from vision.samples.canvas import Place, Plane, Rng, coverage, smoothstep
from vision.samples.workpiece import (
    ALUMINIUM,
    BRASS,
    CAST_IRON,
    STEEL,
    Finish,
    Metal,
    Workpiece,
    brushed,
    cast,
    milled,
    turned,
)


def flange(rng: Rng, place: Place) -> Workpiece:
    """A turned disc with a raised hub, a bore and a circle of bolt holes."""
    outline = place.radius - 0.96
    bore = rng.uniform(0.20, 0.30)
    hub = bore + rng.uniform(0.14, 0.22)
    holes = _holes_in_a_circle(place, int(rng.integers(4, 9)), 0.74, rng.uniform(0.075, 0.10))
    distance = np.maximum(np.maximum(outline, bore - place.radius), -holes)
    face = np.maximum(distance, 0.04 - np.abs(place.radius - hub))
    relief = 0.07 * (1 - smoothstep(place.radius, hub - 0.02, hub + 0.03))
    return _workpiece(rng, place, turned(rng, place), _any(rng, STEEL, ALUMINIUM), (outline, distance, face, relief))


def gear(rng: Rng, place: Place) -> Workpiece:
    """A spur gear: teeth, a turned-down web between rim and hub, a bore with a keyway."""
    teeth = int(rng.integers(14, 23))
    depth = rng.uniform(0.14, 0.18)
    outline = _toothed(place, teeth, 0.97 - depth, depth)
    bore = rng.uniform(0.17, 0.23)
    keyway = np.maximum(np.abs(place.y) - 0.055, np.abs(place.x - bore) - 0.08)
    hole = np.minimum(place.radius - bore, keyway)
    distance = np.maximum(outline, -hole)
    middle, half = 0.53, rng.uniform(0.12, 0.15)
    web = np.abs(place.radius - middle) - half
    face = np.maximum(distance, 0.03 - np.abs(web))
    relief = -0.08 * (1 - smoothstep(web, -0.03, 0.02))
    return _workpiece(rng, place, turned(rng, place), _any(rng, STEEL, BRASS), (outline, distance, face, relief))


def nut(rng: Rng, place: Place) -> Workpiece:
    """A hexagon nut: rounded corners, a chamfer around them, a threaded bore."""
    sixth = np.pi / 3
    fold = place.angle - sixth * np.round(place.angle * (1 / sixth))
    flat = 0.83
    outline = np.maximum(place.radius * np.cos(fold) - flat, place.radius - 0.955)
    bore = rng.uniform(0.36, 0.44)
    distance = np.maximum(outline, bore - place.radius)
    crown = np.maximum(place.radius - (flat - 0.03), 0)
    thread = np.clip(1 - (place.radius - bore) * (1 / 0.11), 0, 1)
    groove = np.abs(thread * 3 - np.floor(thread * 3) - 0.5)
    relief = -0.45 * crown - np.where(thread > 0, 0.10 * thread + 0.05 * groove, 0)
    face = np.maximum(distance, bore + 0.13 - place.radius)
    finish = turned(rng, place) if rng.random() < 0.5 else milled(rng, place)
    return _workpiece(rng, place, finish, _any(rng, STEEL, BRASS), (outline, distance, face, relief))


def bracket(rng: Rng, place: Place) -> Workpiece:
    """A flat plate with two slots, four corner holes and a middle bore."""
    wide, high = 0.80, rng.uniform(0.46, 0.56)
    ax, ay = np.abs(place.x), np.abs(place.y)
    outline = _rounded(ax, ay, wide, high, 0.10)
    slot_at, slot = rng.uniform(0.40, 0.48), rng.uniform(0.055, 0.075)
    slots = _length(ax - slot_at, np.maximum(ay - high * 0.34, 0)) - slot
    holes = _length(ax - (wide - 0.14), ay - (high - 0.13)) - rng.uniform(0.045, 0.06)
    bore = place.radius - rng.uniform(0.10, 0.17)
    distance = np.maximum(outline, -np.minimum(np.minimum(slots, holes), bore))
    finish = brushed(rng, place) if rng.random() < 0.6 else milled(rng, place)
    flat = np.zeros_like(outline)
    return _workpiece(rng, place, finish, _any(rng, STEEL, ALUMINIUM), (outline, distance, distance, flat))


def bearing(rng: Rng, place: Place) -> Workpiece:
    """A ball bearing seen from the side: outer ring, balls in their race, inner ring."""
    outline = place.radius - 0.96
    bore, middle = rng.uniform(0.34, 0.40), rng.uniform(0.64, 0.67)
    distance = np.maximum(outline, bore - place.radius)
    ball = rng.uniform(0.095, 0.11)
    race = np.abs(place.radius - middle) - ball
    inside = -_holes_in_a_circle(place, int(rng.integers(10, 14)), middle, ball)
    dome = np.sqrt(np.maximum(inside * (2 * ball - inside), 0))
    is_ball, is_race = coverage(-inside, place.pixel), coverage(race, place.pixel)
    relief = 0.8 * dome - 0.14 * (1 - smoothstep(race, -0.05, 0.015))
    finish = turned(rng, place)
    tone = finish.tone * (1 - is_race) + is_race * (0.22 + 0.85 * is_ball)
    calm = 1 - is_race  # a ball is polished: its highlight has no direction
    finish = Finish(tone=tone, lay_x=finish.lay_x * calm, lay_y=finish.lay_y * calm)
    face = np.maximum(distance, 0.02 - race)
    return _workpiece(rng, place, finish, STEEL, (outline, distance, face, relief))


def cover(rng: Rng, place: Place) -> Workpiece:
    """A cast pump cover: an oval with two bolt holes and a boss that was turned flat."""
    big, small, reach = rng.uniform(0.62, 0.70), 0.23, 0.73
    ax = np.abs(place.x)
    outline = _uneven_capsule(ax, place.y, (big, small), reach)
    holes = _length(ax - reach, place.y) - rng.uniform(0.095, 0.12)
    bore = rng.uniform(0.16, 0.24)
    boss = bore + rng.uniform(0.15, 0.20)
    distance = np.maximum(outline, -np.minimum(holes, place.radius - bore))
    face = np.maximum(distance, 0.04 - np.abs(place.radius - boss))
    on_boss = coverage(place.radius - boss, place.pixel)
    relief = 0.08 * (1 - smoothstep(place.radius, boss - 0.01, boss + 0.05))
    rough, smooth = cast(rng, place), turned(rng, place)
    tone = rough.tone + on_boss * (1.25 * smooth.tone - rough.tone)
    finish = Finish(tone=tone, lay_x=smooth.lay_x * on_boss, lay_y=smooth.lay_y * on_boss)
    return _workpiece(rng, place, finish, _any(rng, CAST_IRON, ALUMINIUM), (outline, distance, face, relief))


PARTS: Mapping[str, Callable[[Rng, Place], Workpiece]] = {
    "flange": flange,
    "gear": gear,
    "nut": nut,
    "bracket": bracket,
    "bearing": bearing,
    "cover": cover,
}


def _workpiece(
    rng: Rng, place: Place, finish: Finish, metal: Metal, shape: tuple[Plane, Plane, Plane, Plane]
) -> Workpiece:
    outline, distance, face, relief = shape
    return Workpiece(
        place=place,
        outline=outline,
        distance=distance,
        face=face,
        relief=relief,
        tone=finish.tone,
        lay_x=finish.lay_x,
        lay_y=finish.lay_y,
        metal=metal,
        chamfer=rng.uniform(0.018, 0.032),
    )


def _any(rng: Rng, *metals: Metal) -> Metal:
    return metals[int(rng.integers(len(metals)))]


def _length(dx: Plane, dy: Plane) -> Plane:
    return np.sqrt(dx * dx + dy * dy)


def _holes_in_a_circle(place: Place, count: int, reach: float, hole: float) -> Plane:
    """Distance to the nearest of `count` circles of radius `hole` whose centres lie `reach` from the middle."""
    step = 2 * np.pi / count
    fold = place.angle - step * np.round(place.angle * (1 / step))
    return _length(place.radius * np.cos(fold) - reach, place.radius * np.sin(fold)) - hole


def _rounded(ax: Plane, ay: Plane, wide: float, high: float, corner: float) -> Plane:
    """Distance to a rectangle with round corners, from |x| and |y|."""
    qx, qy = ax - (wide - corner), ay - (high - corner)
    distance: Plane = _length(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - corner
    return distance


def _toothed(place: Place, teeth: int, root: float, depth: float) -> Plane:
    """Distance to a toothed wheel with straight flanks.

    On a flank the radial distance is far longer than the true one; dividing by the flank's slope corrects it.
    """
    phase = place.angle * (teeth / (2 * np.pi))
    off_centre = 2 * np.abs(phase - np.round(phase))  # 0 in the middle of a tooth, 1 in the middle of a gap
    flank = (0.66 - off_centre) * (1 / 0.26)
    radial = place.radius - root - depth * np.clip(flank, 0, 1)
    steep = depth / 0.26 * teeth / np.pi
    slope = np.where((flank > 0) & (flank < 1), np.float32(1 / np.hypot(1, steep)), np.float32(1))
    distance: Plane = radial * slope
    return distance


def _uneven_capsule(ax: Plane, y: Plane, radii: tuple[float, float], reach: float) -> Plane:
    """Distance to the hull of a circle in the middle and a smaller one `reach` beside it, from |x| and y."""
    big, small = radii
    ay = np.abs(y)
    lean = (big - small) / reach
    upright = float(np.sqrt(1 - lean * lean))
    side = upright * ax - lean * ay
    straight = lean * ax + upright * ay - big
    at_small = _length(ax - reach, y) - small
    at_big = _length(ax, y) - big
    return np.where(side < 0, at_big, np.where(side > upright * reach, at_small, straight))
