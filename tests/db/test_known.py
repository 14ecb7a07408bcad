"""Is the verdict on identical files found at the same price, however many there are?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from db import batches, results
from db.engine import Engine, Session, connect, reading, writing
from db.results import Judgement
from tests.rows import add_job, claim_next, inspect_all, verdicts

FILES = 5000
BYTES = "0" * 64  # the sha256 that tests/rows.py gives to every file


@pytest.fixture
def engine(database_with_tables: str) -> Iterator[Engine]:
    engine = connect(database_with_tables)
    yield engine
    engine.dispose()


def judged(engine: Engine, *, taken_over: bool) -> None:
    """A job of many files of the same bytes; each has a verdict of its own, or the first file's."""
    add_job(engine, [[f"{number:05}.jpg" for number in range(FILES)]])
    held = claim_next(engine)
    with writing(engine) as session:
        rows = [replace(row, reused_from=1 if taken_over else None) for row in verdicts(held)]
        assert batches.finish(session, held, rows)
    inspect_all(engine)


def test_among_thousands_of_verdicts_on_the_same_bytes_the_first_is_found_by_reading_one(engine: Engine) -> None:
    judged(engine, taken_over=False)
    judged(engine, taken_over=True)
    add_job(engine, [["again.jpg"]])
    held = claim_next(engine)
    by = Judgement(
        checkpoint_id=held.checkpoint_id, operating_point_id=held.operating_point_id, engine="torch", precision="fp32"
    )
    with reading(engine) as session, counted(session) as read:
        found = results.known(session, [BYTES, "1" * 64, BYTES], by, before_job=held.job)
    assert {digest: verdict.result for digest, verdict in found.items()} == {BYTES: 1}
    assert 0 < read() < FILES / 10


@contextmanager
def counted(session: Session) -> Iterator[Callable[[], int]]:
    """What the block costs: rows fetched on PostgreSQL, instructions of SQLite's machine (a dozen per row) there."""
    spent = 0

    def step() -> None:
        nonlocal spent
        spent += 1

    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.connection.driver_connection.set_progress_handler(step, 1)
        yield lambda: spent
        return
    # So few rows PostgreSQL reads from end to end, and rightly; from some 20,000 on it does not.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    fetched = text("SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'inspection_result'")
    before = session.execute(fetched).scalar_one()
    yield lambda: spent
    spent = session.execute(fetched).scalar_one() - before
