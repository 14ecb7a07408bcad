"""How does a trained network become a checkpoint file, and a file a network again?"""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vision.checkpoint import METADATA_KEY, CheckpointFormat, CheckpointInfo, info_of, read_verified
from vision.network import Network, shape_before
from vision.novelty import Novelty
from vision.whole_file import write_whole


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model, ready to be asked."""

    info: CheckpointInfo
    digest: str  # sha256 of the file, hex
    network: Network  # on the CPU, in evaluation mode
    novelty: Novelty | None  # None: the model was trained before there was one


_FEATURES = "novelty.features"  # beside the network's own tensors


def save_checkpoint(path: Path, network: nn.Module, info: CheckpointInfo, novelty: Novelty | None = None) -> str:
    """Write the file, whole or not at all, and return its sha256. The network stays as it is.

    Raises ValueError where `info` names another radius than `novelty` has.
    """
    if info.novelty_radius != (None if novelty is None else novelty.radius):
        raise ValueError("the description and the novelty have to tell the same radius")
    state = dict(network.state_dict())
    if novelty is not None:
        state[_FEATURES] = novelty.features
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
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
        tensors = safetensors.torch.load(content)
        novelty = _novelty(tensors, info)
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointFormat(f"The weights in {path} do not fit {info.architecture}. Train a new model.") from error
    return Checkpoint(info=info, digest=digest, network=network.eval(), novelty=novelty)


def _novelty(tensors: dict[str, Tensor], info: CheckpointInfo) -> Novelty | None:
    """Taken out of `tensors`. Raises KeyError and ValueError where the file and its description do not agree."""
    if info.novelty_radius is None:
        return None
    features = tensors.pop(_FEATURES)
    if features.ndim != 2 or features.shape[1:] != shape_before("head", info.preprocessing.size):
        raise ValueError(f"features of shape {tuple(features.shape)}")
    return Novelty(features, info.novelty_radius)
