"""What does a model keep of its training images, so that it can tell how new another image is?

Their features, thinned out to a few hundred that lie far apart (greedy k-center: Gonzalez 1985; for the features of a
memory: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection"), and the radius that stands for 1.0:
what 99% of images that the model has not learned from stay within. Those are the validation images; where they are too
few to tell one in a hundred, training images say it too, each measured against features that were thinned out without
it and its tenth of the images. Test images are never asked.
"""

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import torch
from torch import Tensor

from trainer.augmentation import AS_INSPECTED, Draw, derived_seed
from trainer.backbone import Backbone
from trainer.batches import Source, read_batches
from trainer.dataset import Dataset, Sample
from trainer.progress import OnStep, Step
from trainer.recipe import Recipe
from vision.network import Network
from vision.novelty import Novelty, directions

ASKED = 2000  # training images, and validation images, at most: a minute on two cores
KEPT = 500  # features: as many multiplications per image as the network's thousandth part
WITHIN = 0.99  # share of ordinary images with a novelty of at most 1
ENOUGH = 99  # images of which one in a hundred can be told
FOLDS = 10
SMALLEST_RADIUS = 1e-5  # a cosine in single precision has an error of some 1e-7

_TRAIN, _VALIDATION, _FIRST = -3, -4, -5  # stand where an image's number stands in derived_seed


def seen_in_training(
    dataset: Dataset, recipe: Recipe, network: Network, on_step: OnStep | None, check: Callable[[], None]
) -> Novelty:
    """What the trained network says of images of the splits "train" and, where there is one, "validation".

    As inspection sees and computes them: nothing is drawn, single precision. `check` is called between two batches and
    may raise. Raises DatasetError where an image changed since the data set was opened.
    """
    backbone = Backbone(network, recipe, up_to="head", precision="float32")
    chosen = {
        split: _some(dataset.part(split), derived_seed(recipe.seed, 0, draw))
        for split, draw in (("train", _TRAIN), ("validation", _VALIDATION))
    }
    asked = replace(dataset, samples=tuple(sample for samples in chosen.values() for sample in samples))
    features = []
    for split in chosen:
        source = Source(dataset=asked, recipe=recipe, backbone=backbone, split=split)
        features.append(directions(_features(source, on_step, check)))
    return remember(*features, seed=derived_seed(recipe.seed, 0, _FIRST))


def remember(train: Tensor, validation: Tensor, *, seed: int) -> Novelty:
    """Of the directions float32 (n, 512) of training images, n >= 1, and (m, 512) of validation images, m >= 0."""
    kept = train[spread(train, KEPT, seed=seed)]
    distances = Novelty(kept, 1.0)(validation) if len(validation) else torch.empty(0)
    if len(distances) < ENOUGH:
        distances = torch.cat([distances, _left_out(train, seed)])
    return Novelty(kept, max(within(distances, WITHIN), SMALLEST_RADIUS))


def spread(rows: Tensor, most: int, *, seed: int) -> Tensor:
    """int64 (k,), k = min(most, n): rows of (n, 512), all of length 1, each the farthest from those before it.

    The first one is drawn.
    """
    number = int(torch.randint(len(rows), (), generator=torch.Generator().manual_seed(seed)))
    chosen = [number]
    nearest = rows @ rows[number]
    while len(chosen) < min(most, len(rows)):
        nearest[number] = math.inf  # never twice, not even among equal ones
        number = int(nearest.argmin())
        chosen.append(number)
        nearest = torch.maximum(nearest, rows @ rows[number])
    return torch.tensor(chosen)


def within(distances: Tensor, share: float) -> float:
    """The distance that the next image stays within with a probability of `share`; the largest where they are few.

    With n others that is the ceil((n + 1) * share)-th smallest: Vovk et al. 2005, "Algorithmic Learning in a Random
    World". 0 where there is none.
    """
    if not len(distances):
        return 0.0
    place = min(math.ceil((len(distances) + 1) * share), len(distances))
    return float(distances.sort().values[place - 1])


def _left_out(rows: Tensor, seed: int) -> Tensor:
    """The distance of each row to features thinned out without its fold; none of a single row."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    folds = [fold for fold in order.tensor_split(min(FOLDS, len(rows))) if len(fold) < len(rows)]
    distances = []
    for fold in folds:
        others = torch.ones(len(rows), dtype=torch.bool)
        others[fold] = False
        rest = rows[others]
        distances.append(Novelty(rest[spread(rest, KEPT, seed=seed)], 1.0)(rows[fold]))
    return torch.cat(distances) if distances else torch.empty(0)


def _some(samples: tuple[Sample, ...], seed: int) -> tuple[Sample, ...]:
    """At most ASKED of them, drawn, and no two of the same bytes: a copy would lie at its own distance 0.

    Of a large image the tile that was chosen, not one that is drawn: in inspection, too, the worst tile is asked.
    """
    chosen_last = sorted(samples, key=lambda sample: sample.tile is not None)
    different = list({sample.sha256: sample for sample in chosen_last}.values())
    order = torch.randperm(len(different), generator=torch.Generator().manual_seed(seed))
    return tuple(different[number] for number in sorted(order[:ASKED].tolist()))


def _features(source: Source, on_step: OnStep | None, check: Callable[[], None]) -> Tensor:
    """float32 (n, 512) on the CPU."""
    numbers, together = range(len(source.samples)), source.recipe.batch_size
    starts = range(0, len(numbers), together)
    draws = ([Draw(image=number, views=(AS_INSPECTED,)) for number in numbers[at : at + together]] for at in starts)
    found = [torch.empty(0, *source.backbone.shape)]
    if not numbers:
        return found[0]
    epochs = source.recipe.rounds
    with closing(read_batches(source, draws)) as batches:
        for number, batch in enumerate(batches, start=1):
            check()
            found.append(batch.features.cpu())
            if on_step is not None:
                on_step(Step(epoch=epochs + 1, epochs=epochs, batch=number, batches=len(starts)))
    return torch.cat(found)
