"""Faults and waits of batches, one leading scheduler, refused messages, a chain of audit events."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from db.audit import FIRST, digest

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "leadership",
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_leadership")),
    )
    # The one row there ever is: nobody leads yet.
    op.execute("INSERT INTO leadership (role, holder, lease_until) VALUES ('scheduler', '', '1970-01-01 00:00:00')")
    with op.batch_alter_table("batch") as batch:
        batch.add_column(sa.Column("faults", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True))
    # Until now every fault counted as an attempt.
    op.execute("UPDATE batch SET faults = attempt - 1")
    with op.batch_alter_table("batch") as batch:
        batch.alter_column("faults", existing_type=sa.Integer(), nullable=False)
    op.add_column("inspection_job", sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("service_heartbeat") as heartbeat:
        heartbeat.add_column(sa.Column("refused_messages", sa.Integer(), nullable=True))
    op.execute("UPDATE service_heartbeat SET refused_messages = 0")
    with op.batch_alter_table("service_heartbeat") as heartbeat:
        heartbeat.alter_column("refused_messages", existing_type=sa.Integer(), nullable=False)
    with op.batch_alter_table("audit_event") as event:
        event.add_column(sa.Column("digest", sa.String(length=64), nullable=True))
    _chain_events()
    with op.batch_alter_table("audit_event") as event:
        event.alter_column("digest", existing_type=sa.String(length=64), nullable=False)


def _chain_events() -> None:
    """Events of before the chain get their digests now: from here on a change of them is seen."""
    events = sa.table(
        "audit_event",
        sa.column("id", _ID),
        sa.column("time", sa.DateTime(timezone=True)),
        *(sa.column(name, sa.String()) for name in ("actor", "action", "subject", "digest")),
        sa.column("details", sa.JSON()),
    )
    connection, previous = op.get_bind(), FIRST
    for row in connection.execute(sa.select(events).order_by(events.c.id)).all():
        time: datetime = row.time if row.time.tzinfo else row.time.replace(tzinfo=UTC)
        previous = digest(previous, time, row.actor, row.action, row.subject, row.details)
        connection.execute(sa.update(events).where(events.c.id == row.id).values(digest=previous))
