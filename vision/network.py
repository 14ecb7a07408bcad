"""What is the network, and where do its first weights come from?

ResNet18 with two outputs: logit 0 is good, logit 1 is defective. Frozen layers are frozen whole: no gradient,
and their BatchNorm keeps the statistics that it came with (left in training mode, it would drift with every
batch, and the frozen weights would no longer fit: measured as 47% instead of 74% accuracy).
"""

import hashlib
import io
import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights
from torchvision.models.resnet import BasicBlock, ResNet

CLASSES = 2

# The parts of ResNet18 from the pixels on, each by the names of its modules.
PARTS = {
    "stem": ("conv1", "bn1", "relu", "maxpool"),
    "layer1": ("layer1",),
    "layer2": ("layer2",),
    "layer3": ("layer3",),
    "layer4": ("layer4",),
    "head": ("fc",),
}

StateDict = Mapping[str, Tensor]

# torchvision names a file by the beginning of its sha256: resnet18-f37072fd.pth
NAMED_HASH = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|safetensors)$")


class WeightsError(Exception):
    """The first weights cannot be had as asked; the message says what to do."""


class WeightsUnavailable(WeightsError):
    """The ImageNet weights cannot be downloaded here."""


class WeightsInvalid(WeightsError):
    """The file holds no weights that fit ResNet18."""


class Network(ResNet):  # type: ignore[misc]  # torchvision ships no types
    """ResNet18 for two classes whose frozen parts stay in evaluation mode, whatever mode the rest is in."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=CLASSES)
        self.frozen: tuple[str, ...] = ()  # names of direct children

    def train(self, mode: bool = True) -> "Network":
        """Switch the mode, except where frozen: there BatchNorm never moves."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self


def build_network(*, pretrained_state: StateDict | None) -> Network:
    """A network with a new `fc` (drawn from torch's global generator) on `pretrained_state`, if any.

    The state's own `fc` is left out: it answers another question.
    """
    network = Network()
    if pretrained_state is not None:
        backbone = {key: value for key, value in pretrained_state.items() if not key.startswith("fc.")}
        head = {f"fc.{key}": value for key, value in network.fc.state_dict().items()}
        network.load_state_dict({**backbone, **head})
    return network


def freeze_before(network: Network, part: str) -> None:
    """Freeze what comes before `part`, one of PARTS, and nothing else: no gradients, and always evaluation mode."""
    network.frozen = tuple(name for before in _before(part) for name in PARTS[before])
    for name, child in network.named_children():
        child.requires_grad_(name not in network.frozen)
    network.train(network.training)


def layers_before(network: Network, part: str) -> nn.Sequential:
    """The network's own modules from pixels to what `part` is given; none before the stem.

    The head is given a vector of 512 numbers, a layer N x C x H x W.
    """
    modules = [network.get_submodule(name) for before in _before(part) for name in PARTS[before]]
    return nn.Sequential(*modules, *([network.avgpool, nn.Flatten()] if part == "head" else []))


def shape_before(part: str, size: int) -> tuple[int, ...]:
    """The shape of what `part` is given of one picture of `size` x `size` pixels: (512,) or (C, H, W)."""
    if part == "head":
        return (512,)
    channels, halvings = {"stem": (3, 0), "layer1": (64, 2), "layer2": (64, 2), "layer3": (128, 3), "layer4": (256, 4)}[
        part
    ]
    edge = math.ceil(size / 2**halvings)
    return (channels, edge, edge)


def layers_from(network: Network, part: str) -> nn.Sequential:
    """The network's own modules from `part` to the logits."""
    names = [name for name in PARTS if name not in _before(part) and name != "head"]
    modules = [network.get_submodule(module) for name in names for module in PARTS[name]]
    return nn.Sequential(*modules, *([] if part == "head" else [network.avgpool, nn.Flatten()]), network.fc)


def _before(part: str) -> tuple[str, ...]:
    names = tuple(PARTS)
    return names[: names.index(part)]


@dataclass(frozen=True, kw_only=True)
class PretrainedWeights:
    """Where training starts from, and what the record says about it."""

    source: str  # "imagenet", "none" or the file's name
    state: StateDict | None = field(repr=False)  # float32, torchvision's keys; None: random weights
    sha256: str | None  # of the file that the state was read from


def load_weights(spec: str | Path) -> PretrainedWeights:
    """`imagenet` (torchvision's IMAGENET1K_V1), `none`, or a file with a state_dict (.pth or .safetensors).

    Raises `WeightsUnavailable` where the download fails and `WeightsInvalid` where the file does not fit.
    """
    if spec == "none":
        return PretrainedWeights(source="none", state=None, sha256=None)
    if spec == "imagenet":
        return _imagenet()
    return _from_file(Path(spec))


def _imagenet() -> PretrainedWeights:
    weights = ResNet18_Weights.IMAGENET1K_V1
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if cached.exists():  # torch compares the hash of what it downloads, but not of what lies there already
        return replace(_from_file(cached), source="imagenet")
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsUnavailable(
            f"The ImageNet weights could not be downloaded from {weights.url} ({error}). Give a copy "
            "of that file with `--weights FILE`, or start from random weights with `--weights none`."
        ) from error
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()
    return PretrainedWeights(source="imagenet", state=_checked(state, "the download"), sha256=digest)


def _from_file(path: Path) -> PretrainedWeights:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsInvalid(f"The weights file {path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    named = NAMED_HASH.search(path.name)
    if named and not digest.startswith(named[1]):
        raise WeightsInvalid(
            f"The weights file {path} is not what its name says: its sha256 begins with {digest[:8]}. Delete it."
        )
    try:
        if path.suffix.lower() == ".safetensors":
            state: Any = safetensors.torch.load(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsInvalid(
            f"The weights file {path} is no plain state_dict of tensors (no code in it is run): "
            "save one with torch.save(model.state_dict(), FILE) or as .safetensors."
        ) from error
    return PretrainedWeights(source=path.name, state=_checked(state, str(path)), sha256=digest)


def _checked(state: Any, name: str) -> dict[str, Tensor]:
    """`state` as float32, if its keys and shapes are those of torchvision's ResNet18 (`fc` apart)."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsInvalid(f"{name} holds no state_dict: a mapping from names to tensors is needed.")
    with torch.device("meta"):
        expected = {key: value.shape for key, value in Network().state_dict().items() if not key.startswith("fc.")}
    given = {key: value.shape for key, value in state.items() if not key.startswith("fc.")}
    wrong = sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key))
    if wrong:
        raise WeightsInvalid(
            f"{name} does not fit torchvision's resnet18: {len(wrong)} missing, unknown or misshapen "
            f"entries, first {', '.join(wrong[:3])}."
        )
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
