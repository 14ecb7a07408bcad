"""Is a row that cannot be read named, and everything around it looked at all the same?"""

import pytest
from sqlalchemy import select, text

from db import audit, careful
from db.careful import Unreadable, moment
from db.engine import Engine, Session, connect, reading, writing
from db.models import Base, InspectionResult
from db.schema import open_database
from tests.db.test_verification import misfits, recorded
from tests.tampering import tampering

assert recorded  # the fixture: everything that is recorded

SQLITE = {
    "UPDATE audit_event SET details = '{bad' WHERE id = 8": "Row 8 of audit_event cannot be read.",
    "UPDATE audit_event SET time = 'garbage' WHERE id = 8": "Row 8 of audit_event cannot be read.",
    "UPDATE audit_event SET details = CAST(x'ff' AS TEXT) WHERE id = 8": "Row 8 of audit_event cannot be read.",
    "UPDATE inspection_result SET time = 'garbage' WHERE id = 2": "Row 2 of inspection_result cannot be read.",
    "UPDATE inspection_result SET disposition = 'XYZ' WHERE id = 5": "Row 5 of inspection_result cannot be read.",
    "UPDATE inspection_result SET disposition = 'XYZ' WHERE id = 8": "Row 8 of inspection_result cannot be read.",
    "UPDATE inspection_result SET path = x'ff00' WHERE id = 2": "Row 2 of inspection_result cannot be read.",
    "UPDATE inspection_result SET detail = CAST(x'ff' AS TEXT) WHERE id = 2": (
        "Row 2 of inspection_result cannot be read."
    ),
    "UPDATE inspection_result SET score = 'abc' WHERE id = 4": (
        "Batch 3 of job 1: of 2 verdicts at least one is not as it was recorded."
    ),
    "UPDATE training_run SET recipe = '{'": "Row 1 of training_run cannot be read.",
    "UPDATE evaluation_score SET path = x'00' WHERE id = 3": "Row 3 of evaluation_score cannot be read.",
    "UPDATE operating_point_approval SET approved_by = x'00'": "Row 1 of operating_point_approval cannot be read.",
    "UPDATE checkpoint SET created_at = 'x'": "Row 1 of checkpoint cannot be read.",
    "UPDATE checkpoint SET status = 'zzz'": "Model tiny is zzz, but by the events it is approved.",
    "UPDATE inspection_job SET finished_at = 'zzz'": "Job 1 says that it ended at no time, but its event is of ",
}
POSTGRESQL = {
    "UPDATE audit_event SET time = 'infinity' WHERE id = 8": "Row 8 of audit_event cannot be read.",
    "UPDATE inspection_result SET time = '-infinity' WHERE id = 2": "Row 2 of inspection_result cannot be read.",
    "ALTER TABLE inspection_result DROP CONSTRAINT ck_inspection_result_disposition; "
    "UPDATE inspection_result SET disposition = 'XYZ' WHERE id = 5": "Row 5 of inspection_result cannot be read.",
    "UPDATE operating_point_approval SET approved_at = 'infinity'": (
        "Row 1 of operating_point_approval cannot be read."
    ),
}


def test_each_row_that_cannot_be_read_is_named_and_the_rest_is_verified(recorded: Engine) -> None:
    postgresql = recorded.dialect.name == "postgresql"
    for changes, sentence in (POSTGRESQL if postgresql else SQLITE).items():
        with recorded.execution_options(inspectq_writes=True).connect() as connection, Session(connection) as session:
            undone(session, changes)
            found = [misfit.says for misfit in misfits(session)]
            assert [says for says in found if says.startswith(sentence)], (changes, found)
            assert not [says for says in found if "is missing" in says], (changes, found)
            audit.verify(session)
            session.rollback()


def undone(session: Session, changes: str) -> None:
    from db import triggers

    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("PRAGMA ignore_check_constraints = ON"))
    triggers.drop(session.connection())
    for change in changes.split("; "):
        session.execute(text(change))


def test_the_rows_around_one_that_cannot_be_read_are_read_once_and_in_order(sqlite_with_tables: str) -> None:
    engine = open_database(sqlite_with_tables)
    with writing(engine) as session:
        for number in range(50):
            audit.record(session, actor="tester", action="noted", subject=f"job:{number}")
    with tampering(engine) as session:
        session.execute(text("UPDATE audit_event SET details = '{' WHERE id IN (1, 7, 8, 33, 50)"))
    row = Base.metadata.tables["audit_event"]
    with reading(engine) as session:
        found = list(careful.rows(session, select(row.c.id, row.c.details), row.c.id, at_once=10))
    assert [each.id for each in found] == list(range(1, 51))
    assert [each.id for each in found if isinstance(each, Unreadable)] == [1, 7, 8, 33, 50]
    engine.dispose()


def test_a_database_that_is_away_is_not_taken_for_a_row_that_cannot_be_read(postgres_with_tables: str) -> None:
    engine = connect(postgres_with_tables)
    key = InspectionResult.__table__.c.id
    with pytest.raises(Exception, match="does not exist"), reading(engine) as session:
        list(careful.rows(session, select(key, text("nowhere")), key))
    engine.dispose()


def test_a_time_is_read_from_whatever_a_column_holds() -> None:
    assert moment("2026-03-04 12:00:00.250000") == moment("2026-03-04 13:00:00.250000+01:00")
    assert (moment("x"), moment(None), moment(7)) == (None, None, None)
