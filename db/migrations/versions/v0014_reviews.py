"""What people decide about images, which passed images are drawn for them, and which submission is a repeated one."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, native_enum=False, create_constraint=True, length=16, name=name)


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"))


def upgrade() -> None:
    # In plain SQL, SQLite adds a column in place. Alembic would copy the table.
    double = sa.Double().compile(dialect=op.get_bind().dialect)
    op.execute(f"ALTER TABLE inspection_job ADD COLUMN audit_rate {double}")
    op.create_index("ix_inspection_result_score", "inspection_result", ["job_id", "score", "id"])
    op.create_table(
        "review",
        sa.Column("id", _ID, nullable=False),
        sa.Column("result_id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("reviewer", sa.String(length=200), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("decision", _words("reviewdecision", "PASS", "FAIL", "UNSURE", "UNDONE"), nullable=False),
        sa.Column("undoes", _ID, nullable=True),
        sa.Column("reason_code", sa.String(length=50), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "previous_disposition", _words("disposition", "PASS", "FAIL", "REVIEW", "UNREADABLE"), nullable=False
        ),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint("(decision = 'UNDONE') = (undoes IS NOT NULL)", name=op.f("ck_review_undoing")),
        _refers("review", "result_id", "inspection_result"),
        _refers("review", "job_id", "inspection_job"),
        _refers("review", "undoes", "review"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("undoes", name=op.f("uq_review_undoes")),
    )
    op.create_index("ix_review_image", "review", ["job_id", "path"])
    op.create_table(
        "review_lease",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.String(length=200), nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=False),
        _refers("review_lease", "job_id", "inspection_job"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_lease")),
        sa.UniqueConstraint("job_id", "path", name=op.f("uq_review_lease_job_id_path")),
    )
    op.create_table(
        "sample_draw",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("operating_point_id", _ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("drawn_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        _refers("sample_draw", "job_id", "inspection_job"),
        _refers("sample_draw", "operating_point_id", "operating_point"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sample_draw")),
    )
    op.create_index(op.f("ix_sample_draw_job_id"), "sample_draw", ["job_id"])
    op.create_table(
        "sampled_image",
        sa.Column("id", _ID, nullable=False),
        sa.Column("draw_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        _refers("sampled_image", "draw_id", "sample_draw"),
        _refers("sampled_image", "job_id", "inspection_job"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sampled_image")),
        sa.UniqueConstraint("draw_id", "position", name=op.f("uq_sampled_image_draw_id_position")),
    )
    op.create_table(
        "submission_key",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("asked", sa.String(length=64), nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        _refers("submission_key", "job_id", "inspection_job"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission_key")),
        sa.UniqueConstraint("account", "key", name=op.f("uq_submission_key_account_key")),
    )
    op.create_index("ix_sampled_image_image", "sampled_image", ["job_id", "path"])
