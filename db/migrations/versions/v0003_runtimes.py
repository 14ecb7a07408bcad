"""Which runtimes of a checkpoint have proven that they stand in for the reference."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "runtime_parity",
        sa.Column("id", _ID, nullable=False),
        sa.Column("checkpoint_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("file_digest", sa.String(length=64), nullable=True),
        sa.Column("evaluation_id", _ID, nullable=False),
        sa.Column("reference_evaluation_id", _ID, nullable=True),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("largest_difference", sa.Double(), nullable=False),
        sa.Column("mean_difference", sa.Double(), nullable=False),
        sa.Column("flipped", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_runtime_parity_checkpoint_id")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_runtime_parity_evaluation_id")),
        sa.ForeignKeyConstraint(
            ["reference_evaluation_id"],
            ["evaluation.id"],
            name=op.f("fk_runtime_parity_reference_evaluation_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runtime_parity")),
    )
    op.create_index(op.f("ix_runtime_parity_checkpoint_id"), "runtime_parity", ["checkpoint_id"], unique=False)
