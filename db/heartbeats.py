"""Which schedulers and workers are alive? Each writes a row now and then; a health check reads it."""

from collections.abc import Collection

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.clock import database_now
from db.engine import rows_changed
from db.models import ServiceHeartbeat

BEAT_SECONDS = 10
STALE_SECONDS = 60  # six beats: one slow database must not look like a death


def beat(session: Session, *, name: str, role: str, refused_messages: int = 0) -> None:
    """Say that `name` is alive now and has refused so many messages since it started."""
    now = {"seen_at": database_now(), "role": role, "refused_messages": refused_messages}
    seen = update(ServiceHeartbeat).where(ServiceHeartbeat.name == name).values(now)
    if not rows_changed(session, seen):
        session.add(ServiceHeartbeat(name=name, **now))


def alive(session: Session, *, role: str, on_host: str | None = None) -> list[str]:
    """Names of the services of `role` ("scheduler", "worker") seen lately; only those of one host if given."""
    query = select(ServiceHeartbeat.name).where(
        ServiceHeartbeat.role == role, ServiceHeartbeat.seen_at > database_now(-STALE_SECONDS)
    )
    names = session.scalars(query.order_by(ServiceHeartbeat.name))
    return [name for name in names if on_host is None or name.endswith(f"@{on_host}")]


def refused_messages(session: Session, names: Collection[str]) -> int:
    """How many forged or garbled messages these services have refused since they started."""
    query = select(func.sum(ServiceHeartbeat.refused_messages)).where(ServiceHeartbeat.name.in_(names))
    return session.scalar(query) or 0
