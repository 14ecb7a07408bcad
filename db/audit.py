"""Who did what, and when, and has anybody changed that since? One row per decision, only ever added to.

Every row carries a digest over its own content and the digest of the row before it, so that a
changed, removed or moved row breaks the chain from there on. Rows cut off at the end leave no
trace in the table itself: keep the newest digest elsewhere (`inspectq audit verify` prints it).
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.clock import database_now
from db.models import AuditEvent

FIRST = "0" * 64  # stands before the first row
_CHAIN_LOCK = 0x1_5EC8  # any number that is always the same: two events at once take turns
_FETCH_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What became of the chain: its length, its newest digest, and the first event that does not fit."""

    events: int
    newest: str
    broken_at: int | None


def record(session: Session, *, actor: str, action: str, subject: str, **details: Any) -> None:
    """Add an event in the transaction of the very change that it reports."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite's writers take turns anyway
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHAIN_LOCK})
    session.flush()
    previous = session.scalar(select(AuditEvent.digest).order_by(AuditEvent.id.desc()).limit(1)) or FIRST
    time = session.execute(select(database_now())).scalar_one()
    event = AuditEvent(time=time, actor=actor, action=action, subject=subject, details=details)
    event.digest = digest(previous, time, actor, action, subject, details)
    session.add(event)


def digest(previous: str, time: datetime, actor: str, action: str, subject: str, details: dict[str, Any]) -> str:
    """sha256, in hex, of the JSON array of these six, ASCII, without spaces, keys sorted, the time in UTC."""
    content = [previous, time.astimezone(UTC).isoformat(), actor, action, subject, details]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify(session: Session) -> Chain:
    """Walk the whole chain. Stops at the first event whose digest is not that of its content and its predecessor."""
    newest, events = FIRST, 0
    for event in session.scalars(select(AuditEvent).order_by(AuditEvent.id).execution_options(yield_per=_FETCH_ROWS)):
        expected = digest(newest, event.time, event.actor, event.action, event.subject, event.details)
        if event.digest != expected:
            return Chain(events=events, newest=newest, broken_at=event.id)
        newest, events = expected, events + 1
    return Chain(events=events, newest=newest, broken_at=None)
