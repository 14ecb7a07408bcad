"""A database with tables, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from db.engine import Engine, connect


@pytest.fixture
def engine(database_with_tables: str) -> Iterator[Engine]:
    """An engine on empty tables; each test runs on either kind."""
    made = connect(database_with_tables)
    yield made
    made.dispose()
