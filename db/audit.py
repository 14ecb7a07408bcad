"""Who did what, and when, and has anybody changed that since? One row per decision, only ever added to.

Every row carries a digest over its own content and the digest of the row before it, so that a
changed, removed or moved row breaks the chain from there on. Rows cut off at the end leave no
trace in the table itself: keep the newest digest elsewhere (`inspectq audit verify` prints it).
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from db import careful
from db.careful import Unreadable
from db.clock import database_now
from db.models import AuditEvent, Base

FIRST = "0" * 64  # stands before the first row
_CHAIN_LOCK = 0x1_5EC8  # any number that is always the same: two events at once take turns
_FETCH_ROWS = 1000

SYSTEM = "inspectq"  # the actor of what no person asked for
SEALS_BEGIN = "seals.begin"  # by the upgrade: the newest id and the number of the rows that no digest covers
SEALS_ADDED = "seals.add"  # by a later upgrade: digests of rows of these tables, which had none
SEALED_LATER = ("job_drift", "training_image")
RESULTS_ADDED = "results.add"  # of subject batch:N, with the digest of its verdicts
RESULTS_REJUDGED = "job.rejudge"  # of subject job:N, with the digest of the new revision's verdicts


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What became of the chain: its length, its newest digest, and which events do not fit those before them."""

    events: int
    newest: str
    broken_at: int | None  # the first that does not
    breaks: int = 0  # how many do not

    @property
    def words(self) -> str:
        """For a person."""
        more = f", and at {self.breaks - 1} more" if self.breaks > 1 else ""
        return "whole" if self.broken_at is None else f"broken at event {self.broken_at}{more}"


def record(session: Session, *, actor: str, action: str, subject: str, **details: Any) -> None:
    """Add an event in the transaction of the very change that it reports: as the last thing in it, where that can be.

    On PostgreSQL nobody else can add one until the commit.
    """
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        said = (actor, action, subject, _encode(details), _encode([actor, action, subject, details]))
        session.connection().exec_driver_sql(_ADD, said)
        return
    previous, time = session.execute(_newest()).one()
    content = {"time": time, "actor": actor, "action": action, "subject": subject, "details": details}
    covered = digest(previous or FIRST, time, actor, action, subject, details)
    session.execute(insert(_EVENTS), content | {"digest": covered})


@cache
def _newest() -> Select[str | None, datetime]:
    newest = select(AuditEvent.digest).order_by(AuditEvent.id.desc()).limit(1).scalar_subquery()
    return select(newest, database_now())


_EVENTS = Base.metadata.tables["audit_event"]
_ADD = "SELECT inspectq_add_event(%s, %s, %s, CAST(%s AS json), %s)"

# A batch's commit asks the database one question more for its event, not four, and holds the lock for as short. Events
# take turns; whoever stands still before the commit (a stopped process, a machine that sleeps) is cut off.
ADDING_ON_POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION inspectq_add_event(actor text, action text, subject text, details json, digested text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz;
    previous text;
BEGIN
    PERFORM pg_advisory_xact_lock({_CHAIN_LOCK}), set_config('idle_in_transaction_session_timeout', '10s', true);
    SELECT e.digest INTO previous FROM audit_event e ORDER BY e.id DESC LIMIT 1;
    moment := clock_timestamp();
    INSERT INTO audit_event (time, actor, action, subject, details, digest) VALUES (
        moment, actor, action, subject, details, encode(sha256(convert_to(
            '["' || coalesce(previous, '{FIRST}') || '","'
            || replace(to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', '')
            || '+00:00",' || substr(digested, 2), 'UTF8')), 'hex'));
END $$"""  # noqa: S608 - built from constants of this module alone


def digest(previous: str, time: datetime, actor: str, action: str, subject: str, details: dict[str, Any]) -> str:
    """sha256, in hex, of the JSON array of these six, ASCII, without spaces, keys sorted, the time in UTC."""
    content = [previous, time.astimezone(UTC).isoformat(), actor, action, subject, details]
    return hashlib.sha256(_encode(content).encode()).hexdigest()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def verify(session: Session) -> Chain:
    """Walk the whole chain. An event whose digest is not that of its content and its predecessor is a break.

    Behind one the walk goes on from the digest that is written there: of a single change one break is told.
    """
    previous, events, breaks = FIRST, 0, []
    row = AuditEvent
    query = select(row.id, row.time, row.actor, row.action, row.subject, row.details, row.digest)
    for event in careful.rows(session, query, row.__table__.c.id):
        if isinstance(event, Unreadable):
            found, fits = session.scalar(select(row.digest).where(row.id == event.id)), False
        else:
            found, fits = event.digest, event.digest == digest(previous, *event[1:-1])
        if not fits:
            breaks.append(event.id)
        previous, events = str(found), events + 1
    return Chain(events=events, newest=previous, broken_at=breaks[0] if breaks else None, breaks=len(breaks))
