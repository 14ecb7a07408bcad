"""Do the records that one job's verdicts rest on fit the chain of events? What is handed on is checked before.

Not the whole chain: of each event concerned its own digest, with that of the one before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from db import audit, careful, ledgers, lineage, reviews
from db.careful import Unreadable
from db.lineage import Lineage
from db.misfits import Misfit, unreported_record, unreported_verdicts
from db.models import (
    AuditEvent,
    Disposition,
    Evaluation,
    InspectionJob,
    InspectionResult,
    OperatingPoint,
    Review,
    RuntimeParity,
    SampleDraw,
)
from db.unreported import Unreported
from db.verification import Verification

_KEPT_WHEN_REJUDGED = ("path", "sha256", "size", "score", "novelty", "checkpoint_id", "engine", "precision", "device")


@dataclass(frozen=True, kw_only=True)
class Rests:
    """What a job's verdicts rest on, besides the verdicts themselves."""

    jobs: Sequence[InspectionJob]  # the first is the one that is asked about
    points: Sequence[OperatingPoint]
    evaluations: Sequence[Evaluation] = ()
    comparison: RuntimeParity | None = None
    reviews: Sequence[Review] = ()
    draws: Sequence[SampleDraw] = ()

    @property
    def records(self) -> list[tuple[str, int]]:
        """(table, id) of each, in an order that is always the same."""
        checkpoint = self.jobs[0].checkpoint
        datasets = {checkpoint.training_run.dataset_snapshot_id, *(row.dataset_snapshot_id for row in self.evaluations)}
        approvals = [point.approval.id for point in self.points if point.approval is not None]
        return [
            *(("inspection_job", job.id) for job in self.jobs),
            ("checkpoint", checkpoint.id),
            ("training_run", checkpoint.training_run_id),
            *(("dataset_snapshot", number) for number in sorted(datasets)),
            *(("operating_point", point.id) for point in self.points),
            *(("operating_point_approval", number) for number in approvals),
            *(("evaluation", row.id) for row in self.evaluations),
            *(("runtime_parity", row.id) for row in (self.comparison,) if row is not None),
            *(("review", row.id) for row in self.reviews),
            *(("sample_draw", row.id) for row in self.draws),
        ]

    @property
    def subjects(self) -> set[str]:
        """What the events are about that report them."""
        checkpoint = self.jobs[0].checkpoint
        run = checkpoint.training_run
        return {
            "database",
            f"model:{checkpoint.digest}",
            f"training:{run.id}",
            f"dataset:{run.dataset.fingerprint}",
            *(f"job:{job.id}" for job in self.jobs),
            *(f"evaluation:{row.id}" for row in self.evaluations),
            *(f"dataset:{row.dataset.fingerprint}" for row in self.evaluations),
        }


@dataclass(kw_only=True)
class _Events:
    """Passes events on, and knows which of them are broken and which verdicts they report."""

    broken: list[int] = field(default_factory=list)
    added: set[tuple[str, int]] = field(default_factory=set)  # (subject, revision)

    def read(self, session: Session, which: ColumnElement[bool]) -> Iterator[careful.Found]:
        row = AuditEvent
        content = (row.time, row.actor, row.action, row.subject, row.details)
        query = select(row.id, *content, row.digest, lineage.previous_digest().label("previous")).where(which)
        for event in careful.rows(session, query, row.__table__.c.id):
            if not isinstance(event, Unreadable):
                if event.digest != audit.digest(event.previous, *event[1:6]):
                    self.broken.append(event.id)
                if event.action == audit.RESULTS_ADDED and isinstance(event.details.get("revision"), int):
                    self.added.add((event.subject, event.details["revision"]))
            yield event


def of_job(session: Session, rests: Rests) -> Iterator[Misfit]:
    """What of a whole job's evidence does not fit: reads every verdict of it, and every event on it."""
    job, events, walk = rests.jobs[0].id, _Events(), Verification(session=session)
    about = rests.subjects | {reviews.subject(job)}
    yield from walk.along(events.read(session, lineage.concerning(about, batches_of=job)))
    yield from _of_events_and_records(walk, events, rests)
    yield from unreported_verdicts(Unreported(session=session, floors=walk.floors, job=job), walk.rejudged)
    for counted in ledgers.of_every_job(session, only=job):
        yield from walk.of_job(counted)


def of_verdict(session: Session, found: Lineage) -> Iterator[Misfit]:
    """What of one verdict's evidence does not fit: reads the batches in which it was given, and no others."""
    rests = Rests(
        jobs=list({job.id: job for job in (found.job, found.origin_job)}.values()),
        points=list(found.points.values()),
        evaluations=found.evaluations,
        comparison=found.comparison,
        reviews=found.reviews,
    )
    rows = {row.id: row for row in (*found.revisions, *found.chain)}.values()
    events, walk = _Events(), Verification(session=session, with_revisions=False)
    about = rests.subjects | {f"batch:{row.batch_id}" for row in rows} | {f"job:{row.job_id}" for row in rows}
    concerned = or_(lineage.concerning(about), lineage.reviewing(found.job.id, found.verdict.path))
    yield from walk.along(events.read(session, concerned))
    yield from _of_events_and_records(walk, events, rests)
    for row in rows:
        if row.rejudged_from is not None:
            yield from _of_rejudged(session, walk, row, found.points[row.operating_point_id])
        elif (f"batch:{row.batch_id}", row.revision) not in events.added and _is_newer(
            walk, "inspection_result", row.id
        ):
            yield _of_row(row, "was added without an event")


def _is_newer(walk: Verification, table: str, number: int) -> bool:
    floor = walk.floors.get(table)
    return floor is None or number > floor


def _of_events_and_records(walk: Verification, events: _Events, rests: Rests) -> Iterator[Misfit]:
    for event in events.broken:
        yield Misfit(what="event", event=event, says=f"Event {event} is not as it was recorded.")
    for table, number in rests.records:
        if number not in walk.seen[table] and _is_newer(walk, table, number):
            yield unreported_record(table, number)


def _of_rejudged(
    session: Session, walk: Verification, row: InspectionResult, point: OperatingPoint
) -> Iterator[Misfit]:
    """Its revision has one digest, as large as the job; but what it has to be follows from what it was judged from."""
    source = session.get(InspectionResult, row.rejudged_from)
    kept = source is not None and all(getattr(row, name) == getattr(source, name) for name in _KEPT_WHEN_REJUDGED)
    if (row.job_id, row.revision) not in walk.rejudged:
        yield _of_row(row, "was added without an event")
    elif (
        not kept or row.score is None or row.disposition != Disposition.of(row.score, point.pass_below, point.fail_from)
    ):
        yield _of_row(row, f"does not follow from verdict {row.rejudged_from} and operating point {point.id}")


def _of_row(row: InspectionResult, how: str) -> Misfit:
    return Misfit(
        what="verdicts", job=row.job_id, batch=row.batch_id, says=f"Verdict {row.id} of job {row.job_id} {how}."
    )
