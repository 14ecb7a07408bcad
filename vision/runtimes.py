"""Which runtimes can a checkpoint be used with, in which file does each lie, and how is one opened?

A library is imported when a runtime that needs it is opened: ONNX Runtime never costs the seconds that torch takes,
and whoever only names runtimes pays for neither.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.onnx_runtime import OnnxRuntime
    from vision.runtime import Runtime
    from vision.torch_runtime import TorchRuntime

REFERENCE = "torch"  # fp32: what every other runtime is compared with
FP32_DIFFERENCE = 1e-4  # of an image's scores by two runtimes in fp32, from which on they do not say the same

# name -> what follows the checkpoint's digest in the file's name
_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {REFERENCE: ".safetensors", "torch-bf16": ".safetensors", "onnx": ".onnx", "onnx-int8": ".int8.onnx"}
)
_PRECISIONS: Mapping[str, str] = MappingProxyType(
    {REFERENCE: "fp32", "torch-bf16": "bf16", "onnx": "fp32", "onnx-int8": "int8"}
)
_ENGINES: Mapping[str, str] = MappingProxyType(
    {REFERENCE: "torch", "torch-bf16": "torch", "onnx": "onnxruntime", "onnx-int8": "onnxruntime"}
)
RUNTIMES = tuple(_SUFFIXES)
EXPORTED = ("onnx", "onnx-int8")  # those with a file of their own, which has a digest of its own


def file_of(name: str, models_folder: Path, checkpoint_digest: str) -> Path:
    """Where the runtime `name` of a checkpoint is kept."""
    return models_folder / f"{checkpoint_digest}{_SUFFIXES[name]}"


def name_of(engine: str, precision: str) -> str | None:
    """The runtime that a verdict was given by, from what is stored with it; None where this version has none such."""
    return next((name for name in RUNTIMES if (_ENGINES[name], _PRECISIONS[name]) == (engine, precision)), None)


def open_runtime(
    name: str, models_folder: Path, checkpoint_digest: str, file_digest: str | None = None, device: str = "auto"
) -> "Runtime":
    """The runtime, ready to score; `file_digest` (hex) is the recorded one of an exported file, None: not recorded.

    Raises CheckpointError where the file is missing, altered, or not of this checkpoint, and DeviceUnavailable where
    the device or the runtime's library is not here.
    """
    from vision.runtime import DeviceUnavailable

    file = file_of(name, models_folder, checkpoint_digest)
    try:
        if name in EXPORTED:
            return _onnx(name, file, checkpoint_digest, file_digest, device)
        return _torch(name, file, checkpoint_digest, device)
    except ImportError as error:
        raise DeviceUnavailable(f"The runtime {name} needs the package {error.name}, which is not here.") from error


def _torch(name: str, file: Path, checkpoint_digest: str, device: str) -> "TorchRuntime":
    from vision.saved_network import load_checkpoint
    from vision.torch_runtime import TorchRuntime

    return TorchRuntime(load_checkpoint(file, checkpoint_digest), device, _PRECISIONS[name])


def _onnx(name: str, file: Path, checkpoint_digest: str, file_digest: str | None, device: str) -> "OnnxRuntime":
    from vision.checkpoint import CheckpointAltered
    from vision.onnx_runtime import OnnxRuntime
    from vision.runtime import DeviceUnavailable

    if device not in ("auto", "cpu"):
        raise DeviceUnavailable(f"The runtime {name} runs on the CPU, not on {device}: use auto or cpu.")
    runtime = OnnxRuntime(file, file_digest, _PRECISIONS[name])
    if runtime.checkpoint_digest != checkpoint_digest:
        raise CheckpointAltered(
            f"{file} was exported from another checkpoint, {runtime.checkpoint_digest[:12]}. Put the original back."
        )
    return runtime
