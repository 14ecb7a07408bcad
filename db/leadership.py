"""Which of several schedulers works, and how soon does another take over?

Two that work at once would be harmless: every arrow of a batch is one conditional UPDATE. One is
simply enough, and knows that it need not wait for the planners of a dead one.
"""

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from db.clock import database_now
from db.engine import rows_changed
from db.models import Leadership

LEASE_SECONDS = 6.0  # a dead leader is followed within this time; a living one renews with every tick
_ROLE = "scheduler"


def lead(session: Session, name: str) -> bool:
    """Take or keep the lead. False: another scheduler has it."""
    free = or_(Leadership.holder == name, Leadership.lease_until < database_now())
    taken = update(Leadership).where(Leadership.role == _ROLE, free)
    return rows_changed(session, taken.values(holder=name, lease_until=database_now(LEASE_SECONDS))) == 1


def resign(session: Session, name: str) -> None:
    """Let the next scheduler begin at once."""
    mine = update(Leadership).where(Leadership.role == _ROLE, Leadership.holder == name)
    session.execute(mine.values(lease_until=database_now(-1)))
