"""What would other limits have said of a job's images? Stored scores, judged anew: no image is read.

The new verdicts are the job's next revision, and count from then on. The old ones stay in place, and each new one
names the one that it was judged from. UNREADABLE images have no score, and keep their verdict.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Insert, Select, case, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from db import audit, batches, jobs, results, webhooks
from db.clock import database_now
from db.engine import rows_changed
from db.errors import Refused
from db.models import OPEN_JOBS, Disposition, InspectionJob, InspectionResult, OperatingPoint
from db.results import newest_of_job

# What of a verdict stays as it was.
_KEPT = (
    "job_id",
    "batch_id",
    "path",
    "sha256",
    "size",
    "width",
    "height",
    "score",
    "novelty",
    "tile_x",
    "tile_y",
    "tile_width",
    "tile_height",
    "reason_code",
    "detail",
    "checkpoint_id",
    "engine",
    "precision",
    "device",
    "worker",
)
_FETCH_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Rejudged:
    """What became of a job's scores."""

    revision: int
    judged: int  # verdicts given anew
    flipped: int  # of them, those that are another than before


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An image whose verdict is another now."""

    path: str
    score: float
    before: Disposition
    after: Disposition


def rejudge(session: Session, job: InspectionJob, point: OperatingPoint, *, actor: str) -> Rejudged:
    """Judge the job's scores by `point`. Raises Refused where the job goes on, or the limits are not its model's.

    Also where a worker still has a batch of a failed job: it would save verdicts by the limits of before.
    """
    if job.state in OPEN_JOBS:
        raise Refused(f"Job {job.id} is {job.state.value}: its verdicts can be judged anew when it has ended.")
    if point.checkpoint_id != job.checkpoint_id:
        raise Refused(f"Operating point {point.id} is another model's: it says nothing about job {job.id}.")
    if point.id == job.operating_point_id:
        raise Refused(f"Job {job.id} is judged by operating point {point.id} already.")
    before, revision = job.operating_point_id, job.revision + 1
    unchanged = (
        InspectionJob.id == job.id,
        InspectionJob.revision == job.revision,
        InspectionJob.state == job.state,
    )
    taken = update(InspectionJob).where(*unchanged).values(revision=revision, operating_point_id=point.id)
    if rows_changed(session, taken.execution_options(synchronize_session=False)) != 1:
        raise Refused(f"Somebody else is retrying or judging job {job.id} just now. Look at it: inspectq jobs show")
    if batches.any_held(session, job.id):
        raise Refused(
            f"A worker still has a batch of job {job.id}: it can be judged anew when that is saved or given up."
        )
    session.refresh(job)
    session.execute(_insertion(job, point, revision))
    new = results.sealed(results.of_revision(session, job.id, revision))
    flipped = session.scalar(select(func.count()).select_from(_flips(job.id, revision).subquery())) or 0
    webhooks.job_ended(session, job.id)  # its ledger is another
    audit.record(
        session,
        actor=actor,
        action=audit.RESULTS_REJUDGED,
        subject=f"job:{job.id}",
        operating_point=point.id,
        instead_of=before,
        revision=revision,
        judged=new.images,
        flipped=flipped,
        digest=new.digest,
        **jobs.ledger(session, job.id).to_dict(),
    )
    return Rejudged(revision=revision, judged=new.images, flipped=flipped)


def flips(session: Session, job: int, revision: int, *, limit: int | None = None) -> Iterator[Flip]:
    """The images whose verdict changed with that revision, in the order of their paths. The session must stay open."""
    rows = session.execute(_flips(job, revision).limit(limit).execution_options(yield_per=_FETCH_ROWS))
    for path, score, before, after in rows:
        yield Flip(path=path, score=score or 0.0, before=before, after=after)


def _insertion(job: InspectionJob, point: OperatingPoint, revision: int) -> Insert:
    row = InspectionResult
    score = row.score
    disposition = case(
        (score < point.pass_below, Disposition.PASS.value),
        (score >= point.fail_from, Disposition.FAIL.value),
        else_=Disposition.REVIEW.value,
    )
    checkpoint = job.checkpoint
    label = case((score >= point.fail_from, checkpoint.positive_class), else_=checkpoint.negative_class)
    values = {
        **{name: getattr(row, name) for name in _KEPT},
        "label": label,
        "disposition": disposition,
        "operating_point_id": literal(point.id),
        "revision": literal(revision),
        "time": database_now(),
        "rejudged_from": row.id,
    }
    judged = select(*values.values()).where(row.id.in_(newest_of_job(job.id)), score.is_not(None))
    return insert(row).from_select(list(values), judged)


def _flips(job: int, revision: int) -> Select[str, float | None, Disposition, Disposition]:
    after, before = aliased(InspectionResult), aliased(InspectionResult)
    return (
        select(after.path, after.score, before.disposition, after.disposition)
        .join(before, before.id == after.rejudged_from)
        .where(after.job_id == job, after.revision == revision, after.disposition != before.disposition)
        .order_by(after.path)
    )
