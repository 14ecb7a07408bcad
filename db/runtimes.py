"""Which runtimes may a checkpoint be used with?

Only those that were compared with the reference and accepted. The newest comparison of a runtime counts: a runtime
that a later one refused is not used any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db import audit
from db.audit import SYSTEM
from db.models import Checkpoint, RuntimeParity
from db.seals import seal


@dataclass(frozen=True, kw_only=True)
class NewParity:
    """A finished comparison of a runtime's evaluation with the reference's."""

    name: str
    file_digest: str | None  # sha256 of the exported file; None where the runtime reads the checkpoint itself
    evaluation_id: int
    reference_evaluation_id: int | None  # None: this is the reference
    images: int
    largest_difference: float
    mean_difference: float
    flipped: int
    accepted: bool
    reason: str


def add(session: Session, new: NewParity, *, checkpoint_id: int, actor: str = SYSTEM) -> RuntimeParity:
    """Write a comparison; from now on it is the one that counts for this runtime."""
    row = RuntimeParity(checkpoint_id=checkpoint_id, **vars(new))
    session.add(row)
    session.flush()
    audit.record(
        session,
        actor=actor,
        action="runtime.compare",
        subject=f"model:{session.get_one(Checkpoint, checkpoint_id).digest}",
        runtime=new.name,
        accepted=new.accepted,
        sealed=[seal(session, "runtime_parity", row.id)],
    )
    return row


def of_checkpoint(session: Session, checkpoint_id: int) -> Sequence[RuntimeParity]:
    """The comparison that counts of each runtime, in the order of the names."""
    newest = select(RuntimeParity).where(RuntimeParity.id.in_(_newest(checkpoint_id)))
    return session.scalars(newest.order_by(RuntimeParity.name)).all()


def files(session: Session, checkpoint_id: int) -> list[tuple[str, str]]:
    """(runtime, sha256 of the exported file) by those comparisons, whatever their other columns hold."""
    row = RuntimeParity
    query = select(row.name, row.file_digest).where(row.id.in_(_newest(checkpoint_id)), row.file_digest.is_not(None))
    return [(str(name), str(digest)) for name, digest in session.execute(query.order_by(row.name))]


def _newest(checkpoint_id: int) -> Select[int]:
    newest = select(func.max(RuntimeParity.id)).where(RuntimeParity.checkpoint_id == checkpoint_id)
    return newest.group_by(RuntimeParity.name)


def counted_at(session: Session, checkpoint_id: int, name: str, time: datetime) -> RuntimeParity | None:
    """The comparison of the runtime `name` that counted at that time: by which it was used, and which file it was."""
    query = select(RuntimeParity).where(
        RuntimeParity.checkpoint_id == checkpoint_id, RuntimeParity.name == name, RuntimeParity.created_at <= time
    )
    return session.scalar(query.order_by(RuntimeParity.id.desc()).limit(1))


def accepted(session: Session, checkpoint_id: int) -> list[RuntimeParity]:
    """Those of them that may be used."""
    return [row for row in of_checkpoint(session, checkpoint_id) if row.accepted]
