"""How does a submitted folder move from pending to done, and do its numbers add up?

    pending --(db/plans.py)--> planning --> running --finish--> done
    pending | planning | running | failed --cancel--> cancelled
    pending | planning | running --fail----> failed, with the reason a person can act on
    failed --retry--> pending (or running, where the walk was complete)
    done   --retry--> running: its unreadable images once more, as the next revision

The ledger: submitted = pass + fail + review + unreadable + cancelled, checked in the
transaction that finishes the job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, column, func, select, table, update
from sqlalchemy.orm import Session, joinedload

from db import audit, batches, operating_points, results, webhooks
from db.audit import SYSTEM
from db.clock import database_now
from db.engine import rows_changed
from db.errors import NotFound, Refused
from db.models import (
    OPEN_BATCHES,
    OPEN_JOBS,
    Batch,
    BatchState,
    Checkpoint,
    InspectionJob,
    JobState,
    OperatingPoint,
    in_state,
)
from db.seals import seal

_v_job_ledger = table(
    "v_job_ledger",
    *(column(name) for name in ("job", "submitted", "pass", "fail", "review", "unreadable", "cancelled")),
)


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where every submitted image of a job ended up. Counts of images."""

    submitted: int
    passed: int
    failed: int
    review: int
    unreadable: int
    cancelled: int

    @property
    def closed(self) -> bool:
        """Whether every submitted image is accounted for."""
        return self.submitted == self.passed + self.failed + self.review + self.unreadable + self.cancelled

    @classmethod
    def from_dict(cls, counts: Mapping[str, Any]) -> "Ledger":
        """What `to_dict` gave."""
        return cls(
            submitted=counts["submitted"],
            passed=counts["pass"],
            failed=counts["fail"],
            review=counts["review"],
            unreadable=counts["unreadable"],
            cancelled=counts["cancelled"],
        )

    def to_dict(self) -> dict[str, int]:
        """The ledger in the words of the command line and the view."""
        return {
            "submitted": self.submitted,
            "pass": self.passed,
            "fail": self.failed,
            "review": self.review,
            "unreadable": self.unreadable,
            "cancelled": self.cancelled,
        }


def submit(
    session: Session,
    *,
    root: str,
    checkpoint: Checkpoint,
    operating_point: OperatingPoint,
    priority: int,
    batch_images: int,
    submitted_by: str,
    reuse: bool = True,
    runtime: str = "auto",
    audit_rate: float | None = None,
) -> InspectionJob:
    """Commit the wish; nothing else has to be up for that."""
    job = InspectionJob(
        root=root,
        checkpoint_id=checkpoint.id,
        operating_point_id=operating_point.id,
        state=JobState.PENDING,
        priority=priority,
        batch_images=batch_images,
        submitted_by=submitted_by,
        reuse=reuse,
        runtime=runtime,
        audit_rate=audit_rate,
    )
    session.add(job)
    session.flush()
    audit.record(
        session,
        actor=submitted_by,
        action="job.submit",
        subject=f"job:{job.id}",
        root=root,
        model=checkpoint.digest,
        operating_point=operating_point.id,
        sealed=[seal(session, "inspection_job", job.id)],
    )
    return job


def get(session: Session, job: int) -> InspectionJob:
    """The job with its checkpoint, its operating point and that one's approval. Raises NotFound."""
    found = session.get(
        InspectionJob,
        job,
        options=[
            joinedload(InspectionJob.checkpoint),
            joinedload(InspectionJob.operating_point).joinedload(OperatingPoint.approval),
        ],
    )
    if found is None:
        raise NotFound(f"There is no job {job}. `inspectq jobs list` shows those there are.")
    return found


def newest(session: Session, *, limit: int, before: int | None = None) -> Sequence[InspectionJob]:
    """The latest jobs, or those older than that one, newest first, with their checkpoints and limits."""
    limits = joinedload(InspectionJob.operating_point).joinedload(OperatingPoint.approval)
    query = select(InspectionJob).options(joinedload(InspectionJob.checkpoint), limits)
    if before is not None:
        query = query.where(InspectionJob.id < before)
    return session.scalars(query.order_by(InspectionJob.id.desc()).limit(limit)).all()


def ledger(session: Session, job: int) -> Ledger:
    """Where the images of `job` are now. Open until the last batch is done."""
    row = session.execute(select(_v_job_ledger).where(_v_job_ledger.c.job == job)).mappings().one()
    return Ledger.from_dict(dict(row))


def progress(session: Session, job: int) -> tuple[int, int]:
    """(images with a verdict, images planned), cheap enough to ask every second: it sums batches, not results."""
    done = session.scalar(
        select(func.coalesce(func.sum(Batch.images), 0)).where(Batch.job_id == job, Batch.state == BatchState.DONE)
    )
    planned = session.scalar(select(func.coalesce(func.sum(Batch.images), 0)).where(Batch.job_id == job))
    return int(done or 0), int(planned or 0)


def _has_open_batch() -> ColumnElement[bool]:
    return select(Batch.id).where(Batch.job_id == InspectionJob.id, in_state(*OPEN_BATCHES)).limit(1).exists()


def is_ready_to_finish() -> ColumnElement[bool]:
    """Whether a job runs without an open batch."""
    return and_(InspectionJob.state == JobState.RUNNING, ~_has_open_batch())


def ready_to_finish(session: Session) -> list[int]:
    """Running jobs without an open batch."""
    return list(session.scalars(select(InspectionJob.id).where(is_ready_to_finish())))


def finish(session: Session, job: int) -> bool:
    """running -> done, if the ledger closes; -> failed, naming the difference, if it ever did not.

    False where it did not end here: another scheduler was first, or a retry has opened the job again.
    """
    counted = ledger(session, job)
    if not counted.closed:
        fail(session, job, f"The ledger does not close: {counted.to_dict()}. Please report this.")
        return False
    ended = rows_changed(
        session,
        update(InspectionJob)
        .where(InspectionJob.id == job, is_ready_to_finish())
        .values(state=JobState.DONE, finished_at=database_now()),
    )
    if ended == 1:
        webhooks.job_ended(session, job)
        audit.record(session, actor=SYSTEM, action="job.done", subject=f"job:{job}", **counted.to_dict())
    return ended == 1


def cancel(session: Session, job: int, *, actor: str) -> Ledger:
    """open or failed -> cancelled. Verdicts that exist stay; what was not inspected counts as cancelled."""
    moved = rows_changed(
        session,
        update(InspectionJob)
        .where(InspectionJob.id == job, InspectionJob.state.in_((*OPEN_JOBS, JobState.FAILED)))
        .values(
            state=JobState.CANCELLED,
            state_reason=f"cancelled by {actor}",
            planner_token=None,
            finished_at=database_now(),
        ),
    )
    if moved != 1:
        state = get(session, job).state.value
        raise Refused(f"Job {job} is {state} already; only an open or a failed job can be cancelled.")
    batches.cancel(session, job)
    webhooks.job_ended(session, job)
    counted = ledger(session, job)
    audit.record(session, actor=actor, action="job.cancel", subject=f"job:{job}", **counted.to_dict())
    return counted


def fail(session: Session, job: int, reason: str, *, planner_token: str | None = None) -> bool:
    """open -> failed. Its batches keep their places: `retry` goes on where it stopped.

    With a `planner_token` only while the job is that planner's: the ghost of a dead one must not fail it.
    """
    fence = () if planner_token is None else (InspectionJob.planner_token == planner_token,)
    moved = rows_changed(
        session,
        update(InspectionJob)
        .where(InspectionJob.id == job, InspectionJob.state.in_(OPEN_JOBS), *fence)
        .values(
            state=JobState.FAILED,
            state_reason=reason,
            planner_token=None,
            waiting_since=None,
            finished_at=database_now(),
        ),
    )
    if moved == 1:
        webhooks.job_ended(session, job)
        counted = ledger(session, job).to_dict()
        audit.record(session, actor=SYSTEM, action="job.failed", subject=f"job:{job}", reason=reason, **counted)
    return moved == 1


def retry(session: Session, job: int, *, actor: str) -> str:
    """Go on with a failed job, or inspect a done job's unreadable images again. Returns what is done, as a sentence."""
    found = get(session, job)
    if found.state == JobState.FAILED:
        return _resume(session, found, actor)
    if found.state == JobState.DONE:
        return _inspect_unreadable_again(session, found, actor)
    raise Refused(f"Job {job} is {found.state.value}; only a failed or a done job can be retried.")


def _resume(session: Session, job: InspectionJob, actor: str) -> str:
    _reopen(session, job, JobState.PENDING if job.planned_at is None else JobState.RUNNING)
    batches.restart(session, job.id)
    audit.record(session, actor=actor, action="job.retry", subject=f"job:{job.id}")
    return f"Job {job.id} goes on where it stopped."


def _reopen(session: Session, job: InspectionJob, state: JobState, **more: int) -> None:
    """Refused where another retry was first: two would plan the same images twice."""
    same = (InspectionJob.state == job.state, InspectionJob.revision == job.revision)
    opened = update(InspectionJob).where(InspectionJob.id == job.id, *same)
    values = {"state": state, "state_reason": None, "finished_at": None, **more}
    if rows_changed(session, opened.values(values).execution_options(synchronize_session=False)) != 1:
        raise Refused(f"Job {job.id} is being retried already.")


def _inspect_unreadable_again(session: Session, job: InspectionJob, actor: str) -> str:
    paths = results.unreadable_paths(session, job.id)
    if not paths:
        raise Refused(f"Job {job.id} is done and has no unreadable image; there is nothing to retry.")
    chunks = [paths[start : start + job.batch_images] for start in range(0, len(paths), job.batch_images)]
    revision, first_sequence = job.revision + 1, job.planned_batches
    _reopen(session, job, JobState.RUNNING, revision=revision, planned_batches=first_sequence + len(chunks))
    session.refresh(job)
    batches.plan(session, job, chunks, first_sequence=first_sequence)
    audit.record(session, actor=actor, action="job.retry", subject=f"job:{job.id}", revision=revision)
    return f"Job {job.id} inspects its {len(paths)} unreadable images again, as revision {revision}."


def summary(job: InspectionJob) -> dict[str, Any]:
    """The job's own columns for a person or a script, without its ledger."""
    return {
        "job": job.id,
        "state": job.state.value,
        "reason": job.state_reason,
        "root": job.root,
        "model": job.checkpoint.name,
        "checkpoint_digest": job.checkpoint.digest,
        "operating_point": job.operating_point_id,
        "limits": operating_points.approval_words(job.operating_point),
        "priority": job.priority,
        "revision": job.revision,
        "reuse": job.reuse,
        "runtime": job.runtime,
        "other_files": job.other_files,
        "linked_folders": job.linked_folders,
        "submitted_by": job.submitted_by,
        "submitted_at": job.submitted_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
