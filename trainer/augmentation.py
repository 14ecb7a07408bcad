"""What does the network see of a training image, drawn anew in every epoch?

The image is decoded and fitted into a square by the code that inspection uses; what is drawn at random happens to
that square, so that nothing of the part is lost before the crop, and the crop takes little. The square is larger
than the network's input wherever the photograph is: turning and cropping at the final size would blur every
training image, and those of inspection are sharper.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import InterpolationMode, v2

from trainer.dataset import Sample
from trainer.recipe import Recipe
from vision.decode import read_image
from vision.faults import StorageTrouble, Unreadable
from vision.preprocessing import Preprocessing


def build_augmentation(recipe: Recipe, preprocessing: Preprocessing) -> v2.Compose:
    """PIL square to PIL square of the network's size; draws from torch's global generator."""
    return v2.Compose(
        [
            v2.RandomRotation(
                recipe.rotation_degrees,
                interpolation=InterpolationMode.BILINEAR,
                fill=list(preprocessing.padding_colour),
            ),
            v2.RandomHorizontalFlip(recipe.flip_probability),
            v2.RandomResizedCrop(
                preprocessing.size,
                scale=(recipe.crop_scale_min, 1.0),
                ratio=(1 / recipe.crop_ratio_max, recipe.crop_ratio_max),
            ),
            v2.ColorJitter(
                brightness=recipe.jitter_brightness,
                contrast=recipe.jitter_contrast,
                saturation=recipe.jitter_saturation,
                hue=recipe.jitter_hue,
            ),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One augmented image, or the sentence that says why there is none."""

    pixels: Tensor | None  # uint8 (3, size, size)
    is_defective: bool
    fault: str | None = None


# How many times larger than the network's input the square may be: sharp enough, and quick to turn.
_LARGEST_SQUARE = 2


class EpochImages(TorchDataset[Drawn]):
    """The training images as one epoch sees them.

    What is drawn for an image depends on the seed, the epoch and its number alone: neither the number of
    worker processes nor an interruption changes it.
    """

    def __init__(self, root: Path, samples: Sequence[Sample], recipe: Recipe, epoch: int) -> None:
        self._root = root
        self._samples = samples
        self._seed = recipe.seed
        self._epoch = epoch
        self._size = recipe.image_size
        self._augment = build_augmentation(recipe, Preprocessing(size=recipe.image_size))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Drawn:
        sample = self._samples[index]
        try:
            picture = read_image(self._root / sample.path)
        except (Unreadable, StorageTrouble) as fault:
            return self._lost(sample, f"cannot be read any more ({fault})")
        if picture.sha256 != sample.sha256:
            return self._lost(sample, "was changed")
        edge = min(max(picture.width, picture.height, self._size), _LARGEST_SQUARE * self._size)
        square = v2.functional.to_pil_image(torch.from_numpy(Preprocessing(size=edge).apply(picture.image)))
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it would wake CUDA up in every worker process.
            torch.default_generator.manual_seed(derived_seed(self._seed, self._epoch, index))
            square = self._augment(square)
        pixels = torch.from_numpy(np.asarray(square).transpose(2, 0, 1).copy())
        return Drawn(pixels=pixels, is_defective=sample.is_defective)

    def _lost(self, sample: Sample, what: str) -> Drawn:
        fault = f"{self._root / sample.path} {what} since training began; start again."
        return Drawn(pixels=None, is_defective=sample.is_defective, fault=fault)


def derived_seed(*parts: int) -> int:
    """A seed of 63 bits from several numbers; neighbouring numbers give unrelated seeds."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
