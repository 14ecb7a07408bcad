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
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from trainer.backbone import Backbone
from trainer.batches import Batch, Source, epoch_batches, epoch_order
from trainer.dataset import Dataset
from trainer.errors import TrainingDiverged
from trainer.features import KeptFeatures
from trainer.interruption import deferred_interrupts
from trainer.progress import OnStep, Step
from trainer.recipe import Recipe
from trainer.resume import EpochRecord, StateFile, TrainingState
from vision.checkpoint import POSITIVE_INDEX
from vision.cores import usable_cores
from vision.network import Network, layers_from, trainable_parameters


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One training, whole: what is learned from, how, where, and where its state is kept."""

    dataset: Dataset
    recipe: Recipe
    device: torch.device
    state: StateFile
    on_step: OnStep | None = None


class _Learner:
    """The network, its optimizer and its loss, on their device."""

    def __init__(self, fit: Fit, network: Network) -> None:
        self.network = network.to(device=fit.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            trainable_parameters(network), lr=fit.recipe.learning_rate, weight_decay=fit.recipe.weight_decay
        )
        self._layers = layers_from(network, fit.recipe.train_from)
        self._half = fit.recipe.precision == "bfloat16"
        weights = class_weights(fit.dataset, fit.recipe).to(fit.device)
        self._criterion = nn.CrossEntropyLoss(weight=weights)

    def learn(self, batch: Batch, learning_rate: float) -> float:
        """One step of the optimizer; the batch's loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        device = batch.features.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._half and len(self._layers) > 1):
            logits = self._layers(batch.features)
        loss = self._criterion(logits.float(), batch.targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"The loss became {value}: lower --learning-rate ({learning_rate:g}).")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return value


def run_fit(fit: Fit, network: Network, *, resume: bool) -> tuple[EpochRecord, ...]:
    """Train `network` in place for all epochs that are not done yet; the record of every epoch.

    Raises TrainingDiverged, and DatasetError where an image changed since the data set was opened.
    """
    torch.set_num_threads(usable_cores())  # whatever scored in this process before may have asked for one
    state = fit.state.read() if resume else None
    if state is not None:
        network.load_state_dict(state.network)
    learner = _Learner(fit, network)
    if state is not None:
        learner.optimizer.load_state_dict(state.optimizer)
    history = () if state is None else state.history
    epochs = range(len(history) + 1, fit.recipe.epochs + 1)
    with deferred_interrupts() as check, closing(_batches(fit, network, epochs, check)) as batches:
        for epoch in epochs:
            history += (_run_epoch(fit, learner, epoch, batches, check),)
            fit.state.write(
                TrainingState(
                    network=learner.network.state_dict(), optimizer=learner.optimizer.state_dict(), history=history
                )
            )
    return history


def _batches(fit: Fit, network: Network, epochs: range, check: Callable[[], None]) -> Generator[Batch, None, None]:
    """The batches of all these epochs; kept features are computed before this returns."""
    source = Source(dataset=fit.dataset, recipe=fit.recipe, backbone=Backbone(network, fit.recipe))
    if not fit.recipe.views or not epochs:
        return epoch_batches(source, epochs)
    kept = KeptFeatures(source, fit.state.features)
    return kept.epoch_batches(kept.load(fit.on_step, check), epochs)


def _run_epoch(
    fit: Fit, learner: _Learner, epoch: int, batches: Iterator[Batch], check: Callable[[], None]
) -> EpochRecord:
    started = time.monotonic()
    count = len(epoch_order(fit.recipe, len(fit.dataset.part("train")), epoch))
    learner.network.train()
    total, images, rate = 0.0, 0, 0.0
    for number, batch in enumerate(islice(batches, count), start=1):
        rate = fit.recipe.learning_rate_at((epoch - 1) * count + number - 1, fit.recipe.epochs * count)
        total += learner.learn(batch, rate) * len(batch.targets)
        images += len(batch.targets)
        if fit.on_step is not None:
            loss = total / images
            fit.on_step(Step(epoch=epoch, epochs=fit.recipe.epochs, batch=number, batches=count, loss=loss))
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
