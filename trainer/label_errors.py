"""Which labels does everything else in the data set speak against?

A logistic regression on a frozen network's features is fitted on four fifths of the images and asked about the last
fifth, in turns, so that no image answers for itself (cross-validated confident learning, Northcutt et al. 2021, without
its estimate of how many are wrong). Groups and twins stay in one fifth. What comes out is a list to look at: a defect
that the features do not show looks like a wrong label, too.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.dataset import Dataset
from trainer.errors import DatasetError
from vision.network import Network

FOLDS = 5
_REGULARISATION = 0.01  # scikit-learn's C, for 512 standardised features


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """An image whose label the others speak against."""

    path: str
    sha256: str
    label: str
    agreement: float  # probability of its own label, by those that were fitted without it: below 0.5


def doubtful_labels(dataset: Dataset, network: Network, image_size: int) -> tuple[Doubt, ...]:
    """The images whose label is the less likely one, the least likely first. Raises DatasetError."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    samples = dataset.samples
    defective = np.array([sample.is_defective for sample in samples])
    units = np.array([sample.unit or sample.path for sample in samples])
    folds = min(FOLDS, *(len(set(units[defective == side])) for side in (False, True)))
    if folds < 2:
        raise DatasetError("Label errors cannot be looked for: a class has fewer than two images that are no twins.")
    # In the order of their digests: a name must not decide which fifth an image is in.
    order = np.argsort([sample.sha256 for sample in samples], kind="stable")
    parted = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    turns = list(parted.split(order, defective[order], groups=units[order]))
    if any(len(set(defective[order][fitted])) < 2 for fitted, _ in turns):
        raise DatasetError(
            "Label errors cannot be looked for: the images are so few, or their groups so large, that those outside of "
            "one part are all of one class."
        )
    judge = make_pipeline(
        StandardScaler(), LogisticRegression(C=_REGULARISATION, class_weight="balanced", max_iter=1000)
    )
    probabilities = np.empty(len(samples))
    probabilities[order] = cross_val_predict(
        judge,
        features(dataset, network, image_size)[order],
        defective[order],
        cv=turns,
        method="predict_proba",
    )[:, 1]
    agreement = np.where(defective, probabilities, 1 - probabilities)
    worst = [at for at in np.argsort(agreement, kind="stable").tolist() if agreement[at] < 0.5]
    return tuple(
        Doubt(
            path=samples[at].path,
            sha256=samples[at].sha256,
            label=samples[at].label,
            agreement=float(agreement[at]),
        )
        for at in worst
    )


def features(dataset: Dataset, network: Network, image_size: int) -> NDArray[np.float32]:
    """float32 (images, 512): what the network's layers before the head say of every image, as inspection sees it."""
    from trainer.augmentation import AS_INSPECTED, Draw
    from trainer.backbone import Backbone
    from trainer.batches import Source, read_batches
    from trainer.recipe import Recipe

    whole = replace(dataset, samples=tuple(replace(sample, split="train") for sample in dataset.samples))
    recipe = Recipe(image_size=image_size)
    source = Source(dataset=whole, recipe=recipe, backbone=Backbone(network, recipe))
    together = recipe.batch_size
    draws = (
        [Draw(image=at, views=(AS_INSPECTED,)) for at in range(len(whole.samples))[start : start + together]]
        for start in range(0, len(whole.samples), together)
    )
    return np.concatenate([batch.features.cpu().numpy() for batch in read_batches(source, draws)])
