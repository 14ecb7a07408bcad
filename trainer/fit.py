"""How does a network learn from the training images?

Frozen layers compute features without gradients and with their BatchNorm statistics at rest; what comes behind them,
the head or more, learns from features that are kept (trainer/features.py) or computed anew in every epoch. Every draw
follows from the seed, the epoch and the image, so that a resumed run ends with the weights of an uninterrupted one,
with any number of worker processes.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from trainer.augmentation import derived_seed
from trainer.backbone import Backbone
from trainer.batches import Batch, Source, epoch_batches, epoch_order, target_of
from trainer.calibration import Calibration, calibrate, calibrated_loss, cool, margins_of
from trainer.dataset import Dataset
from trainer.errors import TrainingDiverged
from trainer.features import KeptFeatures
from trainer.interruption import deferred_interrupts
from trainer.learner import Learner
from trainer.progress import OnStep, Step
from trainer.recipe import Recipe
from trainer.resume import EpochRecord, StateFile, TrainingState
from trainer.targets import Targets
from trainer.tiles import inspected_margins
from trainer.validation import ValidationImages
from vision.checkpoint import POSITIVE_INDEX
from vision.cores import usable_cores
from vision.network import Network

_MIX = -4  # stands behind the batch's number in derived_seed: which images are mixed, and by which shares


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One training, whole: what is learned from, how, where, and where its state is kept."""

    dataset: Dataset
    recipe: Recipe
    device: torch.device
    state: StateFile
    on_step: OnStep | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What became of the network."""

    history: tuple[EpochRecord, ...]
    best_epoch: int | None  # the one whose weights are kept; None: the last
    calibration: Calibration | None  # None without validation images


def run_fit(fit: Fit, network: Network, *, resume: bool) -> Fitted:
    """Train `network` in place for all epochs that are not done yet.

    It ends with the weights of the epoch that was best on the validation images, calibrated on these, where there are
    some; otherwise with the running mean, where one is taken. Raises TrainingDiverged, and DatasetError where an image
    changed since the data set was opened.
    """
    torch.set_num_threads(usable_cores())  # whatever scored in this process before may have asked for one
    state = fit.state.read() if resume else None
    network.to(fit.device)
    backbone = Backbone(network, fit.recipe)
    weights = class_weights(fit.dataset, fit.recipe)
    learner = Learner(network, fit.recipe, weights)
    targets = _targets(fit)
    if state is not None:
        learner.restore(state)
        if targets is not None and state.targets is not None:
            targets.restore(state.targets)
    history, best = ((), None) if state is None else (state.history, state.best)
    validation = ValidationImages(Source(dataset=fit.dataset, recipe=fit.recipe, backbone=backbone, split="validation"))
    epochs = range(len(history) + 1, fit.recipe.rounds + 1)
    with deferred_interrupts() as check, closing(_batches(fit, backbone, epochs, check)) as batches:
        for epoch in epochs:
            if _has_had_enough(fit.recipe, history):
                break
            record = _run_epoch(fit, learner, targets, epoch, batches, check)
            if validation:
                loss, error = _validation_loss(*learner.logits_on(validation.batches(check), kept=True), weights)
                record = replace(record, validation_loss=loss, validation_error=error)
                if best_epoch((*history, record)) == epoch:
                    best = learner.kept_weights()
            history += (record,)
            fit.state.write(
                TrainingState(
                    network=learner.network.state_dict(),
                    optimizer=learner.optimizer.state_dict(),
                    history=history,
                    average=learner.average_state(),
                    best=best,
                    targets=None if targets is None else targets.state(),
                )
            )
    network.load_state_dict(learner.kept_weights() if best is None else best)
    calibration = None
    if validation:
        if fit.recipe.tile or fit.recipe.tta != "none":
            margins, truth = inspected_margins(fit.dataset, fit.dataset.part("validation"), fit.recipe, network)
        else:
            logits, held = learner.logits_on(validation.batches(lambda: None), kept=False)
            margins, truth = margins_of(logits), held.cpu().numpy() == POSITIVE_INDEX
        calibration = calibrate(margins, truth)
        cool(network, calibration.temperature)
    return Fitted(history=history, best_epoch=best_epoch(history), calibration=calibration)


def _validation_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[float, float]:
    """Calibrated, as the scores will be, and weighted like the loss that is learned by; with its standard error."""
    targets = targets.cpu()
    return calibrated_loss(margins_of(logits), targets.numpy() == POSITIVE_INDEX, weights[targets].double().numpy())


def best_epoch(history: tuple[EpochRecord, ...]) -> int | None:
    """The last epoch whose loss on the validation images lies within one standard error of the smallest.

    None where there were no such images. Which loss is smallest is luck where few images are held out, and of equals
    the later epoch has taken the smaller steps (the rule of Breiman et al. 1984, "Classification and Regression Trees",
    who take the smaller tree). Solar cells: docs/accuracy.md.
    """
    # NaN is smaller than nothing, and nothing than it.
    told = [
        (record.validation_loss, record.validation_error or 0.0, record.epoch)
        for record in history
        if record.validation_loss is not None and math.isfinite(record.validation_loss)
    ]
    if not told:
        return None
    smallest, error, _ = min(told)
    return max(epoch for loss, _, epoch in told if loss <= smallest + error)


def _has_had_enough(recipe: Recipe, history: tuple[EpochRecord, ...]) -> bool:
    best = best_epoch(history)
    # While the head alone learns, nothing is decided.
    return bool(recipe.patience and best and len(history) - max(best, recipe.head_epochs) >= recipe.patience)


def _batches(fit: Fit, backbone: Backbone, epochs: range, check: Callable[[], None]) -> Generator[Batch, None, None]:
    """The batches of all these epochs; kept features are computed before this returns."""
    source = Source(dataset=fit.dataset, recipe=fit.recipe, backbone=backbone)
    if not fit.recipe.views or not epochs:
        return epoch_batches(source, epochs)
    kept = KeptFeatures(source, fit.state.features)
    return kept.epoch_batches(kept.load(fit.on_step, check), epochs)


def _targets(fit: Fit) -> Targets | None:
    """None where a label is what it is."""
    if fit.recipe.label_momentum == 1:
        return None
    return Targets(torch.tensor([target_of(sample) for sample in fit.dataset.part("train")]), fit.recipe)


def _run_epoch(
    fit: Fit,
    learner: Learner,
    targets: Targets | None,
    epoch: int,
    batches: Iterator[Batch],
    check: Callable[[], None],
) -> EpochRecord:
    started = time.monotonic()
    order = epoch_order(fit.recipe, len(fit.dataset.part("train")), epoch)
    count = len(order)
    learner.begin(head_only=epoch <= fit.recipe.head_epochs)
    total, images, rate = 0.0, 0, 0.0
    for number, (numbers, batch) in enumerate(zip(order, islice(batches, count), strict=True), start=1):
        rate = fit.recipe.learning_rate_at((epoch - 1) * count + number - 1, count)
        told = batch if targets is None else replace(batch, targets=targets.of(numbers).to(fit.device))
        learned = learner.learn(told, rate, derived_seed(fit.recipe.seed, epoch, number, _MIX))
        if not math.isfinite(learned.loss):
            raise TrainingDiverged(f"The loss became {learned.loss}: lower --learning-rate ({rate:g}).")
        if targets is not None:
            targets.refine(numbers, learned.scores, epoch)
        total += learned.loss * len(batch.targets)
        images += len(batch.targets)
        if fit.on_step is not None:
            fit.on_step(Step(epoch=epoch, epochs=fit.recipe.rounds, batch=number, batches=count, loss=total / images))
        check()
    seconds = time.monotonic() - started
    return EpochRecord(epoch=epoch, loss=total / images, learning_rate=rate, seconds=seconds)


def class_weights(dataset: Dataset, recipe: Recipe) -> Tensor:
    """float32 (2,) in the order of the logits: n / (2 * n_class), as scikit-learn's "balanced", or ones."""
    if recipe.class_weighting == "none":
        return torch.ones(2)
    counts = Counter(sample.is_defective for sample in dataset.part("train"))
    weights = torch.ones(2)
    for defective, count in counts.items():
        weights[POSITIVE_INDEX if defective else 1 - POSITIVE_INDEX] = counts.total() / (2 * count)
    return weights
