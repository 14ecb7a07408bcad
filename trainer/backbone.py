"""What do the layers before the head say of a picture?

Where they are frozen, each BatchNorm is a fixed scale and shift and is folded into the convolution before it: the
same features (to about a millionth), one pass over the activations less per layer.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainer.recipe import Recipe
from vision.network import Network
from vision.preprocessing import Preprocessing

WIDTH = 512  # numbers that ResNet18 says of a picture
ROWS_ON_A_CPU = 8  # whose activations stay in a core's cache: a sixth faster than 32


class Backbone:
    """Pixels to features, on the device of the network that it is made of.

    Frozen, it is a copy that builds no graph; otherwise it is the network's own layers, in the network's mode.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        layers = nn.Sequential(*(child for name, child in network.named_children() if name != "fc"), nn.Flatten())
        self.frozen = recipe.freeze_backbone
        self.device = network.fc.weight.device
        self._layers = folded(layers) if self.frozen else layers
        self._half = recipe.precision == "bfloat16"
        self._preprocessing = Preprocessing(size=recipe.image_size)
        # At once, however many views of an image come together. Layers that learn see whole batches.
        self._rows = recipe.batch_size
        if self.frozen and self.device.type == "cpu":
            self._rows = min(self._rows, ROWS_ON_A_CPU)

    def __call__(self, pixels: Tensor) -> Tensor:
        """float32 (n, 512) on the backbone's device, of uint8 (n, 3, size, size) on any."""
        return torch.cat([self._features(rows) for rows in torch.split(pixels, self._rows)])

    def _features(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.device, non_blocking=True)
        learning = not self.frozen
        with torch.set_grad_enabled(learning), torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            squares = self._preprocessing.normalise(pixels).contiguous(memory_format=torch.channels_last)
            features: Tensor = self._layers(squares)
        return features.float()


def folded(layers: nn.Module) -> nn.Module:
    """A copy in evaluation mode in which no BatchNorm is left behind a convolution."""
    layers = copy.deepcopy(layers).eval()
    for module in list(layers.modules()):
        before: tuple[str, nn.Module] | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and before is not None and isinstance(before[1], nn.Conv2d):
                setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(module, name, nn.Identity())
            before = (name, child)
    return layers.to(memory_format=torch.channels_last)
