"""Where in a picture did the network see a defect?

Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization") of
the last layer, for the log-odds of a defect. Behind that layer this network takes a mean and multiplies it by weights,
so the gradient is the same everywhere, and Grad-CAM is what each place adds: averaged over the square, the map and the
head's bias are the log-odds of the score, exactly. No gradient has to be computed.

A map says what the network looked at, not whether it was right. It is as coarse as the layer: 32 pixels of the
network's input a cell.
"""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from vision.flips import MIRRORED
from vision.network import Network, layers_from
from vision.preprocessing import Preprocessing
from vision.saved_network import Checkpoint
from vision.tiling import Tile

Floats = NDArray[np.float32]
# What a place has to add, in log-odds, to be drawn in full: a weak reason looks weak, and not like the strongest.
_STRONG = 8.0
_FAINT, _FULL = (255, 214, 0), (255, 40, 0)  # colours of weak and strong reasons; neither is a part's
_MOST_OPAQUE = 190  # of 255: the part is seen through it
_BEHIND = ("avgpool", "flatten", "fc")  # what comes behind the last layer
_EDGE = 448  # pixels of the drawn map's longer side


def heat_map(
    checkpoint: Checkpoint, image: Image.Image, tile: Tile | None = None, *, stored: tuple[int, int] | None = None
) -> Floats:
    """What each place of an upright RGB picture, or of that part of it, adds to the log-odds of a defect: (H, W).

    H and W have the picture's shape. Negative where the network sees a good part. `stored`: (width, height) of the
    picture in pixels, where `image` is a smaller copy of it.
    """
    preprocessing = checkpoint.info.preprocessing
    if tile is None:
        square, (width, height) = preprocessing.apply(image, stored), stored or image.size
        scale = preprocessing.size / max(width, height)
    else:
        square, (width, height) = preprocessing.apply_to(tile, image), (tile.width, tile.height)
        scale = preprocessing.size / (preprocessing.tile or max(width, height))
    with torch.inference_mode():
        normalised = preprocessing.normalise(torch.from_numpy(square)[None])
        added = _added(checkpoint.network, normalised, preprocessing)
        size = (preprocessing.size, preprocessing.size)
        whole = functional.interpolate(added[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return _without_padding(
        whole.numpy(), preprocessing.size, max(1, round(width * scale)), max(1, round(height * scale))
    )


def drawn(added: Floats) -> bytes:
    """The map as a PNG with transparency, to be laid over the picture: clear where nothing speaks for a defect."""
    strength = np.clip(added / max(float(added.max()), _STRONG), 0, 1)[..., None]
    colour = np.asarray(_FAINT) * (1 - strength) + np.asarray(_FULL) * strength
    pixels = np.concatenate([colour, strength * _MOST_OPAQUE], axis=2).round().astype(np.uint8)
    picture = Image.fromarray(pixels, "RGBA")
    scale = _EDGE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    encoded = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BILINEAR).save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def _added(network: Network, square: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Of a normalised square (1, 3, size, size): what each cell of the last layer adds, (h, w); mirrors likewise."""
    towards = network.fc.weight[1] - network.fc.weight[0]
    maps = []
    for way in MIRRORED[preprocessing.flips]:
        seen = _last_layer(network, torch.flip(square, way) if way else square)
        one = torch.einsum("k,nkhw->nhw", towards, seen)[:, None]
        maps.append((torch.flip(one, way) if way else one)[0, 0])
    return torch.stack(maps).mean(dim=0)


def _last_layer(network: Network, square: Tensor) -> Tensor:
    layers = layers_from(network, "stem")[: -len(_BEHIND)]
    seen: Tensor = layers(square)
    return seen


def _without_padding(square: Floats, size: int, width: int, height: int) -> Floats:
    left, top = (size - width) // 2, (size - height) // 2
    return np.ascontiguousarray(square[top : top + height, left : left + width])
