"""Where does one verdict come from? Every record that it rests on, found by keys: a large job costs no more."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, CompoundSelect, Select, String, and_, cast, func, literal, or_, select, union_all
from sqlalchemy.orm import Session, aliased, joinedload

from db import audit, evaluations, jobs, operating_points, reviews, runtimes
from db.errors import NotFound
from db.models import (
    OPEN_JOBS,
    AuditEvent,
    Batch,
    Checkpoint,
    Disposition,
    Evaluation,
    InspectionJob,
    InspectionResult,
    OperatingPoint,
    Review,
    RuntimeParity,
)
from db.paths import meant

MOST_EVENTS = 200  # of a verdict's job and model; the newest
_LONGEST_CHAIN = 1000  # verdicts
_FETCH_ROWS = 1000

NameOf = Callable[[str, str], str | None]


class Given(StrEnum):
    """How a verdict came about."""

    INSPECTED = "inspected"  # the file was read, and the network asked where it could be
    REUSED = "reused"  # taken over from the verdict on an identical file
    REJUDGED = "rejudged"  # a stored score, judged by other limits


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """One image of a job, and all that its verdict rests on."""

    job: InspectionJob
    revisions: Sequence[InspectionResult]  # of this path in this job, newest first
    chain: Sequence[InspectionResult]  # from the verdict that counts back to the one that was inspected
    lost: int | None  # the verdict to which the chain leads and which is not there
    origin_job: InspectionJob  # of the chain's last verdict
    batch: Batch  # in which that was inspected
    added: AuditEvent | None  # that reports that batch's verdicts; None of before there were such events
    reviews: Sequence[Review]  # decisions of people about the image in this job, newest first
    points: dict[int, OperatingPoint]  # by which the revisions and the chain were judged
    checkpoint: Checkpoint
    approval: AuditEvent | None  # the event of the approval of the verdict's limits
    evaluations: Sequence[Evaluation]  # that apply and were made by then, this runtime's first
    later_evaluations: Sequence[Evaluation]  # that nobody knew when the verdict was given
    runtime: str | None  # its name; None where this version knows none such
    comparison: RuntimeParity | None  # by which that runtime could be used then
    events: Sequence[AuditEvent]  # about the job, the one it comes from, and the model; oldest first
    events_left_out: int  # older ones

    @property
    def verdict(self) -> InspectionResult:
        """The one that counts."""
        return self.revisions[0]

    @property
    def origin(self) -> InspectionResult:
        """The one for which the file was read."""
        return self.chain[-1]

    @property
    def final(self) -> Disposition:
        """What comes of the verdict and the decision that counts."""
        return reviews.final_disposition(self.verdict, reviews.counting_of(self.reviews, self.verdict.sha256))

    @property
    def point(self) -> OperatingPoint:
        """The limits that the verdict was judged by."""
        return self.points[self.verdict.operating_point_id]


def given(row: InspectionResult) -> Given:
    """How this verdict came about."""
    if row.rejudged_from is not None:
        return Given.REJUDGED
    return Given.INSPECTED if row.reused_from is None else Given.REUSED


def trace(session: Session, job: int, path: str, name_of: NameOf) -> Lineage:
    """The lineage of the verdict on `path`, as a person has it, in `job`. Raises NotFound.

    `name_of`: the runtime with this engine and precision, if this version knows one.
    """
    found = jobs.get(session, job)
    revisions = _revisions(session, found, path)
    chain, lost = _chain(session, revisions[0])
    origin = chain[-1]
    checkpoint = session.get_one(
        Checkpoint, revisions[0].checkpoint_id, options=[joinedload(Checkpoint.training_run, innerjoin=True)]
    )
    name = name_of(origin.engine, origin.precision)
    then, since = evaluations.applying_at(
        session, checkpoint, revisions[0].time, engine=origin.engine, precision=origin.precision
    )
    judged_by = {row.operating_point_id for row in (*revisions, *chain)}
    points = {point: operating_points.get(session, point) for point in sorted(judged_by)}
    about = subjects(found, checkpoint) | {f"job:{origin.job_id}"}
    told = select(AuditEvent).where(or_(AuditEvent.subject.in_(sorted(about)), reviewing(job, revisions[0].path)))
    newest = session.scalars(told.order_by(AuditEvent.id.desc()).limit(MOST_EVENTS)).all()
    number = session.scalar(select(func.count()).select_from(told.subquery())) or 0
    return Lineage(
        job=found,
        revisions=revisions,
        chain=chain,
        lost=lost,
        origin_job=jobs.get(session, origin.job_id),
        batch=session.get_one(Batch, origin.batch_id),
        added=_added(session, origin),
        reviews=reviews.of_image(session, found.id, revisions[0].path),
        points=points,
        approval=operating_points.approval_event(session, points[revisions[0].operating_point_id]),
        checkpoint=checkpoint,
        evaluations=then,
        later_evaluations=since,
        runtime=name,
        comparison=None if name is None else runtimes.counted_at(session, checkpoint.id, name, origin.time),
        events=newest[::-1],
        events_left_out=number - len(newest),
    )


def _revisions(session: Session, job: InspectionJob, typed: str) -> Sequence[InspectionResult]:
    candidates = meant(typed, job.root)
    if not candidates:
        raise NotFound(f"{typed} does not lie in the folder of job {job.id}, {job.root}")
    for path in candidates:
        own = select(InspectionResult).where(InspectionResult.job_id == job.id, InspectionResult.path == path)
        if rows := session.scalars(own.order_by(InspectionResult.revision.desc())).all():
            return rows
    yet = ", which still goes on" if job.state in OPEN_JOBS else ""
    raise NotFound(
        f"There is no verdict on {typed} in job {job.id}{yet}. `inspectq results {job.id}` lists those there are; "
        f"paths are relative to {job.root}"
    )


def _chain(session: Session, row: InspectionResult) -> tuple[list[InspectionResult], int | None]:
    """(the verdict and each one that it was made from, the id of one that is not there any more)."""
    chain, seen = [row], {row.id}
    while (before := row.rejudged_from or row.reused_from) is not None:
        found = session.get(InspectionResult, before)
        if found is None or before in seen or len(chain) == _LONGEST_CHAIN:
            return chain, before
        chain.append(found)
        seen.add(before)
        row = found
    return chain, None


def _added(session: Session, row: InspectionResult) -> AuditEvent | None:
    of_batch = (AuditEvent.subject == f"batch:{row.batch_id}", AuditEvent.action == audit.RESULTS_ADDED)
    found = session.scalars(select(AuditEvent).where(*of_batch).order_by(AuditEvent.id))
    return next((event for event in found if event.details.get("revision") == row.revision), None)


def subjects(job: InspectionJob, checkpoint: Checkpoint) -> set[str]:
    """Whatever events are about that tell of the job's verdicts; those on limits are about their model."""
    return {f"job:{job.id}", f"model:{checkpoint.digest}"}


def reviewing(job: int, path: str) -> ColumnElement[bool]:
    """Whether an event is about a person's decision on that image."""
    return and_(AuditEvent.subject == reviews.subject(job), AuditEvent.details["path"].as_string() == path)


def previous_digest() -> ColumnElement[str]:
    """Of an event: the digest of the one before it in the chain."""
    before = aliased(AuditEvent)
    previous = select(before.digest).where(before.id < AuditEvent.id).order_by(before.id.desc()).limit(1)
    return func.coalesce(previous.scalar_subquery(), audit.FIRST)


def concerning(about: Iterable[str], *, batches_of: int | None = None) -> ColumnElement[bool]:
    """Whether an event is about one of these, or reports the verdicts of a batch of that job."""
    theirs: CompoundSelect[int] | Select[int] = select(AuditEvent.id).where(AuditEvent.subject.in_(sorted(about)))
    if batches_of is not None:
        batch = literal("batch:") + cast(Batch.id, String)
        added = select(AuditEvent.id).join(Batch, AuditEvent.subject == batch).where(Batch.job_id == batches_of)
        theirs = union_all(theirs, added.where(AuditEvent.action == audit.RESULTS_ADDED))
    return AuditEvent.id.in_(theirs)


def events(session: Session, which: ColumnElement[bool]) -> Iterator[tuple[AuditEvent, str]]:
    """(event, the digest of the one before it in the chain), oldest first. The session must stay open meanwhile."""
    query = select(AuditEvent).where(which).add_columns(previous_digest()).order_by(AuditEvent.id)
    for event, digest in session.execute(query.execution_options(yield_per=_FETCH_ROWS)):
        yield event, str(digest)


def newest_digest(session: Session) -> str:
    """What the whole chain ends with now."""
    return session.scalar(select(AuditEvent.digest).order_by(AuditEvent.id.desc()).limit(1)) or audit.FIRST
