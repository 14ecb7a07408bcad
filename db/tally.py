"""Where are the images of many jobs, without counting verdicts?

A list that is looked at every second cannot afford to. What a job came to is told by the event of its end; how far an
open one is, by its batches. Whoever needs to be sure counts (`db.jobs.ledger`), or verifies (`inspectq audit verify`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from db.clock import database_now
from db.jobs import Ledger
from db.models import OPEN_JOBS, AuditEvent, Batch, BatchState, InspectionJob

_RATE_SECONDS = 60.0  # over which the throughput of an open job is told
# Events that tell where a job's images are.
_TELLING = ("job.done", "job.cancel", "job.failed", "job.rejudge")


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How far a job is."""

    settled: int  # images with a verdict, or cancelled; of a retry that goes on, of its own images
    planned: int  # images found so far
    ledger: Ledger | None  # as its end told it; None while it is open
    rate: float | None  # images a second, lately or over all of it; None where none was inspected
    seconds_left: float | None  # at that rate; None where that cannot be told


def of_jobs(session: Session, jobs: Sequence[InspectionJob]) -> dict[int, Tally]:
    """By the id of each job."""
    opened = [job for job in jobs if job.state in OPEN_JOBS]
    going = _going(session, [job.id for job in opened])
    now = session.scalar(select(database_now())) if opened else None
    ends = _ends(session, [job.id for job in jobs if job.state not in OPEN_JOBS])
    told = {job.id: _open(job, *going.get(job.id, (0, 0, 0)), now) for job in opened}
    return told | {job.id: _ended(job, ends.get(job.id)) for job in jobs if job.id not in told}


def of_ended(session: Session) -> Ledger:
    """All images of all jobs that have ended, as the events of their ends tell them."""
    ended = select(InspectionJob.id).where(InspectionJob.state.not_in(OPEN_JOBS))
    ledgers = _ends(session, list(session.scalars(ended))).values()
    return Ledger(**{field.name: sum(getattr(one, field.name) for one in ledgers) for field in fields(Ledger)})


def end(session: Session, job: int) -> AuditEvent:
    """The newest event that tells where the images of this job, which has ended, are."""
    own = (AuditEvent.subject == f"job:{job}", AuditEvent.action.in_(_TELLING))
    return session.scalars(select(AuditEvent).where(*own).order_by(AuditEvent.id.desc()).limit(1)).one()


def _open(job: InspectionJob, settled: int, planned: int, lately: int, now: datetime | None) -> Tally:
    age = (now - job.submitted_at).total_seconds() if now else 0.0
    rate = lately / min(age, _RATE_SECONDS) if lately and age > 0 else None
    left = (planned - settled) / rate if rate and job.planned_at is not None else None
    return Tally(settled=settled, planned=planned, ledger=None, rate=rate, seconds_left=left)


def _ended(job: InspectionJob, ledger: Ledger | None) -> Tally:
    inspected = ledger.submitted - ledger.cancelled if ledger else 0
    timed = job.finished_at is not None and job.revision == 1  # else idle time lies between its ends
    seconds = (job.finished_at - job.submitted_at).total_seconds() if timed and job.finished_at else 0.0
    rate = inspected / seconds if inspected and seconds > 0 else None
    return Tally(settled=inspected, planned=job.submitted, ledger=ledger, rate=rate, seconds_left=None)


def _going(session: Session, jobs: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """(images settled, planned, settled lately) by job, of what it inspects now."""
    ended = Batch.state.in_((BatchState.DONE, BatchState.CANCELLED))
    lately = ended & (Batch.finished_at > database_now(-_RATE_SECONDS))
    query = (
        select(
            Batch.job_id,
            func.sum(case((ended, Batch.images), else_=0)),
            func.sum(Batch.images),
            func.sum(case((lately, Batch.images), else_=0)),
        )
        .join(InspectionJob, InspectionJob.id == Batch.job_id)
        .where(Batch.job_id.in_(jobs), Batch.revision == InspectionJob.revision)
        .group_by(Batch.job_id)
    )
    return {job: (int(settled), int(planned), int(last)) for job, settled, planned, last in session.execute(query)}


def _ends(session: Session, jobs: Sequence[int]) -> dict[int, Ledger]:
    """What the newest event that tells it says of each job."""
    subjects = {f"job:{job}": job for job in jobs}
    newest = (
        select(func.max(AuditEvent.id))
        .where(AuditEvent.subject.in_(subjects), AuditEvent.action.in_(_TELLING))
        .group_by(AuditEvent.subject)
    )
    found = session.execute(select(AuditEvent.subject, AuditEvent.details).where(AuditEvent.id.in_(newest)))
    return {subjects[subject]: Ledger.from_dict(details) for subject, details in found}
