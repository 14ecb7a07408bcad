"""What is a machined part, before anybody photographs it? Its outline, relief, finish and metal.

`Workpiece` is what the part kinds make, what the defects change and what the camera sees.
"""

from dataclasses import dataclass

import numpy as np

from vision.samples.canvas import Place, Plane, Rng, along, clouds, profile

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Metal:
    """What the part is made of."""

    tint: Colour  # multiplies brightness; the three average about 1
    brightness: float  # share of the diffuse light thrown back
    gloss: float  # strength of the highlight


STEEL = Metal(tint=(0.97, 1.0, 1.03), brightness=0.50, gloss=0.46)
ALUMINIUM = Metal(tint=(1.0, 1.0, 1.0), brightness=0.55, gloss=0.35)
CAST_IRON = Metal(tint=(1.0, 0.99, 0.98), brightness=0.37, gloss=0.22)
BRASS = Metal(tint=(1.12, 1.0, 0.76), brightness=0.54, gloss=0.42)


@dataclass(frozen=True, kw_only=True)
class Finish:
    """What the tool left behind: planes of (size, size)."""

    tone: Plane  # around 1: multiplies the brightness
    lay_x: Plane | float  # direction of the tool marks, in part coordinates; (0, 0) where there is none
    lay_y: Plane | float


@dataclass(frozen=True, kw_only=True)
class Workpiece:
    """Distances are negative inside; all lengths are in part units."""

    place: Place
    outline: Plane  # distance to the outer edge, holes ignored
    distance: Plane  # distance to the nearest edge, holes included
    face: Plane  # negative on metal wide enough for a defect to be seen
    relief: Plane  # height of the surface
    tone: Plane  # around 1: the finish, and whatever darkens or brightens the surface
    lay_x: Plane | float
    lay_y: Plane | float
    metal: Metal
    chamfer: float  # width of the broken edge
    film: Plane | None = None  # 0 to 1: how much of `film_colour` lies on the surface
    film_colour: Colour = (1.0, 1.0, 1.0)


def turned(rng: Rng, place: Place) -> Finish:
    """A lathe's rings around the centre."""
    rings = along(profile(rng, int(rng.integers(45, 75))), place.radius * 0.8)
    inverse = 1 / np.maximum(place.radius, 1e-3)
    tone = 1 + rng.uniform(0.03, 0.07) * rings
    return Finish(tone=tone, lay_x=-place.y * inverse, lay_y=place.x * inverse)


def brushed(rng: Rng, place: Place) -> Finish:
    """Straight lines along x, each shorter than the part."""
    table = profile(rng, int(rng.integers(70, 110)))
    second = profile(rng, int(rng.integers(70, 110)))
    across = place.y * 0.4 + 0.5
    tone = 1 + rng.uniform(0.03, 0.06) * (along(table, across) + place.x * along(second, across))
    return Finish(tone=tone, lay_x=1.0, lay_y=0.0)


def milled(rng: Rng, place: Place) -> Finish:
    """The arcs of a face mill whose centre passed beside the part."""
    dx, dy = place.x - rng.uniform(1.2, 1.8), place.y - rng.uniform(-0.4, 0.4)
    reach = np.sqrt(dx * dx + dy * dy)
    tone = 1 + rng.uniform(0.03, 0.06) * along(profile(rng, int(rng.integers(60, 90))), reach * 0.33)
    return Finish(tone=tone, lay_x=-dy / reach, lay_y=dx / reach)


def cast(rng: Rng, place: Place) -> Finish:
    """The grain of a sand mould: no direction, coarse over fine."""
    size = len(place.x)
    grain = 0.7 * clouds(rng, size, 110) + 0.5 * clouds(rng, size, 40)
    return Finish(tone=1 + rng.uniform(0.07, 0.11) * grain, lay_x=0.0, lay_y=0.0)
