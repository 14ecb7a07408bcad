"""Is a view, a trigger or a function that was altered seen, although no row was touched?"""

import pytest
from sqlalchemy import text

from db import definitions
from db.engine import Engine, Session, connect, reading, writing
from db.grants import grant, make_login
from db.schema import upgrade
from db.views import VIEWS
from tests.rows import add_job, inspect_all


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """With some verdicts, of which the statistics know."""
    add_job(engine, [[f"{number}.jpg", f"{number}-2.jpg"] for number in range(20)])
    inspect_all(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return engine


def said(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(definitions.differences(session.connection()))


def is_postgresql(engine: Engine) -> bool:
    return engine.dialect.name == "postgresql"


def test_what_inspectq_has_made_is_as_it_makes_it(engine: Engine) -> None:
    assert said(engine) == []
    upgrade(engine)
    assert said(engine) == []


def view_again(session: Session, name: str, query: str) -> None:
    session.execute(text(f"DROP VIEW {name}"))
    session.execute(text(f"CREATE VIEW {name} AS {query}"))


RESULTS = VIEWS["v_results"]
ALTERED = {
    "another verdict": RESULTS.replace(
        "r.disposition AS disposition", "CASE WHEN r.path LIKE '7%' THEN 'PASS' ELSE r.disposition END AS disposition"
    ),
    "another score": RESULTS.replace("r.score AS score", "r.score - 0.1 AS score"),
    "an image less": f"{RESULTS} AND r.path <> '7.jpg'",
    "every revision": VIEWS["v_result_history"],
    "columns that changed names": RESULTS.replace("r.score AS score", "r.novelty AS score").replace(
        "r.novelty AS novelty", "r.score AS novelty"
    ),
    "a column less": RESULTS.replace(", j.root AS root", ""),
    "another table": RESULTS.replace("JOIN inspection_job j", "JOIN (SELECT * FROM inspection_job) j").replace(
        "FROM inspection_result r\n", "FROM (SELECT * FROM inspection_result WHERE id > 3) r\n"
    ),
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_view_that_was_altered_is_named_and_an_upgrade_makes_it_anew(engine: Engine, how: str) -> None:
    assert ALTERED[how] != RESULTS
    with writing(engine) as session:
        view_again(session, "v_results", ALTERED[how])
    assert said(engine) == ["The view v_results is not as inspectq makes it: `inspectq db upgrade` makes it anew."]
    upgrade(engine)
    assert said(engine) == []


def test_a_view_that_is_missing_is_named(engine: Engine) -> None:
    with writing(engine) as session:
        session.execute(text("DROP VIEW v_job_ledger"))
    assert said(engine) == ["The view v_job_ledger is not as inspectq makes it: `inspectq db upgrade` makes it anew."]


def test_a_trigger_that_refuses_nothing_is_named_and_an_upgrade_makes_it_anew(engine: Engine) -> None:
    with writing(engine) as session:
        if is_postgresql(engine):
            session.execute(text("DROP TRIGGER refuse_update_batch ON batch"))
            never = "CREATE TRIGGER refuse_update_batch BEFORE UPDATE OF id ON batch FOR EACH STATEMENT WHEN (false) "
            session.execute(text(f"{never} EXECUTE FUNCTION inspectq_refuse_change('stays as it was written')"))
        else:
            session.execute(text("DROP TRIGGER refuse_update_batch"))
            session.execute(
                text("CREATE TRIGGER refuse_update_batch BEFORE UPDATE ON batch WHEN 0 BEGIN SELECT 1; END")
            )
    assert said(engine) == [
        "The trigger refuse_update_batch of table batch is not as inspectq makes it: "
        "`inspectq db upgrade` makes it anew."
    ]
    upgrade(engine)
    assert said(engine) == []


def test_a_trigger_that_nobody_knows_is_named(engine: Engine) -> None:
    with writing(engine) as session:
        if is_postgresql(engine):
            session.execute(
                text("CREATE FUNCTION zz() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.score := 0; RETURN NEW; END'")
            )
            session.execute(
                text("CREATE TRIGGER zz BEFORE INSERT ON inspection_result FOR EACH ROW EXECUTE FUNCTION zz()")
            )
        else:
            session.execute(
                text(
                    "CREATE TRIGGER zz AFTER INSERT ON inspection_result "
                    "BEGIN UPDATE inspection_job SET state = 'done'; END"
                )
            )
    assert said(engine) == [
        "The trigger zz of table inspection_result is none of inspectq's. What does it do, and who made it?"
    ]


def test_on_postgresql_a_function_or_rule_that_was_put_there_is_named(postgres_with_tables: str) -> None:
    engine = connect(postgres_with_tables)
    with writing(engine) as session:
        session.execute(
            text(
                "CREATE OR REPLACE FUNCTION inspectq_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN RETURN NULL; END'"
            )
        )
        session.execute(text("CREATE RULE nothing AS ON INSERT TO job_drift DO INSTEAD NOTHING"))
    found = said(engine)
    upgrade(engine)
    assert found == [
        "The rule nothing of table job_drift is none of inspectq's. What does it do, and who made it?",
        "The function inspectq_refuse_change is not as inspectq makes it: `inspectq db upgrade` makes it anew.",
    ]
    assert said(engine) == found[:1]
    engine.dispose()


def test_on_postgresql_who_may_only_read_can_ask(postgres_with_tables: str) -> None:
    engine = connect(postgres_with_tables)
    grant(engine)
    make_login(engine, "line1", "secret")
    reader = connect(engine.url.set(username="line1", password="secret").render_as_string(hide_password=False))
    assert said(reader) == []
    reader.dispose()
    engine.dispose()
