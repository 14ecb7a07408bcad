"""Which tiles of large images does a network learn from, when whole images are labelled and perhaps some boxes?

A good image is good everywhere; of a defective one some tile shows the defect, and nobody said which. This is learning
from bags of instances: a linear classifier on frozen features tells tiles of good images from one tile of each
defective image, then the tile is chosen anew that is found most defective, until the choice stands (MI-SVM: Andrews,
Tsochantaridis and Hofmann 2003, "Support vector machines for multiple-instance learning"). It begins with the tiles
that are least like any of a good image: a defect is what good parts do not have. No classifier chooses in an image that
it has learned from: it would find its former choice again.

In an image with boxes around its defects the choice is among the tiles that show one of them well, and these are
learned from when the others are chosen. Boxes also try the choice that was made without them: where it missed most of
them it found something else that defective images have in common, and begins anew in the images without boxes, with the
tile most like the boxed ones among the strangest. What lies outside all boxes of an image is not learned from, not even
as good: who draws boxes overlooks the second scratch, and a network that was taught to pass it would.

What is learned from is then one tile of each defective image, and of each good one the tile that was hardest to tell
from a defect, and places drawn anew in every view: anywhere in a good image, around the boxes of a defective one.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from trainer.augmentation import inspected
from trainer.backbone import Backbone
from trainer.boxes import can_be_drawn_around, showing
from trainer.dataset import Dataset, Sample
from trainer.errors import DatasetError
from trainer.recipe import Recipe
from vision.checkpoint import POSITIVE_INDEX
from vision.cores import usable_cores
from vision.decode import read_image
from vision.faults import StorageTrouble, Unreadable
from vision.flips import Mirrored
from vision.network import Network, layers_before
from vision.preprocessing import Preprocessing
from vision.runtime import Pixels
from vision.tiling import Tile

Features = NDArray[np.float32]  # (n, 512)
Picks = NDArray[np.intp]  # numbers of tiles of one image

ROUNDS = 10  # of choosing and learning, at most
FOLDS = 4  # of the defective images
STRANGE_SHARE = 0.2  # of a defective image's tiles, with which it begins
STRANGE_LEAST = 3  # of them, where boxes of other images say which one it is
TRUSTED_SHARE = 0.5  # of the images with boxes, in which the choice without them finds one
REGULARISATION = 0.01  # scikit-learn's C: there are few defective tiles for 512 features
DRAWN = 3  # tiles of each good image, and of each with boxes, whose place is drawn, beside the chosen one
GOOD_TILES = 20_000  # that the classifier learns from and compares with, at most
_TOGETHER = 64  # tiles whose features are computed at once


@dataclass(frozen=True, kw_only=True)
class Bag:
    """An image's tiles and what the frozen layers say of them."""

    sample: Sample
    tiles: tuple[Tile, ...]
    features: Features
    shown: tuple[Picks, ...] = ()  # of each box the tiles that show it well


def tiled(dataset: Dataset, recipe: Recipe, network: Network) -> Dataset:
    """The data set with tiles in the place of its training and validation images; the test images stay.

    `network`: with the first weights, on the device to compute on. Raises DatasetError where an image changed since
    the data set was opened.
    """
    backbone = Backbone(network, recipe, up_to="head")
    samples = [sample for sample in dataset.samples if sample.split in ("train", "validation")]
    bags = list(_bags(dataset, samples, inspected(recipe), backbone))
    chosen = choose(bags, seed=recipe.seed)
    pairs = zip(bags, chosen, strict=True)
    parts = [one for bag, tile in pairs for one in _learned_from(bag.sample, tile, recipe.tile)]
    others = [sample for sample in dataset.samples if sample.split not in ("train", "validation")]
    ordered = sorted([*parts, *others], key=lambda sample: os.fsencode(sample.path))
    return replace(dataset, samples=tuple(ordered))


def choose(bags: Sequence[Bag], *, seed: int) -> list[Tile]:
    """The most defective tile of each image, by classifiers that have learned from others of the split "train".

    Of an image with boxes: of the tiles that show one well.
    """
    learned = [bag for bag in bags if bag.sample.split == "train"]
    good = np.concatenate([bag.features for bag in learned if not bag.sample.is_defective])
    if len(good) > GOOD_TILES:
        good = good[np.random.default_rng(seed).choice(len(good), GOOD_TILES, replace=False)]
    scaler = StandardScaler().fit(good)
    good = scaler.transform(good)
    defective = [_scaled(bag, scaler) for bag in learned if bag.sample.is_defective]
    strangest = [_strangest(bag.features, good, least=1) for bag in defective]
    picks = _until_it_stands([replace(bag, shown=()) for bag in defective], strangest, good)
    if any(bag.shown for bag in defective):
        picks = _until_it_stands(defective, list(_begun_with_boxes(defective, picks, good)), good)
    classifier = _fitted(defective, picks, good)
    own = iter(picks)
    return [
        bag.tiles[
            next(own)[0]
            if bag.sample.is_defective and bag.sample.split == "train"
            else _most(classifier, _scaled(bag, scaler))[0]
        ]
        for bag in bags
    ]


def _scaled(bag: Bag, scaler: StandardScaler) -> Bag:
    return replace(bag, features=scaler.transform(bag.features))


def _until_it_stands(defective: Sequence[Bag], picks: list[Picks], good: Features) -> list[Picks]:
    """The choice that begins with `picks`."""
    for _ in range(ROUNDS):
        before, picks = picks, list(_chosen_by_others(defective, picks, good))
        if all(np.array_equal(one, other) for one, other in zip(before, picks, strict=True)):
            break
    return picks


def _begun_with_boxes(defective: Sequence[Bag], picks: Sequence[Picks], good: Features) -> Iterator[Picks]:
    """What the choice begins with where there are boxes; `picks` is how it stood without."""
    known = {number: np.unique(np.concatenate(bag.shown)) for number, bag in enumerate(defective) if bag.shown}
    found = sum(picks[number][0] in tiles for number, tiles in known.items())
    lost = found < TRUSTED_SHARE * len(known)
    classifier = _fitted([defective[number] for number in known], list(known.values()), good) if lost else None
    for number, bag in enumerate(defective):
        if number in known:
            yield known[number]
        elif classifier is None:
            yield picks[number]
        else:
            strangest = _strangest(bag.features, good, least=STRANGE_LEAST)
            yield strangest[[classifier.decision_function(bag.features[strangest]).argmax()]]


def _strangest(features: Features, good: Features, *, least: int) -> Picks:
    """The tiles with the largest distance to the nearest good one."""
    distances = (good**2).sum(axis=1) - 2 * features @ good.T
    nearest = distances.min(axis=1) + (features**2).sum(axis=1)
    return np.argsort(-nearest)[: max(least, round(STRANGE_SHARE * len(features)))]


def _chosen_by_others(defective: Sequence[Bag], picks: Sequence[Picks], good: Features) -> Iterator[Picks]:
    """The tiles of each image, by a classifier that has learned from the images of the other folds."""
    folds = min(FOLDS, len(defective))
    classifiers = [
        _fitted(
            [bag for at, bag in enumerate(defective) if at % folds != fold or folds == 1],
            [pick for at, pick in enumerate(picks) if at % folds != fold or folds == 1],
            good,
        )
        for fold in range(folds)
    ]
    for at, bag in enumerate(defective):
        yield _most(classifiers[at % folds], bag)


def _fitted(defective: Sequence[Bag], picks: Sequence[Picks], good: Features) -> LogisticRegression:
    shown = np.concatenate([bag.features[pick] for bag, pick in zip(defective, picks, strict=True)])
    classifier = LogisticRegression(class_weight="balanced", C=REGULARISATION, max_iter=1000)
    return classifier.fit(np.concatenate([good, shown]), np.repeat([0, 1], [len(good), len(shown)]))


def _most(classifier: LogisticRegression, bag: Bag) -> Picks:
    """The most defective tile; with boxes that of each box, the most defective one first."""
    found = classifier.decision_function(bag.features)
    if not bag.shown:
        return np.array([found.argmax()])
    picks = np.unique([tiles[found[tiles].argmax()] for tiles in bag.shown])
    return picks[np.argsort(-found[picks], kind="stable")]


def inspected_margins(
    dataset: Dataset, samples: Sequence[Sample], recipe: Recipe, network: Network
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) and (n,): each image's logit margin as inspection decides, and is it defective?

    The largest of its tiles', each averaged over its mirror images, where the recipe has those.
    """
    preprocessing, device = inspected(recipe), network.fc.weight.device
    layers = Mirrored(layers_before(network.eval(), "head"), preprocessing.flips)
    margins = []
    for sample in samples:
        _, pixels = _tiles_of(dataset, sample, preprocessing)
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(pixels), _TOGETHER)
            logits = torch.cat([network.fc(layers(preprocessing.normalise(rows.to(device)))[0]) for rows in parts])
        margins.append(float((logits[:, POSITIVE_INDEX] - logits[:, 1 - POSITIVE_INDEX]).max()))
    return np.array(margins), np.array([sample.is_defective for sample in samples])


def _learned_from(sample: Sample, tile: Tile, edge: int) -> Iterator[Sample]:
    yield replace(sample, tile=tile)
    around = tuple(box for box in sample.boxes if can_be_drawn_around(box, edge))
    if sample.split == "train" and (around or not sample.is_defective):
        for _ in range(DRAWN):
            yield replace(sample, around=around)


def _bags(
    dataset: Dataset,
    samples: Iterable[Sample],
    preprocessing: Preprocessing,
    backbone: Backbone,
) -> Iterator[Bag]:
    """The images in order; a few are decoded ahead."""
    ahead: deque[tuple[Sample, Future[tuple[tuple[Tile, ...], Pixels]]]] = deque()
    threads = usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        for sample in samples:
            ahead.append((sample, pool.submit(_tiles_of, dataset, sample, preprocessing)))
            if len(ahead) > threads:
                yield _bag(*ahead.popleft(), backbone)
        while ahead:
            yield _bag(*ahead.popleft(), backbone)


def _bag(sample: Sample, seen: "Future[tuple[tuple[Tile, ...], Pixels]]", backbone: Backbone) -> Bag:
    tiles, pixels = seen.result()
    parts = [backbone(rows).cpu() for rows in torch.split(torch.from_numpy(pixels), _TOGETHER)]
    shown = tuple(showing(tiles, box) for box in sample.boxes)
    return Bag(sample=sample, tiles=tiles, features=torch.cat(parts).numpy(), shown=shown)


def _tiles_of(dataset: Dataset, sample: Sample, preprocessing: Preprocessing) -> tuple[tuple[Tile, ...], Pixels]:
    path = dataset.root / sample.path
    try:
        picture = read_image(path, edge=preprocessing.edge)
    except (Unreadable, StorageTrouble) as fault:
        raise DatasetError(f"{path} cannot be read any more ({fault}); start again.") from fault
    if picture.sha256 != sample.sha256:
        raise DatasetError(f"{path} was changed since training began; start again.")
    stored = (picture.width, picture.height)
    whole = (Tile(x=0, y=0, width=picture.width, height=picture.height),)
    tiles = whole if preprocessing.tile is None else tuple(preprocessing.tiles(*stored))
    return tiles, np.stack(list(preprocessing.squares(picture.image, stored)))
