"""In which order do images reach the network, and which processes make batches of them?

The order of an epoch follows from the seed and the epoch. The processes live as long as the training and work
ahead across the end of an epoch. On a CPU whose cores they can fill they compute frozen features, too: one process
per core, each with one thread, so that no thread ever waits for another. Otherwise they read and augment, and this
process computes.
"""

import os
import signal
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from trainer.augmentation import AugmentedImages, Draw, Drawn, derived_seed
from trainer.backbone import Backbone
from trainer.dataset import Dataset, Sample
from trainer.errors import DatasetError
from trainer.recipe import Recipe
from vision.checkpoint import POSITIVE_INDEX
from vision.cores import usable_cores

_NICENESS = 10  # of the processes that work ahead

_ORDER = -1  # stands where an image's number stands in derived_seed: the epoch's order, no image


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whose images become batches, and what computes their features."""

    dataset: Dataset
    recipe: Recipe
    backbone: Backbone
    split: str = "train"

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The images; an image's number is its place among them."""
        return self.dataset.part(self.split)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What the layers that learn are given, on the network's device."""

    features: Tensor  # float32, as Backbone gives them
    targets: Tensor  # int64 (n,), the index of each row's logit; or float32 (n, 2), shares of both


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What comes from a process."""

    rows: Tensor  # uint8 (n, 3, size, size), or their features where the process computes those
    targets: Tensor
    fault: str | None

    def pin_memory(self) -> "_Made":
        """The DataLoader's own hook, called where the recipe runs on a GPU."""
        return _Made(rows=self.rows.pin_memory(), targets=self.targets.pin_memory(), fault=self.fault)


def epoch_order(recipe: Recipe, images: int, epoch: int) -> list[list[int]]:
    """The numbers of an epoch's images, batch by batch."""
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, epoch, _ORDER))
    # A DataLoader that shuffles by itself draws its processes' seed first; so were the orders that are recorded.
    torch.empty((), dtype=torch.int64).random_(generator=generator)
    numbers = torch.randperm(images, generator=generator).tolist()
    batches = [numbers[first : first + recipe.batch_size] for first in range(0, images, recipe.batch_size)]
    # BatchNorm cannot learn from one image alone: a last batch of one is left out where it would have to.
    lonely = recipe.train_from != "head" and len(batches[-1]) == 1
    return batches[:-1] if lonely and images > 1 else batches


def epoch_batches(source: Source, epochs: Iterable[int]) -> Generator[Batch, None, None]:
    """The batches of all these epochs, one after the other; epoch e sees view e. Raises as `read_batches`."""
    images = len(source.samples)
    draws = (
        [Draw(image=number, views=(epoch,)) for number in numbers]
        for epoch in epochs
        for numbers in epoch_order(source.recipe, images, epoch)
    )
    # Beside layers that learn on the same cores, helpers that compute would only wait for them.
    return read_batches(source, draws, may_compute=source.recipe.train_from == "head")


def read_batches(
    source: Source, draws: Iterable[list[Draw]], *, may_compute: bool = True
) -> Generator[Batch, None, None]:
    """One batch for each list of draws, a row for each view. Close it: its processes end then.

    `may_compute`: helpers may compute the frozen layers, too. Raises DatasetError where an image changed since the
    data set was opened.
    """
    helpers, computing = _share_of_work(source, may_compute)
    made = _made(source, draws, helpers, source.backbone if computing else None)
    device = source.backbone.device
    try:
        for batch in made:
            if batch.fault is not None:
                raise DatasetError(batch.fault)
            features = batch.rows if computing else source.backbone(batch.rows)
            yield Batch(features=features, targets=batch.targets.to(device, non_blocking=True))
    finally:
        del made  # ends its processes now, and not when the exception that may be on its way is forgotten


def target_of(sample: Sample | Drawn) -> int:
    """The index of the image's logit."""
    return POSITIVE_INDEX if sample.is_defective else 1 - POSITIVE_INDEX


def _share_of_work(source: Source, may_compute: bool) -> tuple[int, bool]:
    """How many processes help, and whether they compute features."""
    asked, cores = min(source.recipe.num_workers, len(source.samples)), usable_cores()
    backbone = source.backbone
    computing = may_compute and backbone.computes and backbone.device.type == "cpu" and asked >= cores
    return (cores if computing else asked), computing


def _made(source: Source, draws: Iterable[list[Draw]], helpers: int, backbone: Backbone | None) -> Iterator[_Made]:
    images = AugmentedImages(source.dataset.root, source.samples, source.recipe)
    with warnings.catch_warnings():
        # Its advice is to have no more workers than cores, but they also wait for disks.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        return iter(
            DataLoader(
                images,
                batch_sampler=draws,
                num_workers=helpers,  # torch gives each of them one thread
                pin_memory=source.backbone.device.type == "cuda",
                collate_fn=_Collation(backbone),
                worker_init_fn=_behave_as_helper,
                generator=torch.Generator(),  # for seeds that nobody uses; the global one is left alone
            )
        )


class _Collation:
    """Makes one batch of several images, in whichever process drew them."""

    def __init__(self, backbone: Backbone | None) -> None:
        self._backbone = backbone

    def __call__(self, drawn: Sequence[Drawn]) -> _Made:
        fault = next((image.fault for image in drawn if image.fault is not None), None)
        if fault is not None:
            return _Made(rows=torch.empty(0), targets=torch.empty(0), fault=fault)
        rows = torch.cat([image.pixels for image in drawn])
        targets = torch.tensor([target_of(image) for image in drawn for _ in image.pixels])
        return _Made(rows=rows if self._backbone is None else self._backbone(rows), targets=targets, fault=None)


def _behave_as_helper(worker: int) -> None:
    """Leave Ctrl-C, which reaches every process of the terminal, to the parent, and the cores where it needs them.

    Layers that learn share their work among all cores; a helper that takes one away holds up the others as well.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
