"""Which of the images that people decided about may a model learn from, and in words, why not the others?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from db.decided import Decided, JudgedOn


class Why(StrEnum):
    """What keeps an image out."""

    TESTED = "test image"
    NEAR_TESTED = "near twin of a test image"
    CONFLICT = "decided differently"
    CHANGED = "changed since"
    GONE = "no longer there"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A decided image that is not handed on."""

    why: Why
    image: Decided
    detail: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the database alone can tell."""

    images: tuple[tuple[Decided, ...], ...]  # each with all places where these bytes were decided about, the same way
    left_out: tuple[LeftOut, ...]


def overruled(images: Iterable[Sequence[Decided]], others: Iterable[Decided]) -> dict[str, str]:
    """By sha256, who said otherwise of these bytes in `others`: somebody or some job that was not asked for."""
    chosen = {places[0].review.sha256: places[0].review.decision for places in images}
    against: dict[str, list[Decided]] = defaultdict(list)
    for other in others:
        said = chosen.get(other.review.sha256)
        if said is not None and other.review.decision is not said:
            against[other.review.sha256 or ""].append(other)
    return {sha256: _said(places) for sha256, places in against.items()}


def choose(decisions: Iterable[Decided], tested: Mapping[str, JudgedOn]) -> Choice:
    """Sort out what has no bytes, what is a test image, and bytes of which people say both."""
    by_bytes: dict[str, list[Decided]] = defaultdict(list)
    left_out = []
    for image in decisions:
        if image.review.sha256 is None or image.then.score is None:  # it may be what ended a worker: never decoded here
            left_out.append(LeftOut(why=Why.UNREADABLE, image=image, detail=image.then.reason_code or ""))
        else:
            by_bytes[image.review.sha256].append(image)
    images = []
    for sha256, places in by_bytes.items():
        if (test := tested.get(sha256)) is not None:
            left_out += [LeftOut(why=Why.TESTED, image=image, detail=as_tested(test)) for image in places]
        elif len({image.review.decision for image in places}) > 1:
            left_out += [LeftOut(why=Why.CONFLICT, image=image, detail=_said(places)) for image in places]
        else:
            images.append(tuple(places))
    return Choice(images=tuple(images), left_out=tuple(left_out))


def as_tested(test: JudgedOn) -> str:
    """Which test image it is."""
    return f"e{test.evaluation}: {test.path}"


def _said(places: Sequence[Decided]) -> str:
    reviews = (place.review for place in places)
    return ", ".join(f"{one.decision.value} by {one.reviewer} in job {one.job_id}" for one in reviews)
