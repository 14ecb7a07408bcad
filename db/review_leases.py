"""Who has which image before them? Until a lease runs out, nobody else gets it."""

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.clock import database_now
from db.errors import Refused
from db.models import InspectionResult, ReviewLease

LEASE_SECONDS = 300.0  # longer than anybody looks at one image, shorter than a break


def let_go(session: Session, job: int, reviewer: str) -> None:
    """What this person has before them goes back into the queue."""
    session.execute(delete(ReviewLease).where(ReviewLease.job_id == job, ReviewLease.reviewer == reviewer))


def hold(session: Session, job: int, path: str, reviewer: str) -> bool:
    """Have the image before this person; False where another one has it."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    until = database_now(LEASE_SECONDS)
    values = {"job_id": job, "path": path, "reviewer": reviewer, "lease_until": until}
    free = or_(ReviewLease.reviewer == reviewer, ReviewLease.lease_until <= database_now())
    taken = insert(ReviewLease).values(values)
    taken = taken.on_conflict_do_update(
        index_elements=["job_id", "path"], set_={"reviewer": reviewer, "lease_until": until}, where=free
    )
    return session.scalar(taken.returning(ReviewLease.id)) is not None


def hold_or_refuse(session: Session, job: int, path: str, reviewer: str) -> None:
    """The same. Raises Refused where another one has it."""
    if not hold(session, job, path, reviewer):
        raise Refused(f"Somebody else has {path} before them just now.")


def is_held(by: str | None = None) -> ColumnElement[bool]:
    """Whether the image of the verdict is before this person, or before anybody."""
    lease = ReviewLease
    row = InspectionResult
    live = [lease.job_id == row.job_id, lease.path == row.path, lease.lease_until > database_now()]
    if by is not None:
        live.append(lease.reviewer == by)
    return select(lease.id).where(*live).exists()
