"""Which epoch's weights a training kept, and how its scores were calibrated."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for column in ("best_epoch INTEGER", "calibration JSON"):
        op.execute(f"ALTER TABLE training_run ADD COLUMN {column}")
