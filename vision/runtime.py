"""What answers for a batch of pixels, on which device, and at which precision?"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.checkpoint import Checkpoint
from vision.faults import one_line
from vision.network import POSITIVE_INDEX
from vision.preprocessing import Preprocessing


class DeviceUnavailable(Exception):
    """The device that was asked for is not there; the message says what is."""


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

    def score(self, batch: Tensor) -> NDArray[np.float32]:
        """P(defective) of each row of a uint8 batch (N, 3, S, S)."""
        ...


def choose_device(wanted: str) -> str:
    """The device for `auto` (the first GPU, or the CPU where there is none), `cpu`, `cuda` or `cuda:N`.

    Raises `DeviceUnavailable` when the machine has no such device.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise DeviceUnavailable(f"{wanted!r} is no device: use auto, cpu, cuda or cuda:N.") from error
    if device.type == "cpu":
        return "cpu"
    if device.type != "cuda":
        raise DeviceUnavailable(f"{wanted!r} is not supported: use auto, cpu, cuda or cuda:N.")
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        raise DeviceUnavailable(
            f"{wanted!r} was asked for, but this machine shows {count} CUDA devices. Use auto or cpu."
        )
    return f"cuda:{index}"


class TorchRuntime:
    """A checkpoint on a device, in single precision."""

    engine = "torch"
    precision = "fp32"

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.preprocessing = checkpoint.info.preprocessing
        # channels_last: 0.76 s instead of 1.21 s for 32 images of 224 x 224 on two CPU cores.
        self._network = checkpoint.network.to(device=self.device, memory_format=torch.channels_last).eval()

    def score(self, batch: Tensor) -> NDArray[np.float32]:
        """P(defective), shape (N,), of a uint8 batch (N, 3, S, S) that lies on any device.

        A batch for which the device has no memory is scored in halves. Raises `InvalidScore` if any answer is not
        finite: NaN compares as "not above the threshold", a PASS. Raises `DeviceOutOfMemory` and `DeviceFailed`.
        """
        try:
            return self._score(batch)
        except torch.OutOfMemoryError as error:
            words = str(error)
        except RuntimeError as error:
            if is_of_the_device(error):
                raise DeviceFailed(f"{self.device} failed: {one_line(str(error))}") from error
            raise
        # Outside of `except`: the error's traceback would hold on to the memory that is needed.
        if len(batch) == 1:
            raise DeviceOutOfMemory(f"{self.device} has no memory for a single image: {one_line(words)}")
        if self.device != "cpu":
            torch.cuda.empty_cache()
        half = len(batch) // 2
        return np.concatenate((self.score(batch[:half]), self.score(batch[half:])))

    def _score(self, batch: Tensor) -> NDArray[np.float32]:
        # TF32, cuDNN's default for convolutions, keeps 10 bits of mantissa; that would not be fp32.
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False, fp32_precision="ieee"),
        ):
            pixels = self.preprocessing.normalise(batch.to(self.device, non_blocking=True))
            logits = self._network(pixels.contiguous(memory_format=torch.channels_last))
            scores = torch.softmax(logits.float(), dim=1)[:, POSITIVE_INDEX].cpu()
        if not bool(torch.isfinite(scores).all()):
            raise InvalidScore(
                "The network answered NaN or infinity; its weights are damaged. Restore its file, or train a new model."
            )
        answer: NDArray[np.float32] = scores.numpy()
        return answer


def is_of_the_device(error: Exception) -> bool:
    """Whether the device has failed this process.

    After a CUDA error (a launch failure, an illegal address, …) every later call of the process fails, too.
    """
    accelerator = getattr(torch, "AcceleratorError", None)  # from torch 2.8 on
    return (accelerator is not None and isinstance(error, accelerator)) or str(error).startswith("CUDA error")
