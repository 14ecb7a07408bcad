"""Which training images does the network not learn from, so that they can decide when to stop and where limits lie?

The validation part is drawn from the training images alone, the same one for the same seed; the test images are
never asked. Groups and twins stay on one side.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from trainer.augmentation import AS_INSPECTED, Draw
from trainer.batches import Batch, Source, read_batches
from trainer.dataset import Dataset
from trainer.errors import DatasetError
from trainer.split import stratified_split
from trainer.together import groups_in_the_way, units_by_content


def held_out(dataset: Dataset, *, share: float, seed: int) -> Dataset:
    """The same data set, with about `share` of each class's training images as the split "validation".

    The fingerprint stays: the part follows from it, the share and the seed. Raises DatasetError where a class has
    too few training images to have some on both sides.
    """
    if share == 0:
        return dataset
    train = dataset.part("train")
    chosen = stratified_split(
        [os.fsencode(sample.path) for sample in train],
        [sample.label for sample in train],
        test_share=share,
        seed=seed,
        groups=units_by_content(train),
    )
    paths = {sample.path for sample, is_chosen in zip(train, chosen, strict=True) if is_chosen}
    samples = tuple(
        replace(sample, split="validation") if sample.split == "train" and sample.path in paths else sample
        for sample in dataset.samples
    )
    for label in dataset.class_names:
        of_class = [sample.path in paths for sample in train if sample.label == label]
        if not any(of_class) or all(of_class):
            raise DatasetError(
                f"The class {label!r} has too few training images to hold {share:.0%} of them out for validation: "
                f"add images of it, or use --validation-share 0.{groups_in_the_way(train, label)}"
            )
    return replace(dataset, samples=samples)


BYTES_IN_MEMORY = 512 * 2**20  # of their features in single precision; those of more images are computed every time


class ValidationImages:
    """The images that were held out, as the layers that learn are given them; false where there are none."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kept: list[Batch] | None = None

    def __bool__(self) -> bool:
        return bool(self._source.samples)

    def batches(self, check: Callable[[], None]) -> Iterator[Batch]:
        """All of them, as inspection sees them; `check` is called between two and may raise."""
        if self._kept is not None:
            yield from self._kept
            return
        images, together = len(self._source.samples), self._source.recipe.batch_size
        draws = (
            [Draw(image=number, views=(AS_INSPECTED,)) for number in range(images)[first : first + together]]
            for first in range(0, images, together)
        )
        kept: list[Batch] | None = []
        if images * math.prod(self._source.backbone.shape) * 4 > BYTES_IN_MEMORY:
            kept = None
        with closing(read_batches(self._source, draws)) as batches:
            for batch in batches:
                check()
                if kept is not None:
                    kept.append(batch)
                yield batch
        self._kept = kept
