"""Where did the time of the images go, on every host, since its first batch?

Added up in the transaction that saves a batch, so that a batch which is not saved adds nothing.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import JSON, Double, bindparam, cast, func, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models import Base, StageTime

_TIMES = Base.metadata.tables["stage_time"]


def add(session: Session, host: str, seconds: Mapping[str, float]) -> None:
    """That much more, by stage: one statement. The last of its transaction, since all workers of a host want the rows.

    On PostgreSQL they come one after the other by then: the event of a batch lets nobody past it until the commit.
    """
    if seconds:
        session.execute(_adding(session.get_bind().dialect.name), {"at": host, "more": dict(seconds)})


def by_stage(session: Session) -> dict[str, float]:
    """Seconds of all hosts together."""
    query = select(StageTime.stage, func.sum(StageTime.seconds)).group_by(StageTime.stage)
    return {stage: float(seconds) for stage, seconds in session.execute(query)}


@cache
def _adding(dialect: str) -> Any:
    """Built once: a worker asks it of every batch."""
    each = func.json_each_text if dialect == "postgresql" else func.json_each
    given = each(bindparam("more", type_=JSON)).table_valued("key", "value")
    rows = select(bindparam("at"), given.c.key, cast(given.c.value, Double))
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(_TIMES)
    adding = insert.from_select(["host", "stage", "seconds"], rows.where(true()))  # SQLite: else ON would be a join's
    more = _TIMES.c.seconds + insert.excluded.seconds
    return adding.on_conflict_do_update(index_elements=["host", "stage"], set_={"seconds": more})
