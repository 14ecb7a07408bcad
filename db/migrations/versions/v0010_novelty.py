"""How far each image is from what its model has seen in training; how a finished job compares with the evaluation."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FIGURES = (
    "prevalence",
    "plain_psi",
    "psi",
    "psi_limit",
    "ks",
    "ks_limit",
    "far",
    "reference_far",
    "defect_rate",
    "sensitivity",
    "specificity",
    "corrected_rate",
    "corrected_rate_lcl",
    "corrected_rate_ucl",
)


def upgrade() -> None:
    # In plain SQL, SQLite adds a column in place. Alembic would copy the table, and of verdicts there are millions.
    double = sa.Double().compile(dialect=op.get_bind().dialect)
    for table in ("inspection_result", "evaluation_score"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN novelty {double}")
    op.create_table(
        "job_drift",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", _ID, nullable=True),
        sa.Column("likeness", sa.String(length=20), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("reference_images", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in _FIGURES),
        sa.Column("histograms", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["inspection_job.id"], name=op.f("fk_job_drift_job_id_inspection_job")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_job_drift_evaluation_id_evaluation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_drift")),
        sa.UniqueConstraint("job_id", "revision", name=op.f("uq_job_drift_job_id_revision")),
    )
