"""What does the network see of a training image?

A *view* of an image is what chance makes of it once. The exact recipe draws anew in every epoch: epoch e sees view e.
The image is decoded and fitted into a square by the code that inspection uses; what is drawn at random happens to
that square, so that nothing of the part is lost before. Fine-tuning loses nothing afterwards either; the report's
recipe crops, and takes little. The square is larger than the network's input wherever the photograph is: turning and
cropping at the final size would blur every training image, and those of inspection are sharper.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import InterpolationMode, v2

from trainer.boxes import Box, starts_around
from trainer.dataset import Sample
from trainer.recipe import Recipe
from vision.decode import Picture, read_image
from vision.faults import StorageTrouble, Unreadable
from vision.preprocessing import Preprocessing, is_grey, shrunk
from vision.tiling import Tile


def inspected(recipe: Recipe) -> Preprocessing:
    """What inspection will do to the images of a model of this recipe."""
    return Preprocessing(
        size=recipe.image_size, tile=recipe.tile or None, tile_overlap=recipe.tile_overlap, flips=recipe.tta
    )


def build_augmentation(recipe: Recipe, preprocessing: Preprocessing, *, grey: bool = False) -> v2.Compose:
    """PIL square to PIL square of the network's size; draws from torch's global generator.

    `grey`: for pictures without colour, whose hue and saturation need not be touched; changing them takes longer than
    all the rest, to give the same picture.
    """
    return v2.Compose(
        [
            *_turn(recipe),
            *_framing(recipe, preprocessing),
            v2.ColorJitter(
                brightness=recipe.jitter_brightness,
                contrast=recipe.jitter_contrast,
                saturation=0 if grey else recipe.jitter_saturation,
                hue=0 if grey else recipe.jitter_hue,
            ),
        ]
    )


def _framing(recipe: Recipe, preprocessing: Preprocessing) -> tuple[v2.Transform, ...]:
    """Turned, mirrored, and brought to the network's size."""
    whole = recipe.framing == "whole"
    rotation = v2.RandomRotation(
        recipe.rotation_degrees,
        interpolation=InterpolationMode.BILINEAR,
        fill=list(preprocessing.padding_colour),
        expand=whole,
    )
    flips = (v2.RandomHorizontalFlip(recipe.flip_probability), *_vertical_flip(recipe))
    if not whole:
        return (rotation, *flips, _crop(recipe, preprocessing.size))
    moved = v2.RandomApply([rotation, _Framed(recipe, preprocessing)], p=_MOVED)
    return (*flips, moved, v2.Resize([preprocessing.size, preprocessing.size], antialias=True))


def _turn(recipe: Recipe) -> tuple[v2.Transform, ...]:
    """None where it is never asked for: a draw for nothing would change every draw after it."""
    if not recipe.quarter_turn_probability:
        return ()
    return (v2.RandomApply([_QuarterTurn()], p=recipe.quarter_turn_probability),)


def _vertical_flip(recipe: Recipe) -> tuple[v2.Transform, ...]:
    """None where it is never asked for, as above."""
    if not recipe.vertical_flip_probability:
        return ()
    return (v2.RandomVerticalFlip(recipe.vertical_flip_probability),)


def _crop(recipe: Recipe, size: int) -> v2.Transform:
    return v2.RandomResizedCrop(
        size,
        scale=(recipe.crop_scale_min, 1.0),
        ratio=(1 / recipe.crop_ratio_max, recipe.crop_ratio_max),
    )


# Share of the views that are turned and scaled where they are framed whole. The others lie as inspection sees them: a
# network that had seen every picture smaller, and padded, took the whole ones for defective.
_MOVED = 0.5


class _QuarterTurn(v2.Transform):  # type: ignore[misc]  # torchvision ships no types
    """By 90 degrees; with the flips that makes all eight positions of a square."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return v2.functional.rotate(inpt, 90)


class _Framed(v2.Transform):  # type: ignore[misc]
    """A resized crop whose window holds the whole picture: it takes in more of the padding, never less of the part.

    Cutting takes a small defect away with the edge it lies at, and the image stays labelled defective: turned by up to
    ten degrees and cut to nine tenths, 16% of the views of a full square lose most of what lies at the middle of an
    edge (6 x 10 of 224 pixels), and 53% of what lies in a corner (10 x 10).
    """

    def __init__(self, recipe: Recipe, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._least = recipe.crop_scale_min
        self._longest = math.log(recipe.crop_ratio_max)
        self._size = preprocessing.size
        self._fill = list(preprocessing.padding_colour)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Where the picture comes to lie in its window, in pixels from each side."""
        width, height = v2.functional.get_size(flat_inputs[0])[::-1]
        share, ratio, left, top = torch.rand(4).tolist()
        edge = math.sqrt(1 / (self._least + (1 - self._least) * share))
        stretch = math.exp(self._longest * (2 * ratio - 1) / 2)
        wide, high = round(width * max(1.0, edge * stretch)), round(height * max(1.0, edge / stretch))
        x, y = round(left * (wide - width)), round(top * (high - height))
        return {"padding": [x, y, wide - width - x, high - height - y]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        padded = v2.functional.pad(inpt, params["padding"], fill=self._fill)
        return v2.functional.resize(padded, [self._size, self._size], antialias=True)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What is asked for: one image, in one or more views."""

    image: int  # its number among the samples
    views: tuple[int, ...]  # counted from 1; or AS_INSPECTED alone


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The views of one image, or the sentence that says why there are none."""

    pixels: Tensor  # uint8 (views, 3, size, size)
    is_defective: bool
    fault: str | None = None


_PLACE = -3  # stands behind the image's number in derived_seed: where its tile lies

AS_INSPECTED = 0  # the view in which nothing is drawn: what inspection sees

# How many times larger than the network's input the square may be: sharp enough, and quick to turn.
_LARGEST_SQUARE = 2


class AugmentedImages(TorchDataset[Drawn]):
    """The training images as the network sees them; each is read and decoded once for all views of a draw.

    What is drawn for a view depends on the seed, the view's number and the image's alone: neither the number of
    worker processes nor an interruption changes it.
    """

    def __init__(self, root: Path, samples: Sequence[Sample], recipe: Recipe) -> None:
        self._root = root
        self._samples = samples
        self._seed = recipe.seed
        self._inspected = inspected(recipe)
        self._augment = {grey: build_augmentation(recipe, self._inspected, grey=grey) for grey in (False, True)}

    def __getitem__(self, draw: Draw) -> Drawn:
        sample = self._samples[draw.image]
        as_inspected = draw.views == (AS_INSPECTED,)
        try:
            picture = read_image(self._root / sample.path, edge=self._edge(as_inspected))
        except (Unreadable, StorageTrouble) as fault:
            return self._lost(sample, f"cannot be read any more ({fault})")
        if picture.sha256 != sample.sha256:
            return self._lost(sample, "was changed")
        augment = self._augment[is_grey(picture.image)]
        if self._inspected.tile is not None:
            tiles = [sample.tile or self._drawn_tile(sample.around, picture, view, draw.image) for view in draw.views]
            if as_inspected:
                views = self._inspected.apply_to(tiles[0], picture.image)[np.newaxis]
            else:
                each = zip(tiles, draw.views, strict=True)
                views = np.stack(
                    [self._view(augment, self._sharp(picture, tile), view, draw.image) for tile, view in each]
                )
        elif as_inspected:
            views = self._inspected.apply(picture.image, (picture.width, picture.height))[np.newaxis]
        else:
            square = self._sharp(picture, None)
            views = np.stack([self._view(augment, square, view, draw.image) for view in draw.views])
        return Drawn(pixels=torch.from_numpy(views), is_defective=sample.is_defective)

    def _edge(self, as_inspected: bool) -> int | None:
        """How large a picture has to be decoded, as Preprocessing says it."""
        if as_inspected or self._inspected.tile is not None:
            return self._inspected.edge
        return Preprocessing(size=self._largest).edge

    @property
    def _largest(self) -> int:
        return _LARGEST_SQUARE * self._inspected.size

    def _drawn_tile(self, around: tuple[Box, ...], picture: Picture, view: int, image: int) -> Tile:
        """Anywhere in the picture, or around one of the boxes."""
        edge = self._inspected.tile or 0
        generator = np.random.default_rng(derived_seed(self._seed, view, image, _PLACE))
        width, height = min(edge, picture.width), min(edge, picture.height)
        across, down = (0, picture.width - width), (0, picture.height - height)
        if around:
            box = around[int(generator.integers(len(around)))]
            across = starts_around(box.x, box.width, width, across[1])
            down = starts_around(box.y, box.height, height, down[1])
        x, y = (int(generator.integers(first, last + 1)) for first, last in (across, down))
        return Tile(x=x, y=y, width=width, height=height)

    def _sharp(self, picture: Picture, tile: Tile | None) -> Any:
        """The picture, or a tile of it, in a PIL square as large as is worth turning."""
        if tile is None:
            stored = (picture.width, picture.height)
            fitting = Preprocessing(size=min(max(*stored, self._inspected.size), self._largest))
            pixels = fitting.apply(shrunk(picture.image, fitting.size), stored)
        else:
            edge = self._inspected.tile or 0
            size = min(edge, self._largest)
            part = picture.image.crop((tile.x, tile.y, tile.x + tile.width, tile.y + tile.height))
            part = shrunk(part, max(1, round(max(part.size) * size / edge)))
            pixels = Preprocessing(size=size, tile=size).apply_to(
                Tile(x=0, y=0, width=part.width, height=part.height), part
            )
        return v2.functional.to_pil_image(torch.from_numpy(pixels))

    def _view(self, augment: v2.Compose, square: Any, view: int, image: int) -> NDArray[np.uint8]:
        """uint8 (3, size, size) of a PIL square."""
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it would wake CUDA up in every worker process.
            torch.default_generator.manual_seed(derived_seed(self._seed, view, image))
            drawn = augment(square)
        return np.asarray(drawn).transpose(2, 0, 1)

    def _lost(self, sample: Sample, what: str) -> Drawn:
        fault = f"{self._root / sample.path} {what} since training began; start again."
        return Drawn(pixels=torch.empty(0), is_defective=sample.is_defective, fault=fault)


def derived_seed(*parts: int) -> int:
    """A seed of 63 bits from several numbers; neighbouring numbers give unrelated seeds."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
