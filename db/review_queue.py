"""Which image comes before whom next?

The queue holds the images in REVIEW, most doubtful first: farthest from both limits. Where a sample of the passed
images was drawn (db/samples.py), those lie among them, and nobody can tell from the order which they are.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, select, true
from sqlalchemy.orm import Session

from db import jobs
from db.clock import database_now
from db.models import Disposition, InspectionJob, InspectionResult, Review, ReviewDecision, ReviewLease, SampledImage
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
    lease = ReviewLease
    theirs = and_(lease.job_id == _R.job_id, lease.path == _R.path, lease.reviewer == reviewer)
    few = _R.path.in_(select(lease.path).where(lease.job_id == job, lease.reviewer == reviewer))
    kept = _open(found, reviewer).join(lease, theirs).where(few, lease.lease_until > database_now())
    taken = _read(session, kept.order_by(lease.id).limit(images))
    for image in taken:
        hold(session, job, image.path, reviewer)
    while len(taken) < images and (free := _free(session, found, reviewer, images - len(taken))):
        # Of those that somebody else was faster to take, none is among the free ones the next time.
        taken += [image for image in free if hold(session, job, image.path, reviewer)]
    return taken


def progress(session: Session, job: int) -> Progress:
    """How far the review of the job is. Raises NotFound."""
    found = jobs.get(session, job)
    of_job = [_R.job_id == job, _counts(found)]
    decided = [*of_job, _reviewed(job), counting(Review.decision).in_(FINAL)]
    verdicts, of_them = _count(session, *of_job, _in_review(found)), _count(session, *decided, _in_review(found))
    doubted, sampled = (
        session.scalar(select(func.count()).select_from(source.subquery())) or 0
        for source in (_doubted(found, None), _sampled(found, None))
    )
    return Progress(review=verdicts - of_them + doubted, sampled=sampled, decided=_count(session, *decided))


def _free(session: Session, job: InspectionJob, reviewer: str, images: int) -> list[Waiting]:
    """At most so many that nobody has before them: of the sample as often as its share of what waits."""
    sample = _read(session, _sampled(job, reviewer).where(~is_held()).limit(images))
    review = _most_doubtful(session, job, reviewer, images)
    review += _read(session, _doubted(job, reviewer).where(~is_held()).limit(images))
    waiting = progress(session, job.id) if sample and review else None
    found: list[Waiting] = []
    while len(found) < images and (review or sample):
        of_sample = waiting and secrets.randbelow(max(1, waiting.review + waiting.sampled)) < waiting.sampled
        found.append((sample if sample and (of_sample or not review) else review).pop(0))
    return found


def _most_doubtful(session: Session, job: InspectionJob, reviewer: str, images: int) -> list[Waiting]:
    """Along the index over scores, from the middle of the limits to either side: it ends with the last one wanted."""
    point = job.operating_point
    middle = (point.pass_below + point.fail_from) / 2
    free = _open(job, reviewer).add_columns(_R.score).where(_in_review(job), ~is_held())
    sides = (free.where(_R.score >= middle).order_by(_R.score), free.where(_R.score < middle).order_by(_R.score.desc()))
    found = [row for side in sides for row in session.execute(side.limit(images)).mappings()]
    found.sort(key=lambda row: (abs(row["score"] - middle), row["path"]))
    return [Waiting(**{name: row[name] for name in row if name != "score"}) for row in found[:images]]


def _doubted(job: InspectionJob, reviewer: str | None) -> _Open:
    """Images with a clear verdict, and not in the sample, of which somebody was not sure."""
    in_sample = and_(_R.disposition == Disposition.PASS, select(SampledImage.id).where(_of_sample()).exists())
    unsure = counting(Review.decision) == ReviewDecision.UNSURE
    query = _open(job, reviewer).where(_reviewed(job.id), unsure, _R.disposition != Disposition.REVIEW, not_(in_sample))
    return query.order_by(_R.path)


def _sampled(job: InspectionJob, reviewer: str | None) -> _Open:
    """Images out of the sample, in its random order."""
    few = _R.path.in_(select(SampledImage.path).where(SampledImage.job_id == job.id))  # the database begins with them
    query = _open(job, reviewer).join(SampledImage, _of_sample()).where(few, _R.disposition == Disposition.PASS)
    return query.order_by(SampledImage.draw_id, SampledImage.position)


def _open(job: InspectionJob, reviewer: str | None) -> _Open:
    """Images that nobody has decided about; nor this person in any way."""
    columns = (_R.path, _R.sha256, _R.width, _R.height)
    query = select(literal(job.id).label("job"), *columns, _R.id.label("result"), counting(Review.id).label("review"))
    undecided = func.coalesce(counting(Review.decision), "UNSURE") == "UNSURE"
    query = query.where(_R.job_id == job.id, _counts(job), undecided)
    if reviewer is None:
        return query
    theirs = select(Review.id).where(about(Review), Review.reviewer == reviewer, stands(Review)).exists()
    return query.where(~theirs)


def _counts(job: InspectionJob) -> ColumnElement[bool]:
    """Whether it is the verdict that counts; of a job's first revision each one is."""
    return is_newest() if job.revision > 1 else true()


def _in_review(job: InspectionJob) -> ColumnElement[bool]:
    """Between the job's limits, by which every verdict that counts was judged: the index over scores alone answers."""
    point = job.operating_point
    return and_(_R.score >= point.pass_below, _R.score < point.fail_from)


def _reviewed(job: int) -> ColumnElement[bool]:
    """Whether anybody has ever decided about that place of the job: few places, which the database begins with."""
    return _R.path.in_(select(Review.path).where(Review.job_id == job))


def _of_sample() -> ColumnElement[bool]:
    same = same_bytes(SampledImage.sha256, _R.sha256)
    return and_(SampledImage.job_id == _R.job_id, SampledImage.path == _R.path, same)


def _count(session: Session, *which: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count(_R.id)).where(*which)) or 0


def _read(session: Session, query: _Open) -> list[Waiting]:
    return [Waiting(**row) for row in session.execute(query).mappings()]
