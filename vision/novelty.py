"""How far is a picture from everything that was seen in training?

The network's features of a picture (what its head is given) are compared with those of training images, by the cosine
of the angle between them. 1.0 is the distance that all but one in a hundred ordinary images stay below. What the
network has never learned to tell apart, it still puts elsewhere: Sun et al. 2022, "Out-of-Distribution Detection with
Deep Nearest Neighbors".
"""

from torch import Tensor, nn

_SHORTEST = 1e-12  # a vector of zeros has no direction: it is as far from all as a right angle


class Novelty(nn.Module):
    """Features of training images, thinned out, and the distance that stands for 1.0."""

    features: Tensor

    def __init__(self, features: Tensor, radius: float) -> None:
        """features: float32 (k, 512) of any length; radius: the cosine distance that is 1.0, greater than 0."""
        super().__init__()
        self.register_buffer("features", directions(features.detach()))
        self.radius = radius

    def forward(self, features: Tensor) -> Tensor:
        """float32 (N,) of features (N, 512): 0 where a training image has the same direction."""
        lengths = features.square().sum(dim=1).sqrt().clamp_min(_SHORTEST)
        nearest = (features @ self.features.T).amax(dim=1) / lengths
        return (1 - nearest).clamp_min(0) / self.radius


def directions(features: Tensor) -> Tensor:
    """The same vectors (n, 512), each of length 1."""
    lengths: Tensor = features.norm(dim=1, keepdim=True)
    return features / lengths.clamp_min(_SHORTEST)
