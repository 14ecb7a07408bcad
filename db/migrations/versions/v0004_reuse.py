"""What a job asks of its workers: a runtime, and whether verdicts on identical files are taken over.

Two indexes let huge jobs be dispatched at no extra cost.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("inspection_job") as job:
        job.add_column(sa.Column("reuse", sa.Boolean(), nullable=True))
        job.add_column(sa.Column("runtime", sa.String(length=50), nullable=True))
    op.execute("UPDATE inspection_job SET reuse = false, runtime = 'torch'")  # what those jobs did
    with op.batch_alter_table("inspection_job") as job:
        job.alter_column("reuse", existing_type=sa.Boolean(), nullable=False)
        job.alter_column("runtime", existing_type=sa.String(length=50), nullable=False)
    # In plain SQL SQLite adds the column in place; Alembic's way would copy millions of verdicts.
    op.execute(
        "ALTER TABLE inspection_result ADD COLUMN reused_from BIGINT "
        "CONSTRAINT fk_inspection_result_reused_from_inspection_result REFERENCES inspection_result (id)"
    )
    for name, columns, condition in (
        ("ix_batch_planned", ["job_id", "sequence"], "state = 'planned'"),
        ("ix_batch_troubled", ["job_id"], "faults > 0 OR waiting_since IS NOT NULL"),
    ):
        op.create_index(name, "batch", columns, postgresql_where=sa.text(condition), sqlite_where=sa.text(condition))
