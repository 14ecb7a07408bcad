"""What should the network say of something between two images?

Something between their labels: it then learns no image by heart, and is less sure where it has seen nothing (Zhang et
al. 2018, "mixup: Beyond Empirical Risk Minimization"). What is mixed is what the layers that learn are given (Verma et
al. 2019, "Manifold Mixup"): frozen layers see photographs, and what they said of them may be kept.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from trainer.batches import Batch


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A batch whose images each have a share of another one in them."""

    batch: Batch
    others: Tensor  # int64 (n,), the targets of the images that were mixed in
    share: float  # of the batch's own images

    def loss(self, logits: Tensor, criterion: nn.Module) -> Tensor:
        """What `criterion` says of both targets, by their shares."""
        own: Tensor = criterion(logits, self.batch.targets)
        others: Tensor = criterion(logits, self.others)
        return self.share * own + (1 - self.share) * others


def mix(batch: Batch, alpha: float, seed: int) -> Mix:
    """The batch, each image mixed with another of it; the share is drawn from Beta(alpha, alpha) by `seed`.

    `alpha` 0: the batch as it is.
    """
    if not alpha:
        return Mix(batch=batch, others=batch.targets, share=1.0)
    generator = np.random.default_rng(seed)
    share = float(generator.beta(alpha, alpha))
    order = torch.from_numpy(generator.permutation(len(batch.targets))).to(batch.targets.device)
    features = batch.features * share + batch.features[order] * (1 - share)
    return Mix(batch=replace(batch, features=features), others=batch.targets[order], share=share)
