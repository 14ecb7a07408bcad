"""Who did what, and when? One row per decision, only ever added to."""

from typing import Any

from sqlalchemy.orm import Session

from db.models import AuditEvent


def record(session: Session, *, actor: str, action: str, subject: str, **details: Any) -> None:
    """Add an event in the transaction of the very change that it reports."""
    session.add(AuditEvent(actor=actor, action=action, subject=subject, details=details))
