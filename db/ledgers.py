"""Where did the images of every job end up, counted from the rows themselves?

Not from `v_job_ledger`: whoever checks what is recorded must not ask a view that somebody may have altered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, and_, case, func, select, true, type_coerce
from sqlalchemy.orm import Session, aliased

from db.careful import moment
from db.models import OPEN_BATCHES, Batch, BatchState, Disposition, InspectionJob, InspectionResult, JobState, in_state

_ENDED = frozenset(state.value for state in (JobState.DONE, JobState.CANCELLED, JobState.FAILED))
WORDS = ("submitted", "pass", "fail", "review", "unreadable", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A job's images as its rows have them."""

    job: int
    state: str  # as it is written, whether there is such a state or not
    revision: int
    operating_point: int
    reason: str | None
    finished_at: datetime | None  # None also where what is written there is no time
    ledger: dict[str, int]  # by WORDS
    open: int  # images of batches that nobody has finished; a failed job may have some
    uneven: int  # batches that are done and have not one verdict for each of their images
    otherwise: int  # scored verdicts that count and were judged by other limits than the job's

    @property
    def adds_up(self) -> bool:
        """Whether every image of an ended job is accounted for; of one that goes on, whether its done batches are."""
        if self.uneven or self.state not in _ENDED:
            return not self.uneven
        images = sum(number for word, number in self.ledger.items() if word != "submitted")
        left = self.open if self.state == JobState.FAILED else 0
        return self.ledger["submitted"] == images + left


def of_every_job(session: Session, *, only: int | None = None) -> Iterator[Counted]:
    """Every job in the order of the ids, or that one. Reads their verdicts once; the session must stay open."""
    row, other, job = InspectionResult, aliased(InspectionResult), InspectionJob
    newest = select(func.max(other.revision)).where(other.job_id == row.job_id, other.path == row.path)
    counted = {
        word: func.coalesce(func.sum(case((row.disposition == disposition, 1), else_=0)), 0)
        for word, disposition in ((each.value.lower(), each) for each in Disposition)
    }
    otherwise = and_(row.score.is_not(None), row.operating_point_id != job.operating_point_id)
    query = (
        select(
            job.id,
            type_coerce(job.state, String).label("state"),
            job.revision,
            job.operating_point_id,
            job.state_reason,
            type_coerce(job.finished_at, String).label("finished_at"),
            job.submitted,
            *(number.label(f"n_{word}") for word, number in counted.items()),
            _images(Batch.state == BatchState.CANCELLED).label("n_cancelled"),
            _images(in_state(*OPEN_BATCHES)).label("open"),
            _uneven().label("uneven"),
            func.coalesce(func.sum(case((otherwise, 1), else_=0)), 0).label("otherwise"),
        )
        .outerjoin(row, and_(row.job_id == job.id, row.revision == newest.correlate(row).scalar_subquery()))
        .where(true() if only is None else job.id == only)
        .group_by(job.id)
        .order_by(job.id)
    )
    for found in session.execute(query).mappings():
        yield Counted(
            job=found["id"],
            state=found["state"],
            revision=found["revision"],
            operating_point=found["operating_point_id"],
            reason=found["state_reason"],
            finished_at=moment(found["finished_at"]),
            ledger={word: found[word if word == "submitted" else f"n_{word}"] for word in WORDS},
            open=found["open"],
            uneven=found["uneven"],
            otherwise=found["otherwise"],
        )


def _images(which: ColumnElement[bool]) -> ColumnElement[int]:
    """Of the job's first batches: those of a retry hold images that are counted already."""
    images = select(func.coalesce(func.sum(Batch.images), 0))
    return images.where(Batch.job_id == InspectionJob.id, Batch.revision == 1, which).scalar_subquery()


def _uneven() -> ColumnElement[int]:
    row = aliased(InspectionResult)
    verdicts = select(func.count()).where(row.batch_id == Batch.id, row.revision == Batch.revision).scalar_subquery()
    done = (Batch.job_id == InspectionJob.id, Batch.state == BatchState.DONE, Batch.images != verdicts)
    return select(func.count()).select_from(Batch).where(*done).scalar_subquery()
