"""How does a trained network become a checkpoint file, and a file a network again?"""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from vision.checkpoint import METADATA_KEY, CheckpointFormat, CheckpointInfo, info_of, read_verified
from vision.network import Network
from vision.whole_file import write_whole


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model, ready to be asked."""

    info: CheckpointInfo
    digest: str  # sha256 of the file, hex
    network: Network  # on the CPU, in evaluation mode


def save_checkpoint(path: Path, network: nn.Module, info: CheckpointInfo) -> str:
    """Write the file, whole or not at all, and return its sha256. The network stays as it is."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = safetensors.torch.save(tensors, metadata={METADATA_KEY: info.to_json()})
    return write_whole(path, content)


def load_checkpoint(path: Path, expected_digest: str | None = None) -> Checkpoint:
    """Load the model; with `expected_digest` (sha256, hex) only if the file is exactly the recorded one.

    The bytes are hashed before they are parsed, and the bytes hashed are the bytes loaded.
    """
    content, digest = read_verified(path, expected_digest)
    info = info_of(content, path)
    network = Network()
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointFormat(f"The weights in {path} do not fit {info.architecture}. Train a new model.") from error
    return Checkpoint(info=info, digest=digest, network=network.eval())
