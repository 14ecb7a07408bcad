"""How does a data set become a checkpoint?

Weights, network, fit, file: either the checkpoint stands there whole and known by its digest, or there is none.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from trainer.augmentation import derived_seed, inspected
from trainer.calibration import Calibration
from trainer.dataset import Dataset, DatasetSnapshot
from trainer.errors import TrainerError, TrainingInterrupted
from trainer.fit import Fit, run_fit
from trainer.interruption import deferred_interrupts
from trainer.novelty import seen_in_training
from trainer.progress import OnStep
from trainer.recipe import Recipe
from trainer.resume import EpochRecord, StateFile
from trainer.tiles import tiled
from trainer.validation import held_out
from vision.checkpoint import ARCHITECTURE, CheckpointInfo
from vision.cores import quick_in_bfloat16
from vision.network import Network, PretrainedWeights, build_network, freeze_before, load_weights
from vision.novelty import Novelty
from vision.saved_network import save_checkpoint
from vision.torch_runtime import choose_device

_HEAD = -2  # stands where an image's number stands in derived_seed: the head's first weights


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What is trained, on what, and where its files go."""

    dataset: Dataset
    recipe: Recipe
    checkpoint: Path  # the file to write
    state_folder: Path  # where finished epochs are kept until the checkpoint is written
    device: str = "auto"  # auto, cpu, cuda or cuda:N
    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """Everything about a finished training that is worth a row."""

    checkpoint: Path
    digest: str  # sha256 of the checkpoint's bytes
    info: CheckpointInfo
    recipe: Mapping[str, Any]  # and the boxes, where there were some, as DrawnBoxes names them
    dataset: DatasetSnapshot
    weights_source: str  # "imagenet", "none" or a file's name
    weights_sha256: str | None
    history: tuple[EpochRecord, ...]
    best_epoch: int | None  # whose weights were kept; None: the last one's
    calibration: Calibration | None  # None without validation images
    resumed_after: int  # epochs that an earlier, interrupted run had finished
    device: str
    torch_version: str
    code_version: str
    started: datetime  # UTC
    finished: datetime  # UTC
    seconds: float  # of this run, without what an interrupted one had spent


def train(plan: TrainingPlan, on_step: OnStep | None = None) -> TrainingOutcome:
    """Train and write the checkpoint.

    Raises TrainingInterrupted on Ctrl-C (nothing is written but the state of finished epochs), WeightsError,
    DeviceUnavailable, TrainingDiverged, DatasetError, and TrainerError where a file cannot be written; after each of
    them there is no checkpoint.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    device = choose_device(plan.device)
    plan = replace(plan, recipe=settled(plan.recipe, device))
    weights = load_weights(plan.recipe.weights)
    state = StateFile(plan.state_folder, _key(plan, weights))
    if not plan.resume:
        state.remove()
    before = state.read()
    resumed_after = 0 if before is None else len(before.history)
    parted = held_out(plan.dataset, share=plan.recipe.validation_share, seed=plan.recipe.seed)
    network = _fresh_network(plan.recipe, weights)
    plan.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    try:
        if plan.recipe.tile:
            parted = tiled(parted, plan.recipe, network.to(device))
        fit = Fit(dataset=parted, recipe=plan.recipe, device=torch.device(device), state=state, on_step=on_step)
        fitted = run_fit(fit, network, resume=plan.resume)
        with deferred_interrupts() as check:
            novelty = seen_in_training(parted, plan.recipe, network, on_step, check)
        info = _info(plan, weights, novelty)
        digest = save_checkpoint(plan.checkpoint, network, info, novelty)
    except KeyboardInterrupt:
        raise TrainingInterrupted(_stopped(state, plan.recipe)) from None
    except OSError as error:
        raise TrainerError(
            f"The checkpoint cannot be written ({error}). Mend that; the same command with --resume writes it."
        ) from error
    state.remove()
    return TrainingOutcome(
        checkpoint=plan.checkpoint,
        digest=digest,
        info=info,
        recipe=_recorded(plan),
        dataset=plan.dataset.snapshot(),
        weights_source=weights.source,
        weights_sha256=weights.sha256,
        history=fitted.history,
        best_epoch=fitted.best_epoch,
        calibration=fitted.calibration,
        resumed_after=resumed_after,
        device=device,
        torch_version=torch.__version__,
        code_version=info.code_version,
        started=started,
        finished=datetime.now(UTC),
        seconds=time.monotonic() - clock,
    )


def settled(recipe: Recipe, device: str) -> Recipe:
    """The recipe with the precision that "auto" means on this device: what is stored is what was computed with."""
    if recipe.precision != "auto":
        return recipe
    quick = torch.cuda.is_bf16_supported() if device != "cpu" else quick_in_bfloat16()
    return replace(recipe, precision="bfloat16" if quick else "float32")


def _fresh_network(recipe: Recipe, weights: PretrainedWeights) -> Network:
    """The network before the first step; the same seed draws the same head."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(recipe.seed, 0, _HEAD))
        network = build_network(pretrained_state=weights.state)
    freeze_before(network, recipe.train_from)
    return network


def _recorded(plan: TrainingPlan) -> dict[str, Any]:
    """The recipe, and which boxes it was carried out with."""
    drawn = plan.dataset.drawn_boxes
    return plan.recipe.to_dict() | ({} if drawn is None else asdict(drawn))


def training_key(plan: TrainingPlan) -> str:
    """Names all that decides which weights come out of this training, on this machine."""
    recipe = settled(plan.recipe, choose_device(plan.device))
    return _key(replace(plan, recipe=recipe), load_weights(recipe.weights))


def _key(plan: TrainingPlan, weights: PretrainedWeights) -> str:
    pixels = inspected(plan.recipe).fingerprint
    parts = [plan.recipe.key(), plan.dataset.fingerprint, weights.sha256 or weights.source, pixels]
    if plan.dataset.drawn_boxes is not None:
        parts.append(plan.dataset.drawn_boxes.boxes_sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _info(plan: TrainingPlan, weights: PretrainedWeights, novelty: Novelty) -> CheckpointInfo:
    return CheckpointInfo(
        architecture=ARCHITECTURE,
        class_names=(plan.dataset.negative, plan.dataset.positive),
        positive_class=plan.dataset.positive,
        preprocessing=inspected(plan.recipe),
        recipe={**_recorded(plan), "weights": weights.source, "weights_sha256": weights.sha256},
        dataset_fingerprint=plan.dataset.fingerprint,
        code_version=version("inspectq"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        novelty_radius=novelty.radius,
    )


def _stopped(state: StateFile, recipe: Recipe) -> str:
    kept = state.read()
    if kept is None:
        stop = "Training was interrupted before its first epoch was finished; no checkpoint was written."
        return f"{stop} The same command with --resume keeps its features." if state.features.exists() else stop
    return (
        f"Training was interrupted after epoch {len(kept.history)} of {recipe.rounds}; no checkpoint was "
        "written. The same command with --resume goes on from there."
    )
