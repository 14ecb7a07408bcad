"""Which tile of an image decided."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # In plain SQL, SQLite adds a column in place. Alembic would copy the table, and of verdicts there are millions.
    for column in ("tile_x", "tile_y", "tile_width", "tile_height"):
        op.execute(f"ALTER TABLE inspection_result ADD COLUMN {column} INTEGER")
