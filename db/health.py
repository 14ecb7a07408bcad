"""How is the system as a whole: who is alive, what waits, and what went wrong?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.clock import database_now
from db.heartbeats import STALE_SECONDS
from db.models import OPEN_BATCHES, Batch, BatchState, InspectionJob, JobState, ServiceHeartbeat, in_state

_MOST_TROUBLED = 20


@dataclass(frozen=True, kw_only=True)
class Service:
    """A scheduler or worker that has said that it is alive."""

    name: str
    role: str
    seen_at: datetime
    alive: bool  # said so lately
    refused_messages: int  # forged or garbled, since it started


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Batches that are not done."""

    planned: int
    dispatched: int  # on the queue
    running: int
    images: int  # in all of them
    oldest_since: datetime | None  # when the oldest job among theirs was submitted


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """An open batch that failed, or waits for storage."""

    job: int
    batch: int
    attempt: int
    faults: int
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How often batches were not done at once. Sums over all there ever were."""

    retries: int  # attempts beyond the first, waits for storage among them; only ever grows
    faults: int  # attempts that failed a batch; forgotten where a failed job goes on
    expiries: int  # of leases, whose worker had stopped renewing them; only ever grows


def services(session: Session) -> Sequence[Service]:
    """Those that were seen at all, the living ones first."""
    row = ServiceHeartbeat
    alive = (row.seen_at > database_now(-STALE_SECONDS)).label("alive")
    query = select(row.name, row.role, row.seen_at, alive, row.refused_messages)
    return [
        Service(name=name, role=role, seen_at=seen_at, alive=bool(is_alive), refused_messages=refused)
        for name, role, seen_at, is_alive, refused in session.execute(query.order_by(alive.desc(), row.role, row.name))
    ]


def waiting(session: Session) -> Waiting:
    """Cheap however many batches are done: the index of the open ones answers."""
    query = select(Batch.state, func.count(), func.sum(Batch.images)).where(in_state(*OPEN_BATCHES))
    counted = {state: (batches, images) for state, batches, images in session.execute(query.group_by(Batch.state))}
    oldest = select(func.min(InspectionJob.submitted_at)).where(
        InspectionJob.id.in_(select(Batch.job_id).where(in_state(*OPEN_BATCHES)).distinct())
    )
    return Waiting(
        planned=counted.get(BatchState.PLANNED, (0, 0))[0],
        dispatched=counted.get(BatchState.DISPATCHED, (0, 0))[0],
        running=counted.get(BatchState.RUNNING, (0, 0))[0],
        images=int(sum(images for _, images in counted.values())),
        oldest_since=session.scalar(oldest),
    )


def troubles(session: Session) -> Sequence[Trouble]:
    """Open batches with a fault or a wait, those with the most faults first."""
    troubled = (in_state(*OPEN_BATCHES), (Batch.faults > 0) | Batch.waiting_since.is_not(None))
    query = select(Batch).where(*troubled).order_by(Batch.faults.desc(), Batch.id).limit(_MOST_TROUBLED)
    return [
        Trouble(job=row.job_id, batch=row.sequence, attempt=row.attempt, faults=row.faults, note=row.note)
        for row in session.scalars(query)
    ]


def jobs_by_state(session: Session) -> dict[JobState, int]:
    """How many jobs are in each state."""
    query = select(InspectionJob.state, func.count()).group_by(InspectionJob.state)
    counted: dict[JobState, int] = dict(session.execute(query).all())
    return {state: counted.get(state, 0) for state in JobState}


def attempts(session: Session) -> Attempts:
    """In one walk through all batches."""
    retries, faults, expiries = (
        func.coalesce(func.sum(one), 0) for one in (Batch.attempt - 1, Batch.faults, Batch.expiries)
    )
    row = session.execute(select(retries, faults, expiries)).one()
    return Attempts(retries=int(row[0]), faults=int(row[1]), expiries=int(row[2]))
