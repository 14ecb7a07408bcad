"""Do the tables fit this code, and how are they brought up to date?"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from db import triggers
from db.audit import ADDING_ON_POSTGRESQL
from db.engine import connect, explained, reading
from db.errors import DatabaseNotWritable, SchemaMismatch
from db.views import VIEWS

# The newest migration. A constant, because asking Alembic costs every command half a second;
# tests/db/test_schema.py compares it with db/migrations.
HEAD = "0015"
UPGRADE_LOCK = 0x1_5EC7  # any number that is always the same: two upgrades at once take turns


def open_database(url: str) -> Engine:
    """An engine whose tables fit this code. A new SQLite file is set up on the way.

    Raises SchemaMismatch, DatabaseAway or DatabaseNotWritable, each saying what to do.
    """
    try:
        engine = connect(url)
    except OSError as error:
        raise DatabaseNotWritable(f"The folder of {url} cannot be made: {error.strerror}.") from error
    found = revision(engine)
    if found is None and engine.dialect.name == "sqlite":
        upgrade(engine)
        return engine
    if found == HEAD:
        return engine
    place = engine.url.render_as_string(hide_password=True)
    if found is None:
        raise SchemaMismatch(f"The database {place} has no inspectq tables yet. Run: inspectq db upgrade")
    if found < HEAD:
        raise SchemaMismatch(
            f"The tables of {place} are at revision {found}, this inspectq needs {HEAD}. Run: inspectq db upgrade"
        )
    raise SchemaMismatch(
        f"The tables of {place} are at revision {found}, newer than this inspectq knows ({HEAD}). Update inspectq."
    )


def revision(engine: Engine) -> str | None:
    """The revision of the tables, or None where there are none."""
    with reading(engine) as session:
        if not inspect(session.connection()).has_table("alembic_version"):
            return None
        return session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(engine: Engine) -> None:
    """Bring tables, views and triggers to HEAD, in one transaction. Running it again changes nothing."""
    # Imported here: only an upgrade needs Alembic, every command needs this module.
    from alembic import command
    from alembic.config import Config

    writer = engine.execution_options(inspectq_writes=True)
    with explained(engine), writer.connect() as connection, _unchecked(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        _drop_views(connection)
        triggers.drop(connection)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        for name, query in VIEWS.items():
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))
        triggers.create(connection)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(ADDING_ON_POSTGRESQL)
        _refuse_dangling(connection)


@contextmanager
def _unchecked(connection: Connection) -> Iterator[None]:
    """Alembic changes a table of SQLite by putting a copy in its place, to which other rows refer all the while.

    So references are checked at the end instead, as SQLite's own manual has it ("Making Other Kinds Of Table Schema
    Changes"). The pragma counts only outside of a transaction.
    """
    driver = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" or driver is None:
        yield
        return
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _refuse_dangling(connection: Connection) -> None:
    """Raise where a row refers to one that is not there; the transaction is not committed then."""
    if connection.dialect.name == "sqlite":
        dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if dangling is not None:
            raise SchemaMismatch(f"A row of table {dangling[0]} refers to one of {dangling[2]} that is not there.")


def _drop_views(connection: Connection) -> None:
    existing = set(inspect(connection).get_view_names())
    for name in reversed(VIEWS):
        if name in existing:
            connection.execute(text(f"DROP VIEW {name}"))
