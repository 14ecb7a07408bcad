"""Who wants to be told that a job has ended, and how far is that?

An end puts the address on the list (`job_ended`) in its own transaction, so none is forgotten, whatever dies. Who
delivers claims the address for a while by one conditional UPDATE, so of two only one calls it; one that dies in between
is followed when that time is over. So an end is told at least once, and it is the message's id that makes it once.

`next_at` is when the address is called next. NULL: there is nothing to tell, or it was given up, with the problem.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.clock import database_now
from db.engine import rows_changed
from db.models import OPEN_JOBS, InspectionJob, JobState, Webhook


@dataclass(frozen=True, kw_only=True)
class Due:
    """An address in one deliverer's hands."""

    id: int
    job: int
    url: str
    attempt: int  # to tell this end, from 1
    until: datetime  # nobody else calls it before; the fence: another end, or another claim, moves it


def add(session: Session, job: int, url: str) -> None:
    """Have `url` told of each end of the job."""
    session.add(Webhook(job_id=job, url=url))


def job_ended(session: Session, job: int) -> None:
    """In the transaction of the end: it is to be told now, however often the one before was tried."""
    listed = update(Webhook).where(Webhook.job_id == job).values(next_at=database_now(), attempts=0, problem=None)
    session.execute(listed.execution_options(synchronize_session=False))


def claim(session: Session, *, lease_seconds: float) -> Due | None:
    """The address of the latest end that is due; None where none is. What was in vain before is not in its way.

    A job that goes on meanwhile is told of when it has ended again.
    """
    has_ended = select(InspectionJob.id).where(
        InspectionJob.id == Webhook.job_id, InspectionJob.state.not_in(OPEN_JOBS)
    )
    next_up = (
        select(Webhook.id)
        .where(Webhook.next_at <= database_now(), has_ended.exists())
        .order_by(Webhook.next_at.desc(), Webhook.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(Webhook)
        .where(Webhook.id == next_up.scalar_subquery())
        .values(next_at=database_now(lease_seconds), attempts=Webhook.attempts + 1)
        .returning(Webhook.id, Webhook.job_id, Webhook.url, Webhook.attempts, Webhook.next_at)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(taken).one_or_none()
    if row is None or row.next_at is None:
        return None
    return Due(id=row.id, job=row.job_id, url=row.url, attempt=row.attempts, until=row.next_at)


def told(session: Session, due: Due, state: JobState, revision: int) -> bool:
    """It knows of that end. False: it is not ours any more, and will be called again."""
    values = {"told_state": state, "told_revision": revision, "told_at": database_now(), "attempts": 0}
    return _settle(session, due, {**values, "next_at": None, "problem": None})


def failed(session: Session, due: Due, problem: str, *, again_in: float | None) -> bool:
    """It could not be told; called again after so many seconds, or never (None)."""
    next_at = None if again_in is None else database_now(again_in)
    return _settle(session, due, {"next_at": next_at, "problem": problem})


def _settle(session: Session, due: Due, values: dict[str, object]) -> bool:
    ours = update(Webhook).where(Webhook.id == due.id, Webhook.next_at == due.until)
    return rows_changed(session, ours.values(values).execution_options(synchronize_session=False)) == 1


def of_jobs(session: Session, jobs: Collection[int]) -> dict[int, Webhook]:
    """By job, of those that tell somebody."""
    return {row.job_id: row for row in session.scalars(select(Webhook).where(Webhook.job_id.in_(jobs)))}
