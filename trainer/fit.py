"""How does a network learn from the training images?

A frozen backbone computes features without gradients and with its BatchNorm statistics at rest; only the head
learns. Every draw follows from the seed, the epoch and the image, so that a resumed run ends with the weights
of an uninterrupted one, with any number of worker processes.
"""

import math
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from trainer.augmentation import Drawn, EpochImages, derived_seed
from trainer.dataset import Dataset
from trainer.errors import DatasetError, TrainingDiverged
from trainer.interruption import deferred_interrupts
from trainer.progress import OnStep, Step
from trainer.recipe import Recipe
from trainer.resume import EpochRecord, StateFile, TrainingState
from vision.checkpoint import POSITIVE_INDEX
from vision.network import Network, trainable_parameters
from vision.preprocessing import Preprocessing

_ORDER = -1  # stands where an image's number stands in derived_seed: the epoch's order, no image


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One training, whole: what is learned from, how, where, and where its state is kept."""

    dataset: Dataset
    recipe: Recipe
    device: torch.device
    state: StateFile
    on_step: OnStep | None = None


@dataclass(frozen=True, kw_only=True)
class _Batch:
    pixels: Tensor  # uint8 (n, 3, size, size)
    targets: Tensor  # int64 (n,), the index of each image's logit
    fault: str | None

    def pin_memory(self) -> "_Batch":
        """The DataLoader's own hook, called where the recipe runs on a GPU."""
        return _Batch(pixels=self.pixels.pin_memory(), targets=self.targets.pin_memory(), fault=self.fault)


class _Learner:
    """The network, its optimizer and its loss, on their device."""

    def __init__(self, fit: Fit, network: Network) -> None:
        self._fit = fit
        self.network = network.to(device=fit.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            trainable_parameters(network), lr=fit.recipe.learning_rate, weight_decay=fit.recipe.weight_decay
        )
        weights = class_weights(fit.dataset, fit.recipe).to(fit.device)
        self._criterion = nn.CrossEntropyLoss(weight=weights)
        self._preprocessing = Preprocessing(size=fit.recipe.image_size)
        # The same modules, without the head: what is frozen is called without building a graph.
        self._backbone = nn.Sequential(
            *(child for name, child in network.named_children() if name != "fc"), nn.Flatten()
        )

    def learn(self, batch: _Batch, learning_rate: float) -> float:
        """One step of the optimizer; the batch's loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        pixels = batch.pixels.to(self._fit.device, non_blocking=True)
        targets = batch.targets.to(self._fit.device, non_blocking=True)
        loss = self._criterion(self.network.fc(self._features(pixels)), targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"The loss became {value}: lower --learning-rate ({learning_rate:g}).")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return value

    def _features(self, pixels: Tensor) -> Tensor:
        """float32 (n, 512)."""
        half = self._fit.recipe.precision == "bfloat16"
        learning = not self._fit.recipe.freeze_backbone
        with torch.set_grad_enabled(learning), torch.autocast(self._fit.device.type, torch.bfloat16, enabled=half):
            squares = self._preprocessing.normalise(pixels).contiguous(memory_format=torch.channels_last)
            features: Tensor = self._backbone(squares)
        return features.float()


def run_fit(fit: Fit, network: Network, *, resume: bool) -> tuple[EpochRecord, ...]:
    """Train `network` in place for all epochs that are not done yet; the record of every epoch.

    Raises TrainingDiverged, and DatasetError where an image changed since the data set was opened.
    """
    state = fit.state.read() if resume else None
    if state is not None:
        network.load_state_dict(state.network)
    learner = _Learner(fit, network)
    if state is not None:
        learner.optimizer.load_state_dict(state.optimizer)
    history = () if state is None else state.history
    with deferred_interrupts() as check:
        for epoch in range(len(history) + 1, fit.recipe.epochs + 1):
            history += (_run_epoch(fit, learner, epoch, check),)
            fit.state.write(
                TrainingState(
                    network=learner.network.state_dict(), optimizer=learner.optimizer.state_dict(), history=history
                )
            )
    return history


def _run_epoch(fit: Fit, learner: _Learner, epoch: int, check: Callable[[], None]) -> EpochRecord:
    started = time.monotonic()
    batches, count = _batches(fit, epoch)
    learner.network.train()
    total, images, rate = 0.0, 0, 0.0
    try:
        for number, batch in enumerate(batches, start=1):
            if batch.fault is not None:
                raise DatasetError(batch.fault)
            rate = fit.recipe.learning_rate_at((epoch - 1) * count + number - 1, fit.recipe.epochs * count)
            total += learner.learn(batch, rate) * len(batch.targets)
            images += len(batch.targets)
            if fit.on_step is not None:
                loss = total / images
                fit.on_step(Step(epoch=epoch, epochs=fit.recipe.epochs, batch=number, batches=count, loss=loss))
            check()
    finally:
        del batches  # ends its processes now, and not when the exception that may be on its way is forgotten
    seconds = time.monotonic() - started
    return EpochRecord(epoch=epoch, loss=total / images, learning_rate=rate, seconds=seconds)


def _batches(fit: Fit, epoch: int) -> tuple[Iterator[_Batch], int]:
    """This epoch's batches, and how many they are."""
    with warnings.catch_warnings():
        # Its advice is to have no more workers than cores, but they also wait for disks.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = _loader(fit, epoch)
        return iter(loader), len(loader)


def _loader(fit: Fit, epoch: int) -> DataLoader[Drawn]:
    """The epoch's images in the epoch's order."""
    samples = fit.dataset.part("train")
    generator = torch.Generator().manual_seed(derived_seed(fit.recipe.seed, epoch, _ORDER))
    # BatchNorm cannot learn from one image alone: a last batch of one is left out where it would have to.
    lonely = not fit.recipe.freeze_backbone and len(samples) % fit.recipe.batch_size == 1
    return DataLoader(
        EpochImages(fit.dataset.root, samples, fit.recipe, epoch),
        batch_size=fit.recipe.batch_size,
        shuffle=True,
        drop_last=lonely and len(samples) > 1,
        num_workers=min(fit.recipe.num_workers, len(samples)),
        pin_memory=fit.device.type == "cuda",
        collate_fn=_collate,
        worker_init_fn=_leave_interrupts_to_parent,
        generator=generator,
    )


def _collate(drawn: Sequence[Drawn]) -> _Batch:
    fault = next((image.fault for image in drawn if image.fault is not None), None)
    pixels = [image.pixels for image in drawn if image.pixels is not None]
    positions = [POSITIVE_INDEX if image.is_defective else 1 - POSITIVE_INDEX for image in drawn]
    return _Batch(
        pixels=torch.stack(pixels) if fault is None else torch.empty(0),
        targets=torch.tensor(positions),
        fault=fault,
    )


def _leave_interrupts_to_parent(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the parent alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def class_weights(dataset: Dataset, recipe: Recipe) -> Tensor:
    """float32 (2,) in the order of the logits: n / (2 * n_class), as scikit-learn's "balanced", or ones."""
    if recipe.class_weighting == "none":
        return torch.ones(2)
    counts = Counter(sample.is_defective for sample in dataset.part("train"))
    weights = torch.ones(2)
    for defective, count in counts.items():
        weights[POSITIVE_INDEX if defective else 1 - POSITIVE_INDEX] = counts.total() / (2 * count)
    return weights
