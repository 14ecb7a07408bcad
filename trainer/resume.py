"""Where did an interrupted training stop, so that it can go on as if it never had?

After each finished epoch one file holds the weights, the optimizer and the history. Nothing random has to be
kept: every draw of an epoch follows from the recipe's seed and the epoch's number. Where features are kept
(trainer/features.py), their file lies beside it, and what an interruption left of it is used again.
"""

import contextlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.errors import TrainerError
from vision.whole_file import write_whole


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch came to."""

    epoch: int  # counted from 1
    loss: float  # mean over the epoch's images, weighted as the recipe weights the classes
    learning_rate: float  # of the epoch's last step
    seconds: float
    validation_loss: float | None = None  # of the weights that would be kept, calibrated, weighted like the loss
    validation_error: float | None = None  # its standard error


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that the next epoch starts from."""

    network: dict[str, Any]  # state_dict
    optimizer: dict[str, Any]  # state_dict
    history: tuple[EpochRecord, ...]
    average: dict[str, Any] | None = None  # state_dict of the running mean, where one is taken
    best: dict[str, Any] | None = None  # state_dict of the best epoch, where there are validation images
    targets: Tensor | None = None  # of the training images, as Targets has them, where they move


class StateFile:
    """The state of one training, in a folder shared by all; `key` names recipe, weights and data set."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / f"training-{key[:24]}.pt"
        self.features = folder / f"training-{key[:24]}.features"

    def write(self, state: TrainingState) -> None:
        """Whole or not at all: an interruption leaves the previous epoch's file. Raises TrainerError."""
        content = {
            "network": state.network,
            "optimizer": state.optimizer,
            "history": [asdict(record) for record in state.history],
            "average": state.average,
            "best": state.best,
            "targets": state.targets,
        }
        packed = io.BytesIO()  # into a file that cannot take it torch writes on, and says something else
        torch.save(content, packed)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, packed.getvalue())
        except OSError as error:
            raise TrainerError(
                f"The training's state cannot be kept as {self.path} ({error.strerror or error}). Make room there; "
                "the same command with --resume goes on after the last epoch that was kept."
            ) from error

    def read(self) -> TrainingState | None:
        """The state after the last finished epoch; None where none was finished."""
        if not self.path.exists():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            history = tuple(EpochRecord(**record) for record in content["history"])
            return TrainingState(
                network=content["network"],
                optimizer=content["optimizer"],
                history=history,
                average=content.get("average"),
                best=content.get("best"),
                targets=content.get("targets"),
            )
        except Exception as fault:  # torch names no common root for what a damaged file makes it raise
            raise TrainerError(
                f"The training state {self.path} is damaged ({type(fault).__name__}): train without --resume."
            ) from fault

    def remove(self) -> None:
        for path in (self.path, self.features):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
