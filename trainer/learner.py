"""What changes the weights: which of them, by how much, and which are kept in the end?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainer.batches import Batch
from trainer.mixing import mix
from trainer.recipe import Recipe
from trainer.resume import TrainingState
from vision.network import PARTS, Network, freeze_before, layers_from


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What one step came to."""

    loss: float  # of the batch, before the step
    scores: Tensor  # float32 (n, 2), what the network said of each image then: shares of the logits, without a graph


class Learner:
    """The network on its device, its optimizer, its loss, and the running mean of its weights where one is taken."""

    def __init__(self, network: Network, recipe: Recipe, class_weights: Tensor) -> None:
        """Nothing before the recipe's first part that learns is touched."""
        self.network = network.to(memory_format=torch.channels_last)
        self._recipe = recipe
        self._device = network.fc.weight.device
        self._half = recipe.precision == "bfloat16" and recipe.train_from != "head"
        self._head_only = recipe.train_from == "head"
        # Targets that move were smoothed before they began to.
        smoothing = recipe.label_smoothing if recipe.label_momentum == 1 else 0.0
        self._criterion = nn.CrossEntropyLoss(weight=class_weights.to(self._device), label_smoothing=smoothing)
        self.optimizer = torch.optim.Adam(
            _groups(network, recipe), lr=recipe.learning_rate, decoupled_weight_decay=True, fused=True
        )
        self._average: AveragedModel | None = None

    def restore(self, state: TrainingState) -> None:
        """Go on where a former run stopped."""
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(state.optimizer)
        if state.average is not None:
            self._average = self._new_average()
            self._average.load_state_dict(state.average)

    def begin(self, *, head_only: bool) -> None:
        """An epoch, in which all that the recipe names learns, or the head alone.

        The layers that learn later normalise by each batch from the beginning: a head that learned from features
        normalised otherwise has to start again (on solar cells its loss rose from 0.4 to 1.3 in the next epoch).
        """
        self._head_only = head_only or self._recipe.train_from == "head"
        freeze_before(self.network, self._recipe.train_from)
        self.network.train()

    def learn(self, batch: Batch, learning_rate: float, seed: int) -> Learned:
        """One step of the optimizer. `learning_rate`: of the head; `seed`: of what is mixed."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["share"]
        mixed = mix(batch, 0.0 if self._head_only else self._recipe.mixup, seed)
        logits = self._logits(self.network, mixed.batch)
        loss = mixed.loss(logits, self._criterion)
        learned = Learned(loss=float(loss.detach()), scores=logits.detach().softmax(dim=1))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self._recipe.averaging and not self._head_only:
            if self._average is None:
                self._average = self._new_average()
            self._average.update_parameters(self.network)
        return learned

    def logits_on(self, batches: Iterable[Batch], *, kept: bool) -> tuple[Tensor, Tensor]:
        """float32 (n, 2) and int64 (n,): the logits and the targets, on the network's device.

        `kept`: of the weights that would be kept now, not of the network's own.
        """
        network = self._network_kept() if kept else self.network
        network.eval()
        with torch.no_grad():
            pairs = [(self._logits(network, batch), batch.targets) for batch in batches]
        logits, targets = zip(*pairs, strict=True)
        return torch.cat(logits), torch.cat(targets)

    def kept_weights(self) -> dict[str, Any]:
        """A copy of the weights that would be kept now: the running mean's, or the network's own."""
        return {key: value.detach().clone() for key, value in self._network_kept().state_dict().items()}

    def average_state(self) -> dict[str, Any] | None:
        return None if self._average is None else self._average.state_dict()

    def _network_kept(self) -> Network:
        return self.network if self._average is None else cast("Network", self._average.module)

    def _new_average(self) -> AveragedModel:
        decay = get_ema_multi_avg_fn(self._recipe.averaging)  # type: ignore[no-untyped-call]
        return AveragedModel(self.network, multi_avg_fn=decay, use_buffers=True)

    def _logits(self, network: Network, batch: Batch) -> Tensor:
        """float32 (n, 2)."""
        layers = layers_from(network, self._recipe.train_from)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            if self._head_only and len(layers) > 1:
                with torch.no_grad():
                    features = layers[:-1](batch.features)
                logits: Tensor = layers[-1](features)
            else:
                logits = layers(batch.features)
        return logits.float()


def _groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Each part's matrices and kernels, and its vectors, with the share of the head's learning rate that is theirs."""
    parts = tuple(PARTS)
    groups = []
    for distance, part in enumerate(reversed(parts[parts.index(recipe.train_from) :])):
        parameters = [one for name in PARTS[part] for one in network.get_submodule(name).parameters()]
        for decay, chosen in (
            (recipe.weight_decay, [one for one in parameters if one.ndim > 1]),
            (0.0, [one for one in parameters if one.ndim <= 1]),
        ):
            groups.append({"params": chosen, "weight_decay": decay, "share": recipe.depth_decay**distance})
    return groups
