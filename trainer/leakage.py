"""Which images of an evaluation does the model know from its training?

An image is known where a training image has the same bytes, shows the same photograph (trainer/twins.py), or is of the
same group by the same rule, where its names last (trainer/grouping.py). What is compared with is what was written down
when the model was trained, not what lies in a folder today: so an evaluation on another folder is looked through, too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainer.dataset import Sample
from trainer.leakage_words import leaking_words
from trainer.twins import nearest_twins
from vision.signature import as_array

Kind = Literal["same bytes", "near twin", "same group"]

TOLD = 60  # leaks that are stored with an evaluation, the surest first; all are counted


@dataclass(frozen=True, kw_only=True)
class Leak:
    """An image that was judged, and the training image that gives it away."""

    path: str
    sha256: str
    training_path: str
    training_sha256: str
    kind: Kind
    similarity: float | None  # of a near twin


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """The certificate of one evaluation."""

    images: int  # that were judged
    leaks: tuple[Leak, ...]  # one for each image that is known, the surest first

    def __str__(self) -> str:
        words = leaking_words(len(self.leaks), self.images)
        kinds = [leak.kind for leak in self.leaks]
        parts = ", ".join(f"{kinds.count(kind)} {words}" for kind, words in _WORDS.items() if kind in kinds)
        return f"{words} ({parts})" if parts else words

    def told(self) -> list[dict[str, Any]]:
        """The first of them, as they are stored."""
        return [asdict(leak) for leak in self.leaks[:TOLD]]


_WORDS: dict[Kind, str] = {
    "same bytes": "of the same bytes",
    "near twin": "by a near twin",
    "same group": "of one group",
}


def find_leaks(judged: Sequence[Sample], trained: Sequence[Sample], *, same_rule: bool) -> Leakage:
    """What of `judged` is known from `trained`; an image that is in both is known by its own bytes.

    `same_rule`: both have their groups by the same rule, and equal names mean the same thing in both.
    """
    by_bytes = {sample.sha256: sample for sample in reversed(trained)}
    by_group = {sample.group: sample for sample in reversed(trained) if same_rule and sample.group is not None}
    rest = [sample for sample in judged if sample.sha256 not in by_bytes]
    told = (as_array([sample.signature for sample in part]) for part in (rest, trained))
    pairs = nearest_twins(*told) if rest else []
    near = {rest[pair.first].path: (trained[pair.second], pair.similarity) for pair in pairs}
    found: list[Leak] = []
    for sample in judged:
        if sample.sha256 in by_bytes:
            found.append(_leak(sample, by_bytes[sample.sha256], "same bytes", None))
        elif sample.path in near:
            found.append(_leak(sample, near[sample.path][0], "near twin", near[sample.path][1]))
        elif sample.group in by_group:
            found.append(_leak(sample, by_group[sample.group], "same group", None))
    order = list(_WORDS)
    found.sort(key=lambda leak: (order.index(leak.kind), -(leak.similarity or 0.0)))
    return Leakage(images=len(judged), leaks=tuple(found))


def _leak(sample: Sample, known: Sample, kind: Kind, similarity: float | None) -> Leak:
    return Leak(
        path=sample.path,
        sha256=sample.sha256,
        training_path=known.path,
        training_sha256=known.sha256,
        kind=kind,
        similarity=similarity,
    )
