"""Which runtime does a worker use for a job's model?

Only one that has proven, on labelled images, to say what the reference says (db/runtimes.py). The reference itself
is PyTorch in single precision.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from db.models import RuntimeParity
from vision.checkpoint import CheckpointMissing
from vision.runtime import DeviceUnavailable, Runtime
from vision.runtimes import EXPORTED, REFERENCE, open_runtime

log = logging.getLogger(__name__)

AUTO = "auto"
# The order of speed, measured: docs/benchmarks.md.
FASTEST_FIRST = {"cpu": ("onnx-int8", "onnx", REFERENCE), "cuda": ("torch-bf16", REFERENCE)}


class RuntimeRefused(Exception):
    """The runtime that a job asks for has not proven that it may be used."""


def best_runtime(
    wanted: str, compared: Sequence[RuntimeParity], models_folder: Path, digest: str, device: str
) -> Runtime:
    """The runtime `wanted`, or for `auto` the fastest accepted one that this worker has, on its device.

    `compared`: the comparisons that count of the checkpoint `digest`. Raises RuntimeRefused, and what opening it
    raises: CheckpointError, DeviceUnavailable.
    """
    by_name = {row.name: row for row in compared}
    if wanted != AUTO:
        return _open(wanted, by_name.get(wanted), models_folder, digest, device)
    for name in FASTEST_FIRST["cuda" if _is_gpu(device) else "cpu"]:
        row = by_name.get(name)
        if name != REFERENCE and (row is None or not row.accepted):
            continue
        try:
            return _open(name, row, models_folder, digest, device)
        except (CheckpointMissing, DeviceUnavailable) as error:
            if name == REFERENCE:
                raise
            log.warning("not with the runtime %s: %s", name, error)
    raise AssertionError("the reference is always tried")


def recorded_runtime(
    name: str, device: str, comparison: RuntimeParity | None, models_folder: Path, digest: str
) -> Runtime:
    """The runtime that gave a verdict, whatever has been said of it since; its file has to be the recorded one.

    Where `device` is not here, the same runtime on what is; at last the reference. `comparison`: by which it could be
    used then. Raises RuntimeRefused where none is recorded of an exported file, and CheckpointError.
    """
    if name in EXPORTED and comparison is None:
        raise RuntimeRefused(f"No comparison of the runtime {name} from then is recorded: its file cannot be verified.")
    file_digest = None if comparison is None else comparison.file_digest
    for tried, on in ((name, device), (name, AUTO)):
        try:
            return open_runtime(tried, models_folder, digest, file_digest, on)
        except DeviceUnavailable as error:
            log.info("not with the runtime %s on %s: %s", tried, on, error)
    return open_runtime(REFERENCE, models_folder, digest, None, AUTO)


def _open(name: str, row: RuntimeParity | None, models_folder: Path, digest: str, device: str) -> Runtime:
    if name != REFERENCE:
        if row is None:
            model = digest[:12]
            how = f"models export {model} DIR" if name in EXPORTED else f"evaluate {model} DIR --runtime {name}"
            raise RuntimeRefused(
                f"The runtime {name} of this model was never compared with the reference. Compare it: inspectq {how}"
            )
        if not row.accepted:
            raise RuntimeRefused(f"The runtime {name} of this model is refused: {row.reason}")
    return open_runtime(name, models_folder, digest, row.file_digest if row is not None else None, device)


def _is_gpu(device: str) -> bool:
    """Whether a worker on this device computes on a GPU, without loading torch to find out."""
    return device.startswith("cuda") or (device == AUTO and Path("/dev/nvidia0").exists())
