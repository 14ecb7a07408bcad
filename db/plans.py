"""How does a job's folder become batches, chunk by chunk, whichever scheduler dies on the way?

    pending  --claim--> planning --finish--> running
    planning --claim (the planner's lease ran out, or it rested)--> planning

A planner holds the job by its token, as a worker holds a batch: the ghost of a dead one changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import uuid4

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from db import batches
from db.clock import database_now
from db.engine import rows_changed
from db.jobs import get, is_ready_to_finish
from db.models import InspectionJob, JobState

PLANNER_LEASE_SECONDS = 120  # renewed with every chunk; listing one huge folder must fit in between


def _is_free() -> ColumnElement[bool]:
    """Whether a job waits for a planner."""
    return or_(
        InspectionJob.state == JobState.PENDING,
        and_(
            InspectionJob.state == JobState.PLANNING,
            or_(
                InspectionJob.planner_lease_until.is_(None),
                InspectionJob.planner_lease_until < database_now(),
            ),
        ),
    )


def claim(session: Session, *, beside: Sequence[int] = ()) -> InspectionJob | None:
    """The next job to walk: pending, or left half-way by a planner that died. Its token is this planner's fence.

    `beside`: the jobs that this process is planning already.
    """
    free = _is_free()
    candidate = session.scalar(
        select(InspectionJob.id)
        .where(free, InspectionJob.id.not_in(beside))
        .order_by(InspectionJob.priority.desc(), InspectionJob.id)
        .limit(1)
    )
    if candidate is None:
        return None
    taken = rows_changed(
        session,
        update(InspectionJob)
        .where(InspectionJob.id == candidate, free)
        .values(
            state=JobState.PLANNING,
            planner_token=uuid4().hex,
            planner_lease_until=database_now(PLANNER_LEASE_SECONDS),
        ),
    )
    return get(session, candidate) if taken == 1 else None


def any_to_begin_or_end(session: Session) -> bool:
    """Whether a job waits for a planner, or for nothing but its end. Cheap enough to ask ten times a second."""
    return session.scalar(_to_begin_or_end()) is not None


@cache
def _to_begin_or_end() -> Select[int]:
    return select(InspectionJob.id).where(or_(_is_free(), is_ready_to_finish())).limit(1)


@dataclass(frozen=True, kw_only=True)
class PlannedChunk:
    """What one planning transaction adds: whole batches, and how far the walk has come."""

    batches: Sequence[Sequence[str]]
    cursor: str | None  # the last path in `batches`; None leaves it where it is
    other_files: int  # seen since the last chunk
    linked_folders: int


def add_chunk(session: Session, job: InspectionJob, token: str, chunk: PlannedChunk) -> bool:
    """Write batches and the cursor together, so that a killed planner goes on after the last committed chunk.

    False: the job was cancelled or another planner took over; stop walking.
    """
    images = sum(len(paths) for paths in chunk.batches)
    moved = session.execute(
        update(InspectionJob)
        .where(
            InspectionJob.id == job.id,
            InspectionJob.planner_token == token,
            InspectionJob.state == JobState.PLANNING,
        )
        .values(
            submitted=InspectionJob.submitted + images,
            planned_batches=InspectionJob.planned_batches + len(chunk.batches),
            cursor=chunk.cursor if chunk.cursor is not None else InspectionJob.cursor,
            other_files=InspectionJob.other_files + chunk.other_files,
            linked_folders=InspectionJob.linked_folders + chunk.linked_folders,
            waiting_since=None,
            state_reason=None,
            planner_lease_until=database_now(PLANNER_LEASE_SECONDS),
        )
        .returning(InspectionJob.planned_batches),
    ).scalar_one_or_none()
    if moved is None:
        return False
    batches.plan(session, job, chunk.batches, first_sequence=moved - len(chunk.batches))
    return True


def rest(session: Session, job: int, token: str, *, reason: str, pause_seconds: float) -> None:
    """The folder cannot be listed now: let go of the job, say why, and leave it alone for `pause_seconds`."""
    session.execute(
        update(InspectionJob)
        .where(
            InspectionJob.id == job,
            InspectionJob.planner_token == token,
            InspectionJob.state == JobState.PLANNING,
        )
        .values(
            planner_token=None,
            planner_lease_until=database_now(pause_seconds),
            waiting_since=func.coalesce(InspectionJob.waiting_since, database_now()),
            state_reason=reason,
        )
    )


def waited_too_long(session: Session, *, patience_seconds: float) -> list[tuple[int, str | None]]:
    """(job, why) of those whose folder could not be listed for longer than the patience."""
    too_long = InspectionJob.waiting_since < database_now(-patience_seconds)
    rows = session.execute(
        select(InspectionJob.id, InspectionJob.state_reason).where(InspectionJob.state == JobState.PLANNING, too_long)
    )
    return [(row.id, row.state_reason) for row in rows]


def forget_planners(session: Session) -> None:
    """A scheduler begins to lead: what the one before it was planning is free at once."""
    session.execute(
        update(InspectionJob)
        .where(InspectionJob.state == JobState.PLANNING, InspectionJob.planner_token.is_not(None))
        .values(planner_lease_until=None)
    )


def finish(session: Session, job: int, token: str) -> bool:
    """planning -> running: the walk is complete and nothing will be added."""
    moved = rows_changed(
        session,
        update(InspectionJob)
        .where(
            InspectionJob.id == job,
            InspectionJob.planner_token == token,
            InspectionJob.state == JobState.PLANNING,
        )
        .values(
            state=JobState.RUNNING,
            planner_token=None,
            planner_lease_until=None,
            state_reason=None,
            planned_at=database_now(),
        ),
    )
    return moved == 1
