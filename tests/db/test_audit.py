"""Is a change of what was recorded seen, and does recording take turns?"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db import audit
from db.engine import Engine, connect, reading, writing
from db.schema import upgrade
from tests.tampering import tampering


def record(engine: Engine, number: int) -> None:
    with writing(engine) as session:
        audit.record(session, actor="tester", action="job.submit", subject=f"job:{number}", root="/é", model="ab")


def chain(engine: Engine) -> audit.Chain:
    with reading(engine) as session:
        return audit.verify(session)


def test_an_untouched_chain_is_whole(engine: Engine) -> None:
    assert chain(engine) == audit.Chain(events=0, newest=audit.FIRST, broken_at=None)
    for number in range(3):
        record(engine, number)
    found = chain(engine)
    assert (found.events, found.broken_at) == (3, None)
    assert found.newest != audit.FIRST


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("UPDATE audit_event SET actor = 'nobody' WHERE id = 2", 2),
        ('UPDATE audit_event SET details = \'{"root": "/other"}\' WHERE id = 2', 2),
        ("DELETE FROM audit_event WHERE id = 2", 3),
        ("UPDATE audit_event SET id = CASE id WHEN 2 THEN -3 ELSE id END", -3),
    ],
)
def test_the_first_event_that_was_changed_removed_or_moved_is_named(
    engine: Engine, change: str, broken_at: int
) -> None:
    for number in range(4):
        record(engine, number)
    with tampering(engine) as session:
        session.execute(text(change.replace(":", "\\:")))
    assert chain(engine).broken_at == broken_at


def test_behind_a_break_the_walk_goes_on_and_each_further_one_is_counted(engine: Engine) -> None:
    for number in range(8):
        record(engine, number)
    newest = chain(engine).newest
    with tampering(engine) as session:
        session.execute(text("UPDATE audit_event SET actor = 'nobody' WHERE id IN (2, 6)"))
        session.execute(text("DELETE FROM audit_event WHERE id = 4"))
    found = chain(engine)
    assert (found.events, found.broken_at, found.breaks, found.newest) == (7, 2, 3, newest)
    assert found.words == "broken at event 2, and at 2 more"


def test_events_of_many_writers_at_once_make_one_chain(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(record, engine, number) for number in range(24)]:
            done.result()
    found = chain(engine)
    assert (found.events, found.broken_at) == (24, None)


def test_who_stands_still_with_the_chain_in_hand_is_cut_off(postgres_with_tables: str) -> None:
    engine = connect(postgres_with_tables)
    with writing(engine) as session:
        audit.record(session, actor="tester", action="job.submit", subject="job:1")
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"
    with writing(engine) as session:
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "0"
    engine.dispose()


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
VALUES = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
DETAILS = st.dictionaries(WORDS, VALUES | st.lists(VALUES, max_size=3), max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actor=WORDS, subject=WORDS, details=DETAILS)
def test_whatever_an_event_says_its_digest_is_the_same_in_the_database_and_here(
    engine: Engine, actor: str, subject: str, details: dict[str, Any]
) -> None:
    with writing(engine) as session:
        audit.record(session, actor=actor, action="x", subject=subject, said=details)
    assert chain(engine).broken_at is None


def test_events_of_before_the_chain_are_chained_by_the_migration(database_url: str, repository_root: object) -> None:
    engine = connect(database_url)
    config = Config()
    config.set_main_option("script_location", f"{repository_root}/db/migrations")
    with engine.execution_options(inspectq_writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO audit_event (time, actor, action, subject, details) "
                    "VALUES ('2026-11-01 10:00:00.250000', 'tester', 'job.submit', :subject, :details)"
                ),
                {"subject": f"job:{number}", "details": '{"root": "/é"}'},
            )
    upgrade(engine)
    record(engine, 3)
    found = chain(engine)
    engine.dispose()
    assert (found.events, found.broken_at) == (3, None)
