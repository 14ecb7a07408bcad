"""The 95% bounds of every figure of an evaluation. Those from before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_FIGURES = {
    "evaluation": ("accuracy", "miss_rate", "false_alarm_rate", "escapes_ppm", "auroc", "average_precision"),
    "class_metric": ("precision", "recall", "f1"),
}


def upgrade() -> None:
    for table, figures in _FIGURES.items():
        with op.batch_alter_table(table) as altered:
            for figure in figures:
                for side in ("lcl", "ucl"):
                    altered.add_column(sa.Column(f"{figure}_{side}", sa.Double(), nullable=True))
