"""A file that is scanned every day has one verdict of its own and hundreds that were taken over: find it among them."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.drop_index("ix_inspection_result_sha256", "inspection_result")
    op.create_index("ix_inspection_result_sha256_first", "inspection_result", ["sha256", "reused_from", "id"])
