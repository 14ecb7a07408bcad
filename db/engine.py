"""How does code reach the database: one engine per process, and two kinds of transaction.

`reading` never takes SQLite's write lock; `writing` takes it at once (BEGIN IMMEDIATE), so that
two writers queue up for it instead of failing half-way (SQLITE_BUSY on upgrade is not retried).
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.orm import Session

from db.errors import DatabaseAway, DatabaseNotWritable, Refused, SettingInvalid

# Engine and Session: for the annotations of other packages, which leave sqlalchemy itself to this one.
__all__ = ["Engine", "Session", "connect", "reading", "rows_changed", "writing"]

SQLITE_BUSY_MILLISECONDS = 30_000  # longer than the slowest commit seen under four writers
# A server that vanished without a word, behind a dead switch, is noticed within a minute, not after hours.
_KEEPALIVE = {
    "keepalives_idle": 20,  # seconds
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
CONNECT_SECONDS = 5  # a person waits for this one; workers retry


def connect(url: str) -> Engine:
    """An engine for `url`. No connection is opened yet.

    Raises SettingInvalid where `url` is not a database URL that inspectq can use.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingInvalid(
            "INSPECTQ_DATABASE_URL is not a database URL. Examples: postgresql+psycopg://user:password@host/name, "
            "sqlite:////folder/file.db"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _connect_sqlite(url, parsed.database)
    if url.count("@") > 1:  # half of the password would be taken for the host's name, and shown as such
        raise SettingInvalid("A password in INSPECTQ_DATABASE_URL has to be percent-encoded: %40 for @, %2F for /.")
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "inspectq", **_KEEPALIVE},
        )
    raise SettingInvalid(f"inspectq keeps its records in PostgreSQL or SQLite, not in {parsed.get_backend_name()}.")


def _connect_sqlite(url: str, database: str | None) -> Engine:
    if database and not database.startswith("file:"):
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    busy = {"timeout": SQLITE_BUSY_MILLISECONDS / 1000}
    engine = create_engine(make_url(url).set(drivername="sqlite"), connect_args=busy)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the driver would begin late, and never IMMEDIATE
        connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA foreign_keys=ON")
        _write_ahead(connection)
        name = connection.execute("PRAGMA database_list").fetchone()[2]  # "" for one in memory
        record.info["file"] = (name, _identity(name))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        name, opened = connection.connection.info["file"]
        if _identity(name) != opened:
            # SQLite would go on writing into the file that has no name any more, and lose all of it at the end.
            raise DatabaseAway(f"The database {database} was removed or replaced while it was used. Start again.")
        writes = connection.get_execution_options().get("inspectq_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _identity(name: str) -> tuple[int, int] | None:
    """Device and inode of the file that has this name now; None where there is none, as for one in memory."""
    try:
        status = Path(name).stat() if name else None
    except OSError:
        return None
    return None if status is None else (status.st_dev, status.st_ino)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have the file keep a write-ahead log, which lets readers go on while somebody writes.

    Of two processes that open a new file, the one that changes its mode makes the other's attempt fail at once:
    SQLite does not wait where waiting could be a deadlock (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    give_up = time.monotonic() + SQLITE_BUSY_MILLISECONDS / 1000
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.02)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that sees one state of the database and changes nothing."""
    reader = engine
    if engine.dialect.name == "postgresql":  # whose default would let every statement see another state
        reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with explained(engine), Session(reader) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that commits at the end of the block, or leaves no trace."""
    writer = engine.execution_options(inspectq_writes=True)
    with explained(engine), Session(writer, expire_on_commit=False) as session, session.begin():
        yield session


def rows_changed(session: Session, statement: Executable) -> int:
    """Run an UPDATE or DELETE and say how many rows it met: the answer to "did I win?"."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn a driver's error about the service itself into one sentence; leave programming errors alone."""
    try:
        yield
    except IntegrityError:
        raise
    except (DataError, UnicodeEncodeError) as error:  # from outside: what we write ourselves is none of these
        raise Refused(
            "Something that was given cannot be looked for or kept: it has a NUL or half a character in it, or is a "
            "number that is too large."
        ) from error
    except DBAPIError as error:
        # What sqlite3 raises for a file that is none of its own is a bare DatabaseError.
        of_the_service = isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError
        if of_the_service or _refuses_to_write(error):
            raise _explain(engine, error) from error
        raise


def _refuses_to_write(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in ("25006", "42501")  # read-only transaction, no privilege


def _explain(engine: Engine, error: DBAPIError) -> DatabaseAway | DatabaseNotWritable:
    place = engine.url.render_as_string(hide_password=True)
    cause = " ".join(str(error.orig).split())
    if "readonly" in cause or _refuses_to_write(error):
        return DatabaseNotWritable(f"The database {place} is read-only. Give this user write access and run it again.")
    if any(words in cause for words in ("is locked", "is full", "disk I/O error")):
        return DatabaseNotWritable(f"The database {place} cannot be written now ({cause}). Free it and run it again.")
    if engine.dialect.name == "sqlite":
        return DatabaseAway(f"The database {place} cannot be opened ({cause}). Is its folder right and readable?")
    return DatabaseAway(
        f"The database {place} does not answer ({cause[:200]}). Start it, or correct INSPECTQ_DATABASE_URL."
    )
