"""What happens to a picture between its file and the network, and how is that written down?

The whole image, or each tile of a large one, is scaled to fit a square and padded, so that no edge of the part is ever
cropped away.
Training, evaluation and workers share this class; a checkpoint carries its values and their fingerprint.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.decode import CONVERSION_VERSION
from vision.tiling import Tile, tiles

if TYPE_CHECKING:
    from torch import Tensor

# Per-channel mean and standard deviation of ImageNet's pixels in 0..1, as torchvision's weights expect them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# How many times longer than the square's edge a decoded picture's longer side has to be; None: as it is stored.
_TIMES = {"reduced-2x": 2, "reduced": 1, "full": None}
Flips = Literal["none", "horizontal", "all"]  # all: left to right, top to bottom, and both

MAX_SIZE = 4096  # pixels: a larger edge is a damaged file or a typing error, not a network's input
MAX_TILE = 2**15  # pixels
MAX_OVERLAP = 0.75  # of a tile's edge: every pixel is then looked at sixteen times


class PreprocessingError(ValueError):
    """The preprocessing that a file or a person names is none that this version knows."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Everything between an upright RGB picture and the network's input."""

    size: int = 224  # edge of the square, in pixels
    resize: Literal["pad"] = "pad"  # scaled to fit, bilinear with antialiasing, centred, padded with the mean colour
    # reduced-2x: a JPEG is decoded at the smallest of 1, 1/2, 1/4, 1/8 of its size that is still twice what it is
    # scaled to: libjpeg's small pictures are sharper than scaled ones, and the other half of the way evens that out.
    # For older checkpoints: full, at its whole size; reduced, at a size that is just not smaller.
    decode: Literal["reduced-2x", "reduced", "full"] = "reduced-2x"
    # Edge of the tiles that are looked at one by one, in pixels of the upright picture; None: the whole picture.
    tile: int | None = None
    tile_overlap: float = 0.25  # share of a tile's edge that it has in common with its neighbour, at least
    flips: Flips = "none"  # mirror images that are asked about as well, and averaged
    mean: tuple[float, float, float] = IMAGENET_MEAN  # per channel, pixels in 0..1
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.resize != "pad":
            raise PreprocessingError(
                f"resize mode {self.resize!r} is unknown here (known: 'pad'); a newer inspectq may know it"
            )
        if self.decode not in _TIMES:
            raise PreprocessingError(
                f"decode mode {self.decode!r} is unknown here (known: {', '.join(map(repr, _TIMES))}); a newer "
                "inspectq may know it"
            )
        if self.flips not in get_args(Flips):
            raise PreprocessingError(
                f"flips {self.flips!r} are unknown here (known: {', '.join(map(repr, get_args(Flips)))}); a newer "
                "inspectq may know them"
            )
        if not 1 <= self.size <= MAX_SIZE:
            raise PreprocessingError(f"size must be 1 to {MAX_SIZE} pixels, not {self.size}")
        if self.tile is not None and not self.size <= self.tile <= MAX_TILE:
            raise PreprocessingError(
                f"tiles must be at least as large as the network's input ({self.size} pixels) and at most {MAX_TILE} "
                f"pixels, not {self.tile}"
            )
        if not 0 <= self.tile_overlap <= MAX_OVERLAP:
            raise PreprocessingError(f"tiles may overlap by 0 to {MAX_OVERLAP} of their edge, not {self.tile_overlap}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise PreprocessingError("mean and std must each hold three numbers, and std positive ones")

    def apply(self, image: Image.Image, stored: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """An RGB picture of any size as contiguous uint8 of shape (3, size, size), channels first, 0..255.

        `stored`: (width, height) of the picture in pixels, where `image` is a smaller copy of it.
        """
        stored = image.size if stored is None else stored
        return self._square(image, stored, self.size / max(stored))

    def _square(self, image: Image.Image, stored: tuple[int, int], scale: float) -> NDArray[np.uint8]:
        square = Image.new("RGB", (self.size, self.size), self.padding_colour)
        width, height = (max(1, round(side * scale)) for side in stored)
        fitted = image.resize((width, height), Image.Resampling.BILINEAR)
        square.paste(fitted, ((self.size - width) // 2, (self.size - height) // 2))
        return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))

    def squares(self, image: Image.Image, stored: tuple[int, int] | None = None) -> Iterator[NDArray[np.uint8]]:
        """What the network looks at: the whole picture as `apply` makes it, or its tiles, row by row."""
        if self.tile is None:
            yield self.apply(image, stored)
            return
        for tile in self.tiles(*image.size):
            yield self.apply_to(tile, image)

    def apply_to(self, tile: Tile, image: Image.Image) -> NDArray[np.uint8]:
        """As `apply`, a part of an RGB picture; at the scale of a whole tile, however small the part is."""
        part = image.crop((tile.x, tile.y, tile.x + tile.width, tile.y + tile.height))
        return self._square(part, part.size, self.size / self._tile)

    def tiles(self, width: int, height: int) -> Iterator[Tile]:
        """The tiles of a picture of so many pixels, row by row; needs `tile`."""
        return tiles(width, height, self._tile, self.tile_overlap)

    def normalise(self, batch: "Tensor") -> "Tensor":
        """uint8 (N, 3, size, size) as float32 `(pixel / 255 - mean) / std`, on the batch's own device."""
        # Imported here: a guarded decoder resizes, too, and must be up in a moment and small.
        import torch

        mean = torch.tensor(self.mean, device=batch.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=batch.device).view(1, 3, 1, 1)
        return batch.to(torch.float32).div_(255).sub_(mean).div_(std)

    @property
    def _tile(self) -> int:
        if self.tile is None:
            raise ValueError("this preprocessing looks at the whole picture at once")
        return self.tile

    @property
    def edge(self) -> int | None:
        """How long the longer side of a decoded picture has to be, in pixels, if that is enough; None: as stored."""
        times = _TIMES[self.decode]
        return None if times is None or self.tile is not None else times * self.size

    @property
    def padding_colour(self) -> tuple[int, int, int]:
        """The mean as a colour: after normalisation the padding is (almost) zero."""
        red, green, blue = (round(channel * 255) for channel in self.mean)
        return red, green, blue

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the sha256 over all that changes pixels, the decoder's conversion included."""
        content = json.dumps({**self.to_dict(), "conversion": CONVERSION_VERSION}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON can hold them. What an older version did not know is left out where it did the same."""
        values = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        if self.decode == "full":
            del values["decode"]
        if self.tile is None:
            del values["tile"], values["tile_overlap"]
        if self.flips == "none":
            del values["flips"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """The reverse of `to_dict`. Raises `PreprocessingError` on a missing, unknown or impossible value."""
        try:
            known = {"decode": "full", **values}
            mean, std = (tuple(float(number) for number in known.pop(name)) for name in ("mean", "std"))
            return cls(mean=mean, std=std, size=int(known.pop("size")), **known)  # type: ignore[arg-type]
        except PreprocessingError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise PreprocessingError(f"this preprocessing is unknown here: {error}") from error


def shrunk(image: Image.Image, edge: int) -> Image.Image:
    """A copy whose longer side has at most `edge` pixels, or `image` itself where it is no larger.

    By Lanczos: a picture that is scaled so first, and bilinearly later, is as sharp as one scaled once.
    """
    if max(image.size) <= edge:
        return image
    scale = edge / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def is_grey(image: Image.Image) -> bool:
    """Whether no pixel of an RGB picture has a colour."""
    pixels = np.asarray(image)
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
