"""Does the database itself refuse to change a record, and let through what the system does?"""

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import checkpoints, operating_points, triggers
from db.engine import Engine, reading, writing
from db.models import Base, ModelStatus
from db.schema import upgrade
from tests.db.test_schema import fill
from tests.rows import add_dataset, add_job, add_model, inspect_all
from tests.tampering import tampering


def test_the_policy_names_every_table() -> None:
    named = {*triggers.APPEND_ONLY, *triggers.FIXED, *triggers.FREE}
    assert named == set(Base.metadata.tables), "say in db/seals.py or db/triggers.py which rows of it may change"


def refused(engine: Engine, statement: str) -> str | None:
    """Why the database refuses the statement; None where it runs. Nothing of it stays."""
    with engine.execution_options(inspectq_writes=True).connect() as connection:
        try:
            connection.execute(text(statement))
        except IntegrityError as error:
            return str(error.orig).splitlines()[0]
        finally:
            connection.rollback()
    return None


def test_every_change_and_removal_of_a_record_is_refused(engine: Engine) -> None:
    fill(engine)  # SQLite's triggers fire for rows
    for table in triggers.APPEND_ONLY:
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
            assert refused(engine, statement) == f"{table} is only ever added to", statement
    for table, columns in triggers.FIXED.items():
        for column in columns:
            assert refused(engine, f"UPDATE {table} SET {column} = {column}") == f"{table} stays as it was written"
        assert refused(engine, f"DELETE FROM {table}") == f"{table} is only ever added to"
    if engine.dialect.name == "postgresql":
        for table in (*triggers.APPEND_ONLY, *triggers.FIXED):
            assert refused(engine, f"TRUNCATE {table} CASCADE") is not None, table


def test_what_may_change_can_be_changed(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session)
        checkpoints.set_status(session, model, ModelStatus.APPROVED, actor="tester")
        operating_points.propose(session, model, pass_below=0.1, fail_from=0.2, actor="tester")
        add_dataset(session)
    add_job(engine, [["a"]])
    inspect_all(engine)
    assert refused(engine, "UPDATE checkpoint SET status = 'retired'") is None
    assert refused(engine, "UPDATE batch SET note = 'x'") is None
    assert refused(engine, "UPDATE inspection_job SET state_reason = 'x'") is None
    assert refused(engine, "DELETE FROM leadership") is None


def missing(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return triggers.missing(session.connection())


def test_a_trigger_that_is_gone_is_named_and_an_upgrade_makes_it_anew(engine: Engine) -> None:
    assert missing(engine) == []
    on = " ON batch" if engine.dialect.name == "postgresql" else ""
    with writing(engine) as session:
        session.execute(text(f"DROP TRIGGER refuse_delete_batch{on}"))
        if engine.dialect.name == "postgresql":
            session.execute(text("ALTER TABLE evaluation DISABLE TRIGGER USER"))
    assert missing(engine) == ["batch", "evaluation"] if on else ["batch"]
    upgrade(engine)
    assert missing(engine) == []


def test_the_helper_of_the_tests_leaves_them_as_they_were(engine: Engine) -> None:
    with tampering(engine) as session:
        session.execute(text("UPDATE audit_event SET id = id"))
    assert missing(engine) == []
