"""From here on events carry digests of rows. Which rows are older, and have none?"""

import sqlalchemy as sa
from alembic import op

from db.audit import FIRST, SEALS_BEGIN, SYSTEM, digest
from db.clock import UtcDateTime, database_now

revision = "0009"
down_revision = "0008"

_SEALED = (
    "dataset_snapshot",
    "training_run",
    "checkpoint",
    "operating_point",
    "operating_point_approval",
    "evaluation",
    "runtime_parity",
    "inspection_job",
    "inspection_result",
)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # what is being written just now is waited for, and counted
        op.execute(f"LOCK TABLE {', '.join(_SEALED)}, audit_event IN SHARE ROW EXCLUSIVE MODE")
    older = {}
    for table in _SEALED:
        last, rows = connection.execute(sa.text(f"SELECT max(id), count(*) FROM {table}")).one()  # noqa: S608 - our own tables
        if rows:
            older[table] = {"last": last, "rows": rows}
    if not older:
        return
    events = sa.table(
        "audit_event",
        sa.column("id", sa.BigInteger()),
        sa.column("time", UtcDateTime()),
        *(sa.column(name, sa.String()) for name in ("actor", "action", "subject", "digest")),
        sa.column("details", sa.JSON()),
    )
    previous = connection.scalar(sa.select(events.c.digest).order_by(events.c.id.desc()).limit(1)) or FIRST
    time = connection.execute(sa.select(database_now())).scalar_one()
    content = (time, SYSTEM, SEALS_BEGIN, "database", older)
    names = ("time", "actor", "action", "subject", "details")
    event = dict(zip(names, content, strict=True)) | {"digest": digest(previous, *content)}
    connection.execute(sa.insert(events).values(event))
