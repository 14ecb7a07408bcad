"""What does the network say of a picture and its mirror images together?

Parts look the same mirrored, the network's answers do not quite: their mean errs less, and costs as many passes. The
logits are averaged; since the head is linear, that is the head's answer to the averaged features.
"""

import torch
from torch import Tensor, nn

from vision.preprocessing import Flips

HEIGHT, WIDTH = 2, 3  # dimensions of a batch of squares
MIRRORED: dict[Flips, tuple[tuple[int, ...], ...]] = {
    "none": ((),),
    "horizontal": ((), (WIDTH,)),
    "all": ((), (WIDTH,), (HEIGHT,), (HEIGHT, WIDTH)),
}


class Mirrored(nn.Module):
    """Frozen or trained layers up to the head, asked about every mirror image."""

    def __init__(self, layers: nn.Module, flips: Flips) -> None:
        super().__init__()
        self.layers = layers
        self.ways = MIRRORED[flips]

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """Of normalised squares (N, 3, size, size): features (N, 512) for the head, and the picture's own."""
        if len(self.ways) == 1:
            features = self.layers(squares)
            return features, features
        each = self.layers(torch.cat([torch.flip(squares, way) if way else squares for way in self.ways]))
        apart = each.unflatten(0, (len(self.ways), -1))
        return apart.mean(dim=0), apart[0]
