"""A database with tables, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from db.engine import Engine, connect
from db.schema import upgrade


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an upgraded, empty database; each test runs on either kind."""
    made = connect(database_url)
    upgrade(made)
    yield made
    made.dispose()
