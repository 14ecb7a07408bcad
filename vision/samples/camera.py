"""How does a workpiece become a photograph? Bench, light, shadow, lens and sensor.

The highlight follows microfacet slopes (Ward 1992, in slope space): tool marks spread it across their direction and
keep it narrow along them, which is what gives turned faces their bow-tie shine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vision.samples.canvas import Plane, Rng, clouds, coverage, frame, slopes
from vision.samples.workpiece import Colour, Workpiece

BENCHES: tuple[Colour, ...] = ((1.0, 1.0, 1.0), (0.97, 1.0, 1.03), (1.03, 1.0, 0.96), (0.98, 1.015, 0.99))


@dataclass(frozen=True, kw_only=True)
class Light:
    """Towards the lamp, as a unit vector (right, down, up), and how strong it is."""

    x: float
    y: float
    z: float
    ambient: float
    strength: float


def photograph(rng: Rng, piece: Workpiece, scene: Rng) -> NDArray[np.uint8]:
    """The workpiece as seen from above, (size, size, 3). `scene` decides lamp and bench, `rng` the exposure."""
    size = len(piece.relief)
    light = _lamp(scene)
    inside = coverage(piece.distance, piece.place.pixel)
    lit = _metal(rng, piece, light)
    bench = _bench(scene, size) * _shadow(rng, inside, light)
    tint = BENCHES[int(scene.integers(len(BENCHES)))]
    falloff = _falloff(rng, size, light)
    inside = inside * falloff
    outside = bench * falloff - bench * inside
    planes: list[Plane] = []
    for channel in range(3):
        metal = lit * piece.metal.tint[channel]
        if piece.film is not None:
            metal += piece.film * (piece.film_colour[channel] * (0.22 + 1.1 * lit) - metal)
        metal *= inside
        planes.append(metal + outside * tint[channel])
    return _develop(rng, planes)


def _lamp(rng: Rng) -> Light:
    azimuth, tilt = rng.uniform(-np.pi, np.pi), rng.uniform(0.55, 0.85)
    return Light(
        x=float(np.sin(tilt) * np.cos(azimuth)),
        y=float(np.sin(tilt) * np.sin(azimuth)),
        z=float(np.cos(tilt)),
        ambient=rng.uniform(0.34, 0.44),
        strength=rng.uniform(0.78, 0.95),
    )


def _metal(rng: Rng, piece: Workpiece, light: Light) -> Plane:
    """Brightness of the lit metal: diffuse light by Lambert's law, and the highlight."""
    chamfered = piece.relief - np.maximum(piece.distance + piece.chamfer, 0)
    gx, gy = slopes(np.maximum(chamfered, piece.relief - piece.chamfer), piece.place.pixel)
    upright = 1 / np.sqrt(1 + gx * gx + gy * gy)
    diffuse = np.maximum((light.z - light.x * gx - light.y * gy) * upright, 0)
    lit = piece.tone * (light.ambient + light.strength * diffuse) * piece.metal.brightness
    shine = _highlight(piece, light, gx, gy)
    return lit + piece.metal.gloss * rng.uniform(0.7, 1.1) * shine * piece.tone * piece.tone


def _highlight(piece: Workpiece, light: Light, gx: Plane, gy: Plane) -> Plane:
    u, v = frame(len(gx))
    # The camera stands 4 half-frames above, so the mirror direction drifts over the frame.
    qx = gx + (light.x / (1 + light.z) - 0.18 * u)
    qy = gy + (light.y / (1 + light.z) - 0.18 * v)
    cos, sin = float(np.cos(piece.place.turn)), float(np.sin(piece.place.turn))
    # The mirror direction is turned into the part, not the lay out of it: the lay is often a plain number.
    lengthwise = (qx * cos + qy * sin) * piece.lay_x
    lengthwise += (qy * cos - qx * sin) * piece.lay_y
    narrow, wide = 0.16, 0.42
    lengthwise *= lengthwise
    lengthwise *= 1 / wide**2 - 1 / narrow**2
    qx *= qx
    qy *= qy
    qx += qy
    qx *= 1 / wide**2
    lengthwise -= qx
    return np.exp(lengthwise, out=lengthwise)


def _bench(rng: Rng, size: int) -> Plane:
    """A grey bench, mottled, or a conveyor belt with a faint weave."""
    ground = rng.uniform(0.24, 0.46) * (1 + 0.04 * clouds(rng, size, 6))
    if rng.random() < 0.5:
        u, v = frame(size)
        turn = rng.uniform(-np.pi, np.pi)
        ribs = np.sin((u * float(np.cos(turn)) + v * float(np.sin(turn))) * rng.uniform(50, 80))
        ground *= 1 + 0.03 * ribs
    return ground


def _shadow(rng: Rng, inside: Plane, light: Light) -> Plane:
    """What is left of the light beside the part and in its holes: 0.4 to 1.

    Blurred at a quarter of the size, because a shadow has no detail to lose.
    """
    size = len(inside)
    mask = Image.fromarray((inside * 255).astype(np.uint8))
    small = mask.resize((max(size // 4, 1),) * 2, Image.Resampling.BOX)
    reach = rng.uniform(0.03, 0.055) * size / light.z / 4

    def cast_shadow(far: float, blur: float) -> Plane:
        moved = small.transform(small.size, Image.Transform.AFFINE, (1, 0, light.x * far, 0, 1, light.y * far))
        soft = moved.filter(ImageFilter.GaussianBlur(blur)).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(soft, dtype=np.float32) * (1 / 255)

    blur = max(size / 320, 0.3)
    shade: Plane = (1 - 0.45 * cast_shadow(reach, 1.1 * blur)) * (1 - 0.30 * cast_shadow(0.3 * reach, 3.0 * blur))
    return shade


def _falloff(rng: Rng, size: int, light: Light) -> Plane:
    """Nearer the lamp is brighter; the lens darkens the corners; no two exposures are the same."""
    u, v = frame(size)
    exposure = rng.uniform(0.92, 1.08)
    towards = rng.uniform(0.08, 0.2)
    lens = rng.uniform(0.04, 0.11)
    lamp = 1 + towards * light.x * u + towards * light.y * v
    return lamp * (exposure - exposure * lens * (u * u + v * v))


def _develop(rng: Rng, planes: list[Plane]) -> NDArray[np.uint8]:
    """White balance, tone curve, noise of the sensor, eight bits, and the slight blur of lens and demosaicing."""
    size = len(planes[0])
    noise = rng.standard_normal((size, size), dtype=np.float32)
    noise *= rng.uniform(2.0, 4.5)  # grey levels, before the blur takes about half of it
    bands = []
    for plane in planes:
        gain = 255 * rng.uniform(0.985, 1.015)
        bright = plane * (-0.32 * gain)
        bright += 1.24 * gain
        bright *= plane
        bright += noise
        np.clip(bright, 0, 255, out=bright)
        bands.append(Image.fromarray(bright.astype(np.uint8)))
    # A box that reaches r < 1 into the neighbours weighs them r : 1 : r, and costs a third of a Gaussian.
    blur = ImageFilter.BoxBlur(rng.uniform(0.16, 0.46))
    return np.asarray(Image.merge("RGB", [band.filter(blur) for band in bands]))
