"""What is on photograph number `index` of the series `seed`? Its part, its label and its pixels.

Of every three photographs in a row exactly one is defective, at a place that the seed decides: any stretch of the
series is balanced, and still each photograph follows from (seed, index) alone.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vision.samples.camera import photograph
from vision.samples.canvas import Rng, clouds, lay_down
from vision.samples.defects import DEFECTS
from vision.samples.parts import PARTS
from vision.samples.workpiece import Workpiece

DEFECTIVE, OK = "defective", "ok"
BLOCK = 3  # photographs that share one defective among them

# severity: (share of the defects, weakest and strongest strength)
SEVERITIES = {"obvious": (0.60, 0.70, 1.0), "medium": (0.25, 0.40, 0.55), "faint": (0.15, 0.10, 0.25)}

SMALLEST_SIZE = 32  # pixels: below this a hole is narrower than a pixel and there is nowhere to put a defect


@dataclass(frozen=True, kw_only=True, eq=False)  # arrays do not compare to one truth value
class Photograph:
    """A drawn photograph and the truth about it."""

    pixels: NDArray[np.uint8]  # (size, size, 3), red green blue
    label: str  # DEFECTIVE or OK
    part: str  # a key of PARTS
    defect: str  # a key of DEFECTS; empty when the part is good
    severity: str  # a key of SEVERITIES; empty when the part is good
    jpeg_quality: int  # 88 to 95: what the camera would have stored it with


def draw_photograph(
    seed: int, index: int, size: int = 320, *, station: bool = False, severity: str | None = None
) -> Photograph:
    """Draw photograph `index` (0, 1, 2, …) of the series `seed`; the same arguments give the same pixels.

    At a `station` one product lies in a fixture under one lamp, as at the end of a line: what differs from one
    photograph to the next is the part's play, its finish, dust, exposure, noise, and the defects.
    `severity`: one of SEVERITIES, for all defects; None: each has its own.

    Raises ValueError when `seed` or `index` is negative or `size` is below 32 pixels.
    """
    if seed < 0 or index < 0 or size < SMALLEST_SIZE:
        raise ValueError(f"seed and index must be 0 or more and size at least {SMALLEST_SIZE} pixels")
    rng = np.random.default_rng([seed, index])
    # The second number is beyond every index, so that this stream is no photograph's.
    scene = np.random.default_rng([seed, 2**63]) if station else rng
    part = str(scene.choice(list(PARTS)))
    piece = PARTS[part](scene, lay_down(scene, size, rng if station else None))
    piece = _handled(rng, piece)
    defect = ""
    if is_defective(seed, index):
        defect = str(rng.choice(list(DEFECTS)))
        severity = severity or _drawn_severity(rng)
        piece = DEFECTS[defect](rng, piece, rng.uniform(*SEVERITIES[severity][1:]))
    return Photograph(
        pixels=photograph(rng, piece, scene),
        label=DEFECTIVE if defect else OK,
        part=part,
        defect=defect,
        severity=(severity or "") if defect else "",
        jpeg_quality=int(rng.integers(88, 96)),
    )


def is_defective(seed: int, index: int) -> bool:
    """Whether photograph `index` of the series `seed` shows a defect."""
    block, position = divmod(index, BLOCK)
    # The third number sets this stream apart from that of photograph `block`.
    return position == int(np.random.default_rng([seed, block, BLOCK]).integers(BLOCK))


def _drawn_severity(rng: Rng) -> str:
    return str(rng.choice(list(SEVERITIES), p=[share for share, _, _ in SEVERITIES.values()]))


def _handled(rng: Rng, piece: Workpiece) -> Workpiece:
    """What every part carries and no inspector minds: uneven finish, a few specks of dust."""
    size = len(piece.tone)
    tone = piece.tone * (1 + rng.uniform(0.01, 0.03) * clouds(rng, size, 7))
    count = int(rng.integers(0, 14))
    rows, columns = rng.integers(0, size, (2, count))
    tone[rows, columns] *= rng.uniform(0.6, 1.25, count).astype(np.float32)
    return replace(piece, tone=tone)
