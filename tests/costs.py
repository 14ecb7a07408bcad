"""What does a question cost the database, counted and not timed?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import text

from db.engine import Session


@contextmanager
def counted(session: Session, table: str) -> Iterator[Callable[[], int]]:
    """What the block costs: rows of `table` fetched on PostgreSQL; on SQLite its machine's steps, a dozen per row."""
    spent = 0

    def step() -> None:
        nonlocal spent
        spent += 1

    connection = session.connection()
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        driver.set_progress_handler(step, 1)
        yield lambda: spent
        driver.set_progress_handler(None, 1)
        return
    # So few rows PostgreSQL reads from end to end, and rightly; from some 20,000 on it does not.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    fetched = text("SELECT coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = :name")
    before = session.execute(fetched, {"name": table}).scalar_one()
    yield lambda: spent
    spent = session.execute(fetched, {"name": table}).scalar_one() - before
