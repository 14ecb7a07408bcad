"""What is asked for the scores of a batch of pixels, whatever library answers?"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vision.preprocessing import Preprocessing

Pixels = NDArray[np.uint8]  # (N, 3, size, size), channels first, 0..255
Scores = NDArray[np.float32]  # (N,): P(defective)


class DeviceUnavailable(Exception):
    """The device or the runtime that was asked for is not there; the message says what is."""


class DeviceOutOfMemory(Exception):
    """The device has no room for a single image. Others use it, or it is too small."""


class DeviceFailed(Exception):
    """The device is of no use to this process any more; a new process may find it well."""


class InvalidScore(ArithmeticError):
    """The network answered something that is no probability. No verdict can come from that."""


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

    def score(self, pixels: Pixels) -> Scores:
        """P(defective) of each row. Raises InvalidScore, DeviceOutOfMemory and DeviceFailed."""
        ...


def checked(scores: Scores) -> Scores:
    """`scores`, if all of them are finite: NaN compares as "not above the threshold", a PASS. Raises InvalidScore."""
    if not np.isfinite(scores).all():
        raise InvalidScore(
            "The network answered NaN or infinity; its weights are damaged. Restore its file, or train a new model."
        )
    return scores


def is_of_the_device(error: Exception) -> bool:
    """Whether the device has failed this process.

    After a CUDA error (a launch failure, an illegal address, …) every later call of the process fails, too.
    """
    # By its name: torch may not be loaded, and has the class only from 2.8 on.
    return type(error).__name__ == "AcceleratorError" or str(error).startswith("CUDA error")
