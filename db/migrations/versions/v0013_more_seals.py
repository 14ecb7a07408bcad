"""Comparisons of jobs and lists of training images have digests from here on; those that are there get theirs now."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from db.audit import FIRST, SEALS_ADDED, SYSTEM, digest
from db.clock import UtcDateTime, database_now
from db.models import Base
from db.seals import Digest, spelled

revision = "0013"
down_revision = "0012"

_SETS = {"job_drift": "id", "training_image": "dataset_snapshot_id"}  # and the column whose value tells rows together
_AT_ONCE = 1000  # digests in one event


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # what is being written just now is waited for, and covered
        op.execute(f"LOCK TABLE {', '.join(_SETS)}, audit_event IN SHARE ROW EXCLUSIVE MODE")
    for name, key in _SETS.items():
        table = Base.metadata.tables[name]
        there = {column["name"] for column in sa.inspect(connection).get_columns(name)}  # a later version may have more
        names = sorted(there & set(table.columns.keys()))
        numbers = connection.scalars(sa.select(table.c[key]).distinct().order_by(table.c[key])).all()
        for start in range(0, len(numbers), _AT_ONCE):
            sealed = []
            for number in numbers[start : start + _AT_ONCE]:
                rows = sa.select(*(table.c[column] for column in names)).where(table.c[key] == number)
                covered = Digest()
                covered.add(name, names, spelled(name, connection.execute(rows.order_by(table.c.id)).mappings()))
                sealed.append([name, number, covered.hex])
            _record(connection, name, {"sealed": sealed})


def _record(connection: sa.Connection, subject: str, details: Mapping[str, Any]) -> None:
    events = sa.table(
        "audit_event",
        sa.column("id", sa.BigInteger()),
        sa.column("time", UtcDateTime()),
        *(sa.column(name, sa.String()) for name in ("actor", "action", "subject", "digest")),
        sa.column("details", sa.JSON()),
    )
    previous = connection.scalar(sa.select(events.c.digest).order_by(events.c.id.desc()).limit(1)) or FIRST
    time = connection.execute(sa.select(database_now())).scalar_one()
    content = (time, SYSTEM, SEALS_ADDED, subject, dict(details))
    names = ("time", "actor", "action", "subject", "details")
    event = dict(zip(names, content, strict=True)) | {"digest": digest(previous, *content)}
    connection.execute(sa.insert(events).values(event))
