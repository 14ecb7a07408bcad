"""A database with tables; the scheduler's logic is the same on either engine, so the quicker one serves."""

from collections.abc import Iterator

import pytest

from db.engine import Engine
from db.schema import open_database


@pytest.fixture
def engine(sqlite_with_tables: str) -> Iterator[Engine]:
    """An engine on a SQLite database with empty tables."""
    made = open_database(sqlite_with_tables)
    yield made
    made.dispose()
