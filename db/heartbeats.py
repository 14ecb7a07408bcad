"""Which schedulers and workers are alive? Each writes a row now and then; a health check reads it."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.clock import database_now
from db.engine import rows_changed
from db.models import ServiceHeartbeat

BEAT_SECONDS = 10
STALE_SECONDS = 60  # six beats: one slow database must not look like a death


def beat(session: Session, *, name: str, role: str) -> None:
    """Say that `name` is alive now."""
    seen = update(ServiceHeartbeat).where(ServiceHeartbeat.name == name).values(seen_at=database_now(), role=role)
    if not rows_changed(session, seen):
        session.add(ServiceHeartbeat(name=name, role=role, seen_at=database_now()))


def alive(session: Session, *, role: str, on_host: str | None = None) -> list[str]:
    """Names of the services of `role` ("scheduler", "worker") seen lately; only those of one host if given."""
    query = select(ServiceHeartbeat.name).where(
        ServiceHeartbeat.role == role, ServiceHeartbeat.seen_at > database_now(-STALE_SECONDS)
    )
    names = session.scalars(query.order_by(ServiceHeartbeat.name))
    return [name for name in names if on_host is None or name.endswith(f"@{on_host}")]
