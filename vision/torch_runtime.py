"""What does PyTorch answer for a batch of pixels, on the CPU or on a GPU?"""

import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from vision.checkpoint import POSITIVE_INDEX
from vision.faults import one_line
from vision.flips import Mirrored
from vision.network import layers_before
from vision.runtime import (
    Answers,
    DeviceFailed,
    DeviceOutOfMemory,
    DeviceUnavailable,
    Pixels,
    checked,
    is_of_the_device,
)
from vision.saved_network import Checkpoint

CPU_BATCH = 8
GPU_BATCH = 128
GPU_LANES = 2  # one batch is copied while the other is computed


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
    """A checkpoint on a device: the reference that every other runtime is compared with, where it is fp32."""

    engine = "torch"

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: str = "fp32") -> None:
        """`precision`: fp32, or bf16 on a GPU. Raises DeviceUnavailable."""
        self.device = choose_device(device)
        self.precision = precision
        self.preprocessing = checkpoint.info.preprocessing
        on_cpu = self.device == "cpu"
        if precision not in ("fp32", "bf16") or (on_cpu and precision != "fp32"):
            raise DeviceUnavailable(f"PyTorch is used with fp32, and on a GPU with bf16; not {precision} on {device}.")
        self.batch_size = CPU_BATCH if on_cpu else GPU_BATCH
        self.lanes = 0 if on_cpu else GPU_LANES
        if on_cpu:  # each decoding thread scores, too; more threads inside of it would only get into each other's way
            torch.set_num_threads(1)
        self._streams = threading.local()
        # channels_last: 0.76 s instead of 1.21 s for 32 images of 224 x 224 on two CPU cores.
        self._network = checkpoint.network.to(device=self.device, memory_format=torch.channels_last).eval()
        self._features = Mirrored(layers_before(self._network, "head"), self.preprocessing.flips)
        self._novelty = None if checkpoint.novelty is None else checkpoint.novelty.to(self.device)

    def buffer(self, rows: int) -> Pixels:
        """Pinned for a GPU, so that the copy to it needs no other one and can be overlapped."""
        size = self.preprocessing.size
        pixels: Pixels = torch.empty((rows, 3, size, size), dtype=torch.uint8, pin_memory=self.device != "cpu").numpy()
        return pixels

    def score(self, pixels: Pixels) -> Answers:
        """What the network says of each row; in a stream of its own per thread.

        A batch for which the device has no memory is scored in halves.
        """
        try:
            return checked(self._score(torch.from_numpy(pixels)))
        except torch.OutOfMemoryError as error:
            words = str(error)
        except RuntimeError as error:
            if is_of_the_device(error):
                raise DeviceFailed(f"{self.device} failed: {one_line(str(error))}") from error
            raise
        # Outside of `except`: the error's traceback would hold on to the memory that is needed.
        if len(pixels) == 1:
            raise DeviceOutOfMemory(f"{self.device} has no memory for a single image: {one_line(words)}")
        if self.device != "cpu":
            torch.cuda.empty_cache()
        half = len(pixels) // 2
        return _joined(self.score(pixels[:half]), self.score(pixels[half:]))

    def _score(self, batch: Tensor) -> Answers:
        # TF32, cuDNN's default for convolutions, keeps 10 bits of mantissa; that would not be fp32.
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False, fp32_precision="ieee"),
            self._own_stream(),
        ):
            pixels = self.preprocessing.normalise(batch.to(self.device, non_blocking=True))
            with self._autocast():
                features, own = self._features(pixels.contiguous(memory_format=torch.channels_last))
                logits = self._network.fc(features)
            scores = torch.softmax(logits.float(), dim=1)[:, POSITIVE_INDEX]
            novelties = None if self._novelty is None else self._novelty(own.float())
            return Answers(
                scores=scores.cpu().numpy(), novelties=None if novelties is None else novelties.cpu().numpy()
            )

    def _own_stream(self) -> AbstractContextManager[object]:
        if self.device == "cpu":
            return nullcontext()
        if not hasattr(self._streams, "stream"):
            self._streams.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._streams.stream)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast("cuda", dtype=torch.bfloat16)


def _joined(first: Answers, second: Answers) -> Answers:
    scores = np.concatenate((first.scores, second.scores))
    if first.novelties is None or second.novelties is None:
        return Answers(scores=scores, novelties=None)
    return Answers(scores=scores, novelties=np.concatenate((first.novelties, second.novelties)))
