"""Why is a job where it is, and what does it wait for? Sentences for a person, from what the database knows."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import heartbeats
from db.clock import database_now
from db.models import OPEN_BATCHES, Batch, BatchState, InspectionJob, JobState


@dataclass(frozen=True, kw_only=True)
class OpenBatches:
    """How many batches of a job are not done, and where they are."""

    planned: int
    dispatched: int
    running: int

    @property
    def total(self) -> int:
        """All that are not done."""
        return self.planned + self.dispatched + self.running


def open_batches(session: Session, job: int) -> OpenBatches:
    """Counted by state."""
    number = func.count().label("number")
    query = select(Batch.state, number).where(Batch.job_id == job, Batch.state.in_(OPEN_BATCHES))
    counts = {row.state: row.number for row in session.execute(query.group_by(Batch.state))}
    return OpenBatches(
        planned=counts.get(BatchState.PLANNED, 0),
        dispatched=counts.get(BatchState.DISPATCHED, 0),
        running=counts.get(BatchState.RUNNING, 0),
    )


def explain(session: Session, job: InspectionJob, *, cluster: bool) -> list[str]:
    """What happens to the job now. `cluster`: schedulers and workers are processes of their own."""
    if job.state is JobState.FAILED:
        return [f"It goes on where it stopped with: inspectq jobs retry {job.id}"]
    if job.state in (JobState.DONE, JobState.CANCELLED):
        return []
    said = []
    if cluster:
        said += _missing_services(session)
    elif job.state is JobState.PENDING or not _anything_runs(session, job.id):
        said.append(f"If no `inspectq scan` is running, go on with it: inspectq jobs retry {job.id}")
    if job.waiting_since is not None:
        said.append(f"The folder has not been listed since {job.waiting_since.isoformat(timespec='seconds')}.")
    elif job.state is not JobState.RUNNING:
        said.append("Its folder is still being listed." if job.state is JobState.PLANNING else "It has not begun.")
    if (found := open_batches(session, job.id)).total:
        said.append(
            f"{found.running} of its batches are with workers, {found.dispatched} on the queue, "
            f"{found.planned} are to be sent."
        )
    return said + _troubles(session, job.id)


def _missing_services(session: Session) -> list[str]:
    return [
        f"No {role} has been seen in the last minute. Start one: inspectq {role}"
        for role in ("scheduler", "worker")
        if not heartbeats.alive(session, role=role)
    ]


def _anything_runs(session: Session, job: int) -> bool:
    held = select(Batch.id).where(Batch.job_id == job, Batch.state == BatchState.RUNNING)
    return session.scalar(held.where(Batch.lease_until > database_now()).limit(1)) is not None


def _troubles(session: Session, job: int) -> list[str]:
    """One sentence for the batches that wait for storage, one for those that failed an attempt."""
    said = []
    still_open = (Batch.job_id == job, Batch.state.in_(OPEN_BATCHES))
    for trouble, sentence in (
        (Batch.waiting_since.is_not(None), "{} of its batches wait for their files, the first since {}: {}."),
        (Batch.faults > 0, "{} of its batches failed an attempt and are tried again with care: {}."),
    ):
        query = select(func.count(), func.min(Batch.waiting_since)).where(*still_open, trouble)
        number, since = session.execute(query).one()
        if number:
            last = select(Batch.note).where(*still_open, trouble).order_by(Batch.not_before.desc()).limit(1)
            note = str(session.scalar(last)).rstrip(".")
            details = (number, since.isoformat(timespec="seconds"), note) if since else (number, note)
            said.append(sentence.format(*details))
    return said
