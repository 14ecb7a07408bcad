"""What may happen to a photograph that changes nothing about the part?

Each of these is done to a picture as it was decoded, before it is scaled for the network.
"""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

from PIL import Image, ImageEnhance

Change = Callable[[Image.Image], Image.Image]

JPEG_QUALITY = 90
BRIGHTNESS = 0.05  # share


def shifted(image: Image.Image, right: int, down: int) -> Image.Image:
    """Moved by so many pixels; what comes in at the edge repeats the edge."""
    width, height = image.size
    moved = image.copy()
    moved.paste(image, (right, down))
    if right:
        moved.paste(moved.crop((right, 0, right + 1, height)).resize((right, height)), (0, 0))
    if down:
        moved.paste(moved.crop((0, down, width, down + 1)).resize((width, down)), (0, 0))
    return moved


def stored_as_jpeg(image: Image.Image) -> Image.Image:
    """Written as a JPEG of quality 90, with its usual coarser colours, and read again."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    with Image.open(file) as read:
        return read.convert("RGB")


def lit(image: Image.Image, factor: float) -> Image.Image:
    """Every value multiplied by `factor`, up to the brightest there is."""
    return ImageEnhance.Brightness(image).enhance(factor)


PERTURBATIONS: Mapping[str, Change] = MappingProxyType(
    {
        "one pixel to the right": lambda image: shifted(image, 1, 0),
        "one pixel down": lambda image: shifted(image, 0, 1),
        f"JPEG quality {JPEG_QUALITY}": stored_as_jpeg,
        f"brightness +{BRIGHTNESS:.0%}": lambda image: lit(image, 1 + BRIGHTNESS),
        f"brightness -{BRIGHTNESS:.0%}": lambda image: lit(image, 1 - BRIGHTNESS),
    }
)
