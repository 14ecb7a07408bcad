"""A verdict that can be taken over is found at once, however many files have the same bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    own = sa.text("reused_from IS NULL AND score IS NOT NULL")
    columns = ["sha256", "checkpoint_id", "operating_point_id", "engine", "precision", "job_id", "id"]
    op.create_index("ix_inspection_result_own", "inspection_result", columns, postgresql_where=own, sqlite_where=own)
