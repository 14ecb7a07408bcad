"""What is asked for the scores of a batch of pixels, whatever library answers?"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vision.preprocessing import Preprocessing

Pixels = NDArray[np.uint8]  # (N, 3, size, size), channels first, 0..255
Scores = NDArray[np.float32]  # (N,): P(defective)
Novelties = NDArray[np.float32]  # (N,): distance from what was seen in training; vision/novelty.py says in what unit


class DeviceUnavailable(Exception):
    """The device or the runtime that was asked for is not there; the message says what is."""


class DeviceOutOfMemory(Exception):
    """The device has no room for a single image. Others use it, or it is too small."""


class DeviceFailed(Exception):
    """The device is of no use to this process any more; a new process may find it well."""


class InvalidScore(ArithmeticError):
    """The network answered something that is no probability. No verdict can come from that."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the network says of a batch, row by row."""

    scores: Scores
    novelties: Novelties | None  # None: the model was trained before there were any


class Runtime(Protocol):
    """Whatever turns pixels into scores. What it is made of is stored with every result."""

    engine: str
    precision: str
    device: str
    preprocessing: Preprocessing
    batch_size: int  # images that are scored at a time
    lanes: int  # threads that may score at once; 0: whichever thread has the pixels, one core each

    def buffer(self, rows: int) -> Pixels:
        """Memory for pixels from which this runtime reads fastest."""
        ...

    def score(self, pixels: Pixels) -> Answers:
        """P(defective) of each row, and how new it is. Raises InvalidScore, DeviceOutOfMemory and DeviceFailed."""
        ...


def checked(answers: Answers) -> Answers:
    """`answers`, if all of them are finite: NaN compares as "not above the threshold", a PASS. Raises InvalidScore."""
    if not all(np.isfinite(each).all() for each in (answers.scores, answers.novelties) if each is not None):
        raise InvalidScore(
            "The network answered NaN or infinity; its weights are damaged. Restore its file, or train a new model."
        )
    return answers


def is_of_the_device(error: Exception) -> bool:
    """Whether the device has failed this process.

    After a CUDA error (a launch failure, an illegal address, …) every later call of the process fails, too.
    """
    # By its name: torch may not be loaded, and has the class only from 2.8 on.
    return type(error).__name__ == "AcceleratorError" or str(error).startswith("CUDA error")
