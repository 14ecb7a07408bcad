"""How far is the training?"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm


@dataclass(frozen=True, kw_only=True)
class Step:
    """One batch has been learned from, or its features have been kept."""

    # Counted from 1. 0: before the first, the features of all views are computed; one more than there are epochs: after
    # the last, those of what the model keeps of its training images.
    epoch: int
    epochs: int
    batch: int  # counted from 1
    batches: int  # in this epoch
    loss: float | None = None  # mean over the epoch so far; None while features are computed


OnStep = Callable[[Step], None]


class ProgressBars:
    """One tqdm bar per epoch on standard error, with the loss, and one for the features; use it in a `with`."""

    def __init__(self, *, hidden: bool = False) -> None:
        self._hidden = hidden
        self._bar: tqdm | None = None  # type: ignore[type-arg]

    def __enter__(self) -> "ProgressBars":
        return self

    def __call__(self, step: Step) -> None:
        if self._bar is None:
            after = "what was seen" if step.epoch > step.epochs else f"epoch {step.epoch}/{step.epochs}"
            title = after if step.epoch else "frozen layers"
            self._bar = tqdm(total=step.batches, desc=title, unit="batch", disable=self._hidden)
        if step.loss is not None:
            self._bar.set_postfix(loss=f"{step.loss:.4f}", refresh=False)
        self._bar.update(step.batch - self._bar.n)
        if step.batch == step.batches:
            self._close()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
