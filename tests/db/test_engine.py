"""Does a database that is away, read-only or locked end in one sentence?"""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from console.servers import free_port
from db import engine as engine_module
from db.engine import connect, reading, writing
from db.errors import DatabaseAway, DatabaseNotWritable, SettingInvalid
from db.schema import open_database


def test_an_unreachable_postgresql_is_away_and_its_password_stays_unsaid() -> None:
    engine = connect(f"postgresql+psycopg://anna:s3cret@127.0.0.1:{free_port()}/inspectq")
    with pytest.raises(DatabaseAway, match="does not answer") as caught, reading(engine) as session:
        session.execute(text("SELECT 1"))
    assert "s3cret" not in str(caught.value)


def test_a_read_only_sqlite_says_so(tmp_path: Path) -> None:
    file = tmp_path / "inspectq.db"
    open_database(f"sqlite:///{file}").dispose()
    engine = connect(f"sqlite:///file:{file}?mode=ro&uri=true")
    with reading(engine) as session:
        assert session.execute(text("SELECT count(*) FROM inspection_job")).scalar_one() == 0
    with pytest.raises(DatabaseNotWritable, match="read-only"), writing(engine) as session:
        session.execute(text("DELETE FROM inspection_job"))


def test_a_read_only_postgresql_says_so(postgres_url: str) -> None:
    engine = connect(postgres_url)
    with pytest.raises(DatabaseNotWritable, match="read-only"), writing(engine) as session:
        session.execute(text("SET TRANSACTION READ ONLY"))
        session.execute(text("CREATE TABLE nothing (id int)"))


def test_a_role_that_may_not_write_is_said_so(postgres_url: str) -> None:
    engine = connect(postgres_url)
    with writing(engine) as session:
        session.execute(text("CREATE TABLE kept (id int)"))
        session.execute(text("DROP ROLE IF EXISTS only_reads"))
        session.execute(text("CREATE ROLE only_reads"))
    with pytest.raises(DatabaseNotWritable), writing(engine) as session:
        session.execute(text("SET ROLE only_reads"))
        session.execute(text("DELETE FROM kept"))


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "inspectq.db").write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseAway, match="cannot be opened"):
        open_database(f"sqlite:///{tmp_path / 'inspectq.db'}")


def test_readers_of_postgresql_see_one_state_and_change_nothing(postgres_url: str) -> None:
    with reading(connect(postgres_url)) as session:
        assert session.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
        assert session.execute(text("SHOW transaction_read_only")).scalar_one() == "on"


def test_a_sqlite_locked_by_somebody_else_is_not_waited_for_for_ever(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database(sqlite_url).dispose()
    monkeypatch.setattr(engine_module, "SQLITE_BUSY_MILLISECONDS", 50)
    other = sqlite3.connect(tmp_path / "inspectq.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    engine = connect(sqlite_url)
    with pytest.raises(DatabaseNotWritable, match="locked"), writing(engine) as session:
        session.execute(text("DELETE FROM inspection_job"))
    with reading(engine) as session:  # a reader is never in the way of a writer, nor the other way round
        assert session.execute(text("SELECT count(*) FROM inspection_job")).scalar_one() == 0
    other.close()


def test_sqlite_keeps_foreign_keys_and_the_write_ahead_log(sqlite_url: str) -> None:
    with reading(open_database(sqlite_url)) as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
        assert session.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_is_removed_under_its_users_takes_nothing_more(
    sqlite_url: str, tmp_path: Path, replaced: bool
) -> None:
    engine = open_database(sqlite_url)
    (tmp_path / "inspectq.db").unlink()
    if replaced:
        open_database(sqlite_url).dispose()
    for transaction in (reading, writing):
        with pytest.raises(DatabaseAway, match="removed or replaced"), transaction(engine) as session:
            session.execute(text("SELECT 1"))


def test_a_new_file_that_somebody_else_prepares_is_waited_for(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "inspectq.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # SQLite refuses to change a file's mode beside it, without waiting
    waits: list[float] = []

    def finish_the_other(seconds: float) -> None:
        waits.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(engine_module.time, "sleep", finish_the_other)
    with reading(connect(sqlite_url)) as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    assert len(waits) == 1
    other.close()


@pytest.mark.parametrize("url", ["not a url", "mysql://localhost/inspectq", "postgresql://u:p@host:port/x"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid):
        connect(url)


def test_a_home_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseNotWritable, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'inspectq.db'}")
