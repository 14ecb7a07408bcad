"""Operating points say what they are to keep and who approved them. Verdicts can be judged anew by other limits."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # In plain SQL, here and below, SQLite adds a column in place. Alembic would copy the table and drop the old one, to
    # which other rows refer, and of verdicts there are millions.
    for column in (
        "targets JSON",
        "proposed_by VARCHAR(200)",
        "evaluation_id BIGINT CONSTRAINT fk_operating_point_evaluation_id_evaluation REFERENCES evaluation (id)",
    ):
        op.execute(f"ALTER TABLE operating_point ADD COLUMN {column}")
    op.create_table(
        "operating_point_approval",
        sa.Column("id", _ID, nullable=False),
        sa.Column("operating_point_id", _ID, nullable=False),
        sa.Column("approved_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operating_point_id"],
            ["operating_point.id"],
            name=op.f("fk_operating_point_approval_operating_point_id_operating_point"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operating_point_approval")),
        sa.UniqueConstraint("operating_point_id", name=op.f("uq_operating_point_approval_operating_point_id")),
    )
    op.execute(
        "ALTER TABLE inspection_result ADD COLUMN rejudged_from BIGINT "
        "CONSTRAINT fk_inspection_result_rejudged_from_inspection_result REFERENCES inspection_result (id)"
    )
