"""Do the migrations make the tables of the models, and is a wrong schema said so?"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, DateTime, LargeBinary, MetaData, String, inspect, text

import db
from db.engine import Engine, connect, reading, writing
from db.errors import SchemaMismatch
from db.models import Base
from db.schema import HEAD, open_database, revision, upgrade
from db.views import VIEWS


def test_the_migrations_end_with_the_tables_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_view_is_there_and_answers(engine: Engine) -> None:
    with reading(engine) as session:
        assert set(VIEWS) <= set(inspect(session.connection()).get_view_names())
        for view in VIEWS:
            assert session.execute(text(f"SELECT * FROM {view}")).all() == []


def test_head_is_the_newest_migration(repository_root: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(repository_root / "db" / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert revision(engine) == HEAD


def test_a_new_sqlite_file_is_set_up_on_the_way(sqlite_url: str) -> None:
    assert revision(open_database(sqlite_url)) == HEAD


def test_an_empty_postgresql_asks_for_the_upgrade(postgres_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="inspectq db upgrade"):
        open_database(postgres_url)


@pytest.mark.parametrize(("found", "sentence"), [("0000", "inspectq db upgrade"), ("9999", "Update inspectq")])
def test_an_older_or_newer_schema_is_said_so(
    engine: Engine, database_with_tables: str, found: str, sentence: str
) -> None:
    with writing(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    with pytest.raises(SchemaMismatch, match=sentence):
        open_database(database_with_tables)


REVISIONS = [f"{number:04}" for number in range(1, int(HEAD))]


def upgrade_to(engine: Engine, number: str) -> None:
    """The tables of an older inspectq."""
    config = Config()
    config.set_main_option("script_location", str(Path(db.__file__).parent / "migrations"))
    with engine.execution_options(inspectq_writes=True).begin() as connection:  # no row is there yet
        config.attributes["connection"] = connection
        command.upgrade(config, number)


def fill(engine: Engine) -> dict[str, int]:
    """One row in each table there is, which refers to those of the others; how many rows each has."""
    tables = MetaData()
    with writing(engine) as session:
        tables.reflect(session.connection())
        for table in tables.sorted_tables:
            if session.execute(table.select()).first() is None:
                needed = [c for c in table.columns if not c.nullable and c.name != "id"]  # which numbers itself: 1
                session.execute(table.insert().values({c.name: filling(c) for c in needed}))
        return {table.name: 1 for table in tables.sorted_tables}


# Where a constraint says which values there are.
WORDS = {
    "status": "approved",
    "state": "done",
    "disposition": "PASS",
    "previous_disposition": "PASS",
    "decision": "PASS",
    "role": "viewer",
    "answer": "PASS",
}


def filling(column: Column[object]) -> object:
    if column.name in WORDS:
        return WORDS[column.name]
    if isinstance(column.type, DateTime):
        return datetime(2026, 3, 4, tzinfo=UTC)
    if isinstance(column.type, JSON):
        return []
    if isinstance(column.type, LargeBinary):
        return b"x"
    return "x" if isinstance(column.type, String) else 1


@pytest.mark.parametrize("older", REVISIONS)
def test_a_database_with_rows_is_upgraded_from_every_older_revision(database_url: str, older: str) -> None:
    engine = connect(database_url)
    upgrade_to(engine, older)
    filled = fill(engine)
    # Which rows are older than their digests; later, what got its digest with the upgrade.
    filled["audit_event"] += (older < "0009") + ("0010" <= older < "0013") + ("0011" <= older < "0013")
    upgrade(engine)
    with reading(engine) as session:
        assert {name: session.scalar(text(f"SELECT count(*) FROM {name}")) for name in filled} == filled
        for view in VIEWS:
            assert session.execute(text(f"SELECT * FROM {view}")).all(), f"{view} shows the row"
    engine.dispose()


def test_two_upgrades_at_once_take_turns(database_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(lambda: upgrade(connect(database_url))) for _ in range(2)]:
            done.result()
    assert revision(connect(database_url)) == HEAD
