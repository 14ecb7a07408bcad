"""A database with tables; the scheduler's logic is the same on either engine, so the quicker one serves."""

from collections.abc import Iterator

import pytest

from db.engine import Engine
from db.schema import open_database


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """An engine on an empty SQLite database."""
    made = open_database(sqlite_url)
    yield made
    made.dispose()
