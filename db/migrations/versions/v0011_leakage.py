"""Which images a model was trained on, and how many images of an evaluation have a twin or relative among them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table, column in (
        ("dataset_snapshot", "near_twins_across_splits INTEGER"),
        ("dataset_snapshot", "group_rule TEXT"),
        ("evaluation", "leaking INTEGER"),
        ("evaluation", "leaks JSON"),
    ):
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    op.create_table(
        "training_image",
        sa.Column("id", _ID, nullable=False),
        sa.Column("dataset_snapshot_id", _ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("image_group", sa.Text(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_snapshot_id"],
            ["dataset_snapshot.id"],
            name=op.f("fk_training_image_dataset_snapshot_id_dataset_snapshot"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_image")),
        sa.UniqueConstraint("dataset_snapshot_id", "path", name=op.f("uq_training_image_dataset_snapshot_id_path")),
    )
