"""What is the network told of each training image: its label, or more and more what it says of the image itself?

Some labels are wrong and some are guesses, and a network that sees them often enough learns these by heart as well: on
solar cells it ranks best half-way through, and worse from there on. With `label_momentum` below 1 each image's target
moves a little towards what the network says of it, every time it is learned from: what many alike images agree on
stays, what one label says against all of them fades, at the most to "unknown": no target ever says the opposite of its
label, so that no defect is learned as a good part (Huang, Zhang and Zhang 2020, "Self-Adaptive Training: beyond
Empirical Risk Minimization"; without their weights, and with that limit). Measured: docs/accuracy.md.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.recipe import Recipe

# Share of the epochs, behind those of the head alone, in which a label is what it is. Moved from a fifth of them on,
# targets ranked solar cells as well and got fewer right at 0.5 (AUROC 0.938 both, accuracy 0.883 and 0.890).
_AS_LABELLED = 0.4

_UNKNOWN = 0.5  # of its label, that a target keeps at least


class Targets:
    """The target of every training image, by its number."""

    def __init__(self, labels: Tensor, recipe: Recipe) -> None:
        """`labels`: int64 (n,), the index of each image's logit; smoothed as the recipe says."""
        self._momentum = recipe.label_momentum
        self._refined_after = recipe.head_epochs + int(_AS_LABELLED * recipe.epochs)
        self._labels = labels
        self._labelled = torch.full(labels.shape, 1 - recipe.label_smoothing / 2)  # share of each image's own label

    def of(self, numbers: Sequence[int]) -> Tensor:
        """float32 (len(numbers), 2), shares of the logits."""
        places = torch.tensor(numbers)
        labelled = self._labelled[places]
        second = torch.where(self._labels[places] == 1, labelled, 1 - labelled)
        return torch.stack([1 - second, second], dim=1)

    def refine(self, numbers: Sequence[int], scores: Tensor, epoch: int) -> None:
        """Move the targets of these images towards `scores`, float32 (len(numbers), 2); in early epochs, do not."""
        if epoch > self._refined_after:
            places = torch.tensor(numbers)
            said = scores.cpu()[torch.arange(len(places)), self._labels[places]]
            moved = self._momentum * self._labelled[places] + (1 - self._momentum) * said
            self._labelled[places] = moved.clamp(min=_UNKNOWN)

    def state(self) -> Tensor:
        return self._labelled

    def restore(self, state: Tensor) -> None:
        """Go on with what `state` gave to a former run."""
        self._labelled = state
