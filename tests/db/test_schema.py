"""Do the migrations make the tables of the models, and is a wrong schema said so?"""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

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


def test_two_upgrades_at_once_take_turns(database_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(lambda: upgrade(connect(database_url))) for _ in range(2)]:
            done.result()
    assert revision(connect(database_url)) == HEAD
