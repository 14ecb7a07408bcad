"""Which image comes before whom next?

The queue holds the images in REVIEW, most doubtful first: farthest from both limits. Where a sample of the passed
images was drawn (db/samples.py), those lie among them, and nobody can tell from the order which they are.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, literal, not_, select
from sqlalchemy.orm import Session

from db import jobs
from db.models import Disposition, InspectionJob, InspectionResult, Review, ReviewDecision, SampledImage
from db.review_leases import hold, is_held
from db.reviews import FINAL, about, check_name, counting, is_newest, same_bytes, stands

_Open = Select[*tuple[Any, ...]]
_R = InspectionResult


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One image that a person has to look at. Without score and verdict: those would decide with them."""

    job: int
    path: str
    sha256: str | None
    width: int | None  # pixels
    height: int | None
    result: int  # the verdict that counts now
    review: int | None  # the decision that counts now


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the review of a job is. Counts of images."""

    review: int  # in REVIEW, or doubted by a person, and not decided
    sampled: int  # drawn from those that passed, and not decided
    decided: int  # PASS or FAIL by a person


def take(session: Session, job: int, reviewer: str, *, images: int = 1) -> list[Waiting]:
    """The next images for this person; nobody else gets them for LEASE_SECONDS.

    Those that they have already come first, so that a tab that was closed loses nothing. Raises NotFound, and Refused
    for a name that cannot stand in a record.
    """
    check_name(reviewer)
    found = jobs.get(session, job)
    kept = [source.where(is_held(reviewer)) for source in _sources(found, reviewer)]
    taken = [Waiting(**row) for source in kept for row in session.execute(source).mappings()][:images]
    for image in taken:
        hold(session, job, image.path, reviewer)
    while len(taken) < images and (following := _next(session, found, reviewer)) is not None:
        if hold(session, job, following.path, reviewer):  # else somebody was faster, and it waits for nobody any more
            taken.append(following)
    return taken


def progress(session: Session, job: int) -> Progress:
    """How far the review of the job is. Raises NotFound."""
    found = jobs.get(session, job)
    review, doubted, sampled = (
        session.scalar(select(func.count()).select_from(source.subquery())) or 0 for source in _sources(found, None)
    )
    reviewed = _R.path.in_(select(Review.path).where(Review.job_id == job))
    decided = select(func.count(_R.id)).where(
        _R.job_id == job, is_newest(), reviewed, counting(Review.decision).in_(FINAL)
    )
    return Progress(review=review + doubted, sampled=sampled, decided=session.scalar(decided) or 0)


def _next(session: Session, job: InspectionJob, reviewer: str) -> Waiting | None:
    """One that nobody has before them: of the sample as often as its share of what waits."""
    free = [source.where(~is_held()) for source in _sources(job, reviewer)]
    waiting = [session.scalar(select(func.count()).select_from(source.subquery())) or 0 for source in free]
    if not any(waiting):
        return None
    drawn = secrets.randbelow(sum(waiting))
    chosen = next(source for at, source in enumerate(free) if drawn < sum(waiting[: at + 1]))
    return Waiting(**session.execute(chosen.limit(1)).mappings().one())


def _sources(job: InspectionJob, reviewer: str | None) -> tuple[_Open, _Open, _Open]:
    """What waits for a decision: by the verdict, because somebody was not sure, and out of the sample.

    Each image is in one of the three. `reviewer`: without those that they have decided about already.
    """
    point = job.operating_point
    between = and_(_R.score >= point.pass_below, _R.score < point.fail_from)  # which the index finds
    in_review = and_(between, _R.disposition == Disposition.REVIEW)
    of_sample = and_(
        SampledImage.job_id == _R.job_id, SampledImage.path == _R.path, same_bytes(SampledImage.sha256, _R.sha256)
    )
    passed = _R.disposition == Disposition.PASS
    not_sure = _R.path.in_(select(Review.path).where(Review.job_id == job.id, Review.decision == ReviewDecision.UNSURE))
    doubted = and_(not_sure, counting(Review.decision) == ReviewDecision.UNSURE)
    sampled = select(SampledImage.id).where(of_sample).exists()
    waiting = _waiting(job.id, reviewer)
    return (
        waiting.where(in_review).order_by(func.abs(_R.score - (point.pass_below + point.fail_from) / 2), _R.path),
        waiting.where(_R.disposition != Disposition.REVIEW, doubted, not_(and_(passed, sampled))).order_by(_R.path),
        waiting.join(SampledImage, of_sample).where(passed).order_by(SampledImage.draw_id, SampledImage.position),
    )


def _waiting(job: int, reviewer: str | None) -> _Open:
    columns = (_R.path, _R.sha256, _R.width, _R.height)
    query = select(literal(job).label("job"), *columns, _R.id.label("result"), counting(Review.id).label("review"))
    query = query.where(_R.job_id == job, is_newest(), func.coalesce(counting(Review.decision), "UNSURE") == "UNSURE")
    if reviewer is None:
        return query
    theirs = select(Review.id).where(about(Review), Review.reviewer == reviewer, stands(Review)).exists()
    return query.where(~theirs)
