"""What did people decide about images, and what comes of it?

A decision is a row that is only ever added. It is about an image: about these bytes at this place of a job, whatever
limits the job is judged by. The last one that nobody took back counts, and makes with the verdict the final
disposition (the view `v_dispositions`). Which image comes next: db/review_queue.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    and_,
    column,
    delete,
    func,
    literal,
    select,
    table,
)
from sqlalchemy.orm import Session, aliased

from db import audit
from db.errors import NotFound, Refused
from db.models import (
    Disposition,
    InspectionResult,
    Review,
    ReviewDecision,
    ReviewLease,
    SampledImage,
)
from db.review_leases import hold_or_refuse
from db.seals import seal

FINAL = (ReviewDecision.PASS, ReviewDecision.FAIL)
_LONGEST_NAME = 200
_LONGEST_REASON = 50
_LONGEST_NOTE = 2000
_FETCH_ROWS = 1000

_R = InspectionResult


@dataclass(frozen=True, kw_only=True)
class NewReview:
    """What a person says of an image."""

    job: int
    path: str
    decision: ReviewDecision
    reviewer: str
    account: str  # that typed it
    seen: int | None  # the decision that counted when they saw the image; refused where it is another by now
    blind: bool = False  # they saw neither score nor verdict
    reason_code: str | None = None
    note: str | None = None


def decide(session: Session, new: NewReview) -> Review:
    """Write a decision down. Raises NotFound, and Refused where somebody else has the image, or was first."""
    if new.decision is ReviewDecision.UNDONE:
        raise Refused("A decision is PASS, FAIL or UNSURE; `undo` takes one back.")
    check_name(new.reviewer)
    _check_words(new)
    _image(session, new.job, new.path)
    hold_or_refuse(session, new.job, new.path, new.reviewer)
    row, now = _image(session, new.job, new.path)  # anew: who had it until now has decided, and is waited for
    if (now.id if now else None) != new.seen:
        raise Refused(f"Somebody has decided about {new.path} meanwhile. Look at it again.")
    added = _add(session, row, now, new)
    session.execute(delete(ReviewLease).where(ReviewLease.job_id == new.job, ReviewLease.path == new.path))
    return added


def undo(session: Session, job: int, *, reviewer: str, account: str) -> Review:
    """Take this person's last decision in the job back: the image is before them again.

    Raises Refused where there is none, or somebody has decided about the image since.
    """
    mine = (Review.job_id == job, Review.reviewer == reviewer, stands(Review))
    newest = select(Review).where(*mine).order_by(Review.id.desc()).limit(1)
    last = session.scalar(newest)
    if last is None:
        raise Refused(f"There is no decision of {reviewer} in job {job} to take back.")
    hold_or_refuse(session, job, last.path, reviewer)
    if session.scalar(newest) != last:  # they did it twice at the same moment, and the other one was first
        raise Refused(f"The decision about {last.path} has been taken back, or another one was made since.")
    row, now = _image(session, job, last.path)
    if now is not None and now.id > last.id:
        raise Refused(f"{now.reviewer} has decided about {last.path} since.")
    taken_back = NewReview(
        job=job,
        path=last.path,
        decision=ReviewDecision.UNDONE,
        reviewer=reviewer,
        account=account,
        seen=last.id,
        blind=last.blind,
    )
    return _add(session, row, now, taken_back, undoes=last)


def final_counts(session: Session, job: int) -> dict[Disposition, int]:
    """How many images of the job have which final disposition."""
    view = table("v_dispositions", column("job"), column("final_disposition")).c
    query = select(view.final_disposition, func.count()).where(view.job == job).group_by(view.final_disposition)
    counted = {Disposition(word): images for word, images in session.execute(query)}
    return {disposition: counted.get(disposition, 0) for disposition in Disposition}


def of_image(session: Session, job: int, path: str) -> Sequence[Review]:
    """All decisions about that place of the job, newest first, those that were taken back among them."""
    own = (Review.job_id == job, Review.path == path)
    return session.scalars(select(Review).where(*own).order_by(Review.id.desc())).all()


def of_job(session: Session, job: int, *, after: int = 0, limit: int | None = None) -> Iterator[Review]:
    """The decisions in the job, oldest first, behind that one. The session must stay open."""
    query = select(Review).where(Review.job_id == job, Review.id > after).order_by(Review.id).limit(limit)
    yield from session.scalars(query.execution_options(yield_per=_FETCH_ROWS))


def subject(job: int) -> str:
    """What events on decisions are about: not the job, whose own few events they would bury."""
    return f"reviews:{job}"


def is_newest() -> ColumnElement[bool]:
    """Whether it is the verdict that counts."""
    other = aliased(_R)
    newest = select(func.max(other.revision)).where(other.job_id == _R.job_id, other.path == _R.path)
    return _R.revision == newest.correlate(_R).scalar_subquery()


def same_bytes(one: ColumnExpressionArgument[Any], other: ColumnExpressionArgument[Any]) -> ColumnElement[bool]:
    """Whether two sha256s are the same; a file that could not be read has none."""
    return func.coalesce(one, "") == func.coalesce(other, "")


def about(row: type[Review]) -> ColumnElement[bool]:
    """Whether a decision is about the image of the verdict."""
    return and_(row.job_id == _R.job_id, row.path == _R.path, same_bytes(row.sha256, _R.sha256))


def stands(row: type[Review]) -> ColumnElement[bool]:
    """Whether a decision is one, and nobody has taken it back."""
    undoing = aliased(Review)
    return and_(row.undoes.is_(None), ~select(undoing.id).where(undoing.undoes == row.id).exists())


def counting(what: Any) -> Any:
    """`what` of the decision about the image of the verdict that counts."""
    query = select(what).where(about(Review), stands(Review)).order_by(Review.id.desc()).limit(1)
    return query.correlate(_R).scalar_subquery()


def _image(session: Session, job: int, path: str) -> tuple[InspectionResult, Review | None]:
    """(the verdict on it that counts, the decision about it that counts). Raises NotFound."""
    query = select(_R, counting(Review.id)).where(_R.job_id == job, _R.path == path, is_newest())
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"There is no verdict on {path} in job {job}.")
    row, review = found
    return row, None if review is None else session.get_one(Review, review)


def final_disposition(row: InspectionResult, review: Review | None) -> Disposition:
    """What comes of a verdict and the decision that counts, as `v_dispositions` has it."""
    if review is None:
        return row.disposition
    return Disposition.REVIEW if review.decision is ReviewDecision.UNSURE else Disposition(review.decision.value)


def counting_of(decisions: Sequence[Review], sha256: str | None) -> Review | None:
    """Of all decisions about one place, newest first, the one that counts for a file of these bytes."""
    undone = {row.undoes for row in decisions}
    stand = (row for row in decisions if row.undoes is None and row.id not in undone)
    return next((row for row in stand if row.sha256 == sha256), None)


def _add(
    session: Session, row: InspectionResult, now: Review | None, new: NewReview, *, undoes: Review | None = None
) -> Review:
    of_sample = (SampledImage.job_id == row.job_id, SampledImage.path == row.path)
    same = same_bytes(SampledImage.sha256, literal(row.sha256)) if row.sha256 else SampledImage.sha256.is_(None)
    drawn = session.scalar(select(select(SampledImage.id).where(*of_sample, same).exists()))
    before = final_disposition(row, now)
    review = Review(
        result_id=row.id,
        job_id=row.job_id,
        path=row.path,
        sha256=row.sha256,
        reviewer=new.reviewer,
        account=new.account,
        decision=new.decision,
        undoes=undoes.id if undoes else None,
        reason_code=new.reason_code,
        note=new.note,
        previous_disposition=before,
        blind=new.blind,
        drawn=bool(drawn),
    )
    session.add(review)
    session.flush()
    audit.record(
        session,
        actor=new.account,
        action="review.decide" if undoes is None else "review.undo",
        subject=subject(row.job_id),
        path=row.path,
        by=new.reviewer,
        decision=new.decision.value,
        previous=before.value,
        sealed=[seal(session, "review", review.id)],
    )
    return review


def check_name(reviewer: str) -> None:
    if not reviewer.strip() or len(reviewer) > _LONGEST_NAME or not reviewer.isprintable():
        raise Refused(f"A reviewer has a name of at most {_LONGEST_NAME} printable characters.")


def _check_words(new: NewReview) -> None:
    code, note = new.reason_code, new.note
    if code is not None and (not code.strip() or len(code) > _LONGEST_REASON or not code.isprintable()):
        raise Refused(f"A reason code has at most {_LONGEST_REASON} printable characters.")
    if note is not None and len(note) > _LONGEST_NOTE:
        raise Refused(f"A note has at most {_LONGEST_NOTE} characters.")
