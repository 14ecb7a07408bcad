"""What do the frozen layers say of a picture?

Frozen, each BatchNorm is a fixed scale and shift and is folded into the convolution before it: the
same features (to about a millionth), one pass over the activations less per layer.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainer.recipe import Part, Precision, Recipe
from vision.network import Network, layers_before, shape_before
from vision.preprocessing import Preprocessing

ROWS_ON_A_CPU = 8  # whose activations stay in a core's cache: a sixth faster than 32


class Backbone:
    """Pixels to what the first part that learns is given, on the device of the network that it is made of.

    A copy of the frozen layers that builds no graph. Where the whole network learns there are none, and the features
    are the normalised pixels.
    """

    def __init__(
        self, network: Network, recipe: Recipe, *, up_to: Part | None = None, precision: Precision | None = None
    ) -> None:
        """`up_to`: what that part is given, instead; `precision`: another one than the recipe's."""
        part = up_to or recipe.train_from
        self.device = network.fc.weight.device
        self._layers = folded(layers_before(network, part))
        self.shape = shape_before(part, recipe.image_size)  # of one image's features
        self._half = (precision or recipe.precision) == "bfloat16"
        self._preprocessing = Preprocessing(size=recipe.image_size)
        # At once, however many views of an image come together.
        self._rows = min(recipe.batch_size, ROWS_ON_A_CPU) if self.device.type == "cpu" else recipe.batch_size

    @property
    def computes(self) -> bool:
        """Whether there is a frozen layer."""
        return len(self._layers) > 0

    def __call__(self, pixels: Tensor) -> Tensor:
        """float32 (n, 512) or (n, C, H, W) on the backbone's device, of uint8 (n, 3, size, size) on any."""
        return torch.cat([self._features(rows) for rows in torch.split(pixels, self._rows)])

    @torch.no_grad()
    def _features(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            squares = self._preprocessing.normalise(pixels).contiguous(memory_format=torch.channels_last)
            features: Tensor = self._layers(squares)
        return features.float()


def folded(layers: nn.Sequential) -> nn.Sequential:
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
