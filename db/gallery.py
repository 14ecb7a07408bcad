"""Which of a job's images are on this page? Filtered, sorted, and a page at a time, however many there are.

A page begins behind the last image of the one before it (its *cursor*), not at a number of images: the hundredth costs
what the first does, and none is shown twice when verdicts are added meanwhile.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, case, cast, func, or_, select, true
from sqlalchemy.orm import Session

from db.errors import Refused
from db.models import Disposition, InspectionJob, InspectionResult, Review, ReviewDecision
from db.reviews import counting, final_disposition, is_newest

_R = InspectionResult


class Sort(StrEnum):
    """In which order images come. Those without a score come last."""

    SCORE = "score"  # the highest first
    LOW_SCORE = "low-score"
    DOUBT = "doubt"  # the closest to a limit first
    PATH = "path"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which images, by all of these at once, and in which order."""

    disposition: Disposition | None = None  # the verdict's
    decision: ReviewDecision | None = None  # the one that counts
    score_from: float | None = None
    score_below: float | None = None
    folder: str = ""  # and all below it, as db.paths writes it
    text: str = ""  # that the path holds, in small or capital letters
    sort: Sort = Sort.SCORE


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image on a page."""

    verdict: InspectionResult
    review: Review | None  # the decision that counts

    @property
    def final(self) -> Disposition:
        """What comes of both."""
        return final_disposition(self.verdict, self.review)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some images, and where the next page begins."""

    images: list[Shown]
    after: str | None  # a cursor; None: this is the last page


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Images in one order."""

    which: ColumnElement[bool]
    key: ColumnElement[Any]
    kind: type  # of the key's values
    descending: bool = False

    def behind(self, key: Any, number: int) -> ColumnElement[bool]:
        """Whether an image comes behind the one with this key and id."""
        beyond = self.key < key if self.descending else self.key > key
        return or_(beyond, and_(self.key == key, _R.id > number))


def page(session: Session, job: InspectionJob, wanted: Wanted, *, images: int, after: str | None = None) -> Page:
    """At most so many images. Raises Refused for what no page gave as its end."""
    parts = _parts(job, wanted.sort)
    begin, key, number = (0, None, 0) if after is None else _read(after, parts)
    found: list[tuple[int, Any, InspectionResult, int | None]] = []
    for at, part in enumerate(parts[begin:], begin):
        query = select(part.key.label("key"), _R, counting(Review.id).label("review"))
        query = query.where(*_conditions(job, wanted), part.which)
        if after is not None and at == begin:
            query = query.where(part.behind(key, number))
        ordered = query.order_by(part.key.desc() if part.descending else part.key, _R.id)
        found += [(at, *row) for row in session.execute(ordered.limit(images + 1 - len(found)))]
        if len(found) > images:
            break
    some = found[:images]
    decided = select(Review).where(Review.id.in_([review for *_, review in some if review is not None]))
    reviews = {row.id: row for row in session.scalars(decided)}
    last = some[-1] if len(found) > images else None
    return Page(
        images=[Shown(verdict=row, review=reviews.get(review or 0)) for _, _, row, review in some],
        after=None if last is None else _cursor(last[0], last[1], last[2].id),
    )


def count(session: Session, job: InspectionJob, wanted: Wanted) -> int:
    """How many images that is, over all pages."""
    return session.scalar(select(func.count(_R.id)).where(*_conditions(job, wanted))) or 0


def scores_in_cells(session: Session, job: InspectionJob, cells: int = 1000) -> list[int]:
    """How many images have a score in each of so many equal cells from 0 to 1; the last one includes 1."""
    at = func.min if session.get_bind().dialect.name == "sqlite" else func.least
    cell = at(cast(func.floor(_R.score * cells), Integer), cells - 1)
    query = select(cell, func.count(_R.id)).where(*_conditions(job, Wanted()), _R.score.is_not(None)).group_by(cell)
    counted: dict[int, int] = dict(session.execute(query).all())
    return [counted.get(number, 0) for number in range(cells)]


def _parts(job: InspectionJob, sort: Sort) -> list[_Part]:
    if sort is Sort.PATH:
        return [_Part(which=true(), key=_R.path.expression, kind=str)]
    point = job.operating_point
    to_pass, to_fail = func.abs(_R.score - point.pass_below), func.abs(_R.score - point.fail_from)
    key: ColumnElement[Any] = (
        case((to_pass < to_fail, to_pass), else_=to_fail) if sort is Sort.DOUBT else _R.score.expression
    )
    scored = _Part(which=_R.score.is_not(None), key=key, kind=float, descending=sort is Sort.SCORE)
    return [scored, _Part(which=_R.score.is_(None), key=_R.path.expression, kind=str)]


def _conditions(job: InspectionJob, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield _R.job_id == job.id
    if job.revision > 1:  # else every verdict is the only one on its image
        yield is_newest()
    if wanted.disposition is not None:
        yield _R.disposition == wanted.disposition
    if wanted.decision is not None:
        yield _R.path.in_(select(Review.path).where(Review.job_id == job.id, Review.decision == wanted.decision))
        yield counting(Review.decision) == wanted.decision
    if wanted.score_from is not None:
        yield _R.score >= wanted.score_from
    if wanted.score_below is not None:
        yield _R.score < wanted.score_below
    if wanted.folder:
        folder = wanted.folder.rstrip("/") + "/"
        yield func.substr(_R.path, 1, len(folder)) == folder  # LIKE knows no capital letters in SQLite
    if wanted.text:
        yield _R.path.icontains(wanted.text, autoescape=True)


def _cursor(part: int, key: Any, number: int) -> str:
    return urlsafe_b64encode(json.dumps([part, key, number]).encode()).decode("ascii")


def _read(cursor: str, parts: list[_Part]) -> tuple[int, Any, int]:
    try:
        at, key, number = json.loads(urlsafe_b64decode(cursor.encode("ascii")))
        fits = type(at) is int and 0 <= at < len(parts) and type(key) is parts[at].kind
        fits &= type(number) is int and 0 < number < 2**63
    except (ValueError, TypeError, RecursionError):
        fits = False
    if not fits:
        raise Refused("That page is not there. Begin with the first one.")
    return at, key, number
