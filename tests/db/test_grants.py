"""Can a service do its whole job and nothing to the records, and an auditor read everything and write nothing?

Against a real PostgreSQL, through logins of their own.
"""

import secrets
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text

from db import batches, checkpoints, evaluations, heartbeats, jobs, people, sign_ins
from db.engine import Engine, connect, reading, writing
from db.errors import DatabaseNotWritable, Refused
from db.grants import AUDITOR, CONSOLE, CONSOLE_RIGHTS, SECRET, SERVICE, SERVICE_RIGHTS, grant, make_login
from db.models import Base, InspectionJob, JobState, ModelStatus, Role
from db.schema import open_database, upgrade
from db.views import VIEWS
from tests.rows import add_dataset, add_job, add_model, claim_next, inspect_all, new_evaluation, verdicts

PASSWORD = "pa'ss %word:$1"
RECORDS = ("audit_event", "inspection_result")


def test_the_policy_names_every_table() -> None:
    missing = set(Base.metadata.tables) - set(SERVICE_RIGHTS) - set(CONSOLE_RIGHTS)
    assert not missing, "say in db/grants.py what a service may do with them"


@pytest.mark.parametrize("table", RECORDS)
def test_the_policy_lets_nobody_change_a_record(table: str) -> None:
    assert SERVICE_RIGHTS[table] == "SELECT, INSERT"


@pytest.fixture
def suffix() -> str:
    """Roles belong to the server, which other tests use too."""
    return secrets.token_hex(4)


@pytest.fixture
def owner(postgres_url: str, suffix: str) -> Iterator[Engine]:
    """The owner's engine, on an upgraded database with a finished job and the roles."""
    engine = connect(postgres_url)
    upgrade(engine)
    add_job(engine, [["a.png"]])
    inspect_all(engine)
    grant(engine)
    make_login(engine, f"line_{suffix}", PASSWORD)
    with writing(engine) as session:
        session.execute(text(f"CREATE ROLE alice_{suffix} LOGIN PASSWORD 'alice' IN ROLE {AUDITOR}"))
    yield engine
    engine.dispose()
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        for role in (f"line_{suffix}", f"alice_{suffix}"):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def login(owner: Engine, name: str, password: str) -> Iterator[Engine]:
    url = owner.url.set(username=name, password=password)
    engine = open_database(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@pytest.fixture
def service(owner: Engine, suffix: str) -> Iterator[Engine]:
    yield from login(owner, f"line_{suffix}", PASSWORD)


@pytest.fixture
def auditor(owner: Engine, suffix: str) -> Iterator[Engine]:
    yield from login(owner, f"alice_{suffix}", "alice")


def refused(engine: Engine, statement: str) -> str | None:
    """The SQLSTATE with which PostgreSQL refuses the statement, None where it runs; nothing of it stays."""
    at = engine.url
    with psycopg.connect(
        host=at.host, port=at.port, user=at.username, password=str(at.password), dbname=at.database
    ) as connection:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            connection.rollback()
    return None


NO_PRIVILEGE = "42501"


def test_a_service_does_everything_that_a_job_takes(service: Engine) -> None:
    with writing(service) as session:
        model = add_model(session, name="second", digest="cd" * 32)
        checkpoints.set_status(session, model, ModelStatus.APPROVED, actor="line")
        evaluations.add_evaluation(
            session, new_evaluation(3, 1, 1, 3), checkpoint_id=model.id, dataset=add_dataset(session)
        )
    job = add_job(service, [["b.png", "c.png"]])
    held = claim_next(service)
    with writing(service) as session:
        assert batches.renew(session, held.token, [held.batch], lease_seconds=60)
        assert batches.finish(session, held, verdicts(held))
        heartbeats.beat(session, name="w@h", role="worker")
        heartbeats.beat(session, name="w@h", role="worker")
    inspect_all(service)
    with writing(service) as session:
        assert session.get_one(InspectionJob, job).state is JobState.DONE
        assert jobs.ledger(session, job).closed
    cancelled = add_job(service, [["d.png"]])
    with writing(service) as session:
        assert jobs.cancel(session, cancelled, actor="line").cancelled == 1


def test_a_service_cannot_change_a_record(service: Engine) -> None:
    for table in RECORDS:
        for statement in (
            "UPDATE {} SET id = id",
            "DELETE FROM {}",
            "TRUNCATE {} CASCADE",
            "SELECT 1 FROM {} FOR UPDATE",
        ):
            assert refused(service, statement.format(table)) == NO_PRIVILEGE, (statement, table)


def test_a_service_changes_no_table_no_limit_and_no_model(service: Engine) -> None:
    for statement in (
        "ALTER TABLE audit_event ADD COLUMN x int",
        "ALTER TABLE audit_event OWNER TO CURRENT_USER",
        "DROP TABLE audit_event CASCADE",
        "DROP VIEW v_results",
        "CREATE TABLE more (id int)",
        "CREATE TEMPORARY TABLE audit_event (id int)",
        "CREATE RULE r AS ON INSERT TO audit_event DO INSTEAD NOTHING",
        "CREATE ROLE mallory LOGIN",
        "UPDATE checkpoint SET digest = digest",
        "UPDATE alembic_version SET version_num = '9'",
        "UPDATE operating_point SET fail_from = 1",
        "DELETE FROM batch",
        "SELECT setval('audit_event_id_seq', 1)",
        "SET ROLE inspectq_auditor",
    ):
        assert refused(service, statement) == NO_PRIVILEGE, statement


def test_a_service_that_upgrades_or_gives_rights_is_refused_in_a_sentence(service: Engine) -> None:
    with pytest.raises(DatabaseNotWritable, match="write access"):
        upgrade(service)
    with pytest.raises(Refused, match="Only the owner"):
        grant(service)


def test_the_console_lets_people_in_and_a_service_does_not(owner: Engine, service: Engine, suffix: str) -> None:
    make_login(owner, f"web_{suffix}", PASSWORD, CONSOLE)
    try:
        console = connect(
            owner.url.set(username=f"web_{suffix}", password=PASSWORD).render_as_string(hide_password=False)
        )
        with writing(console) as session:
            user = people.add(session, "anna", Role.ADMIN, by="operator")
            people.set_password(session, user, "hash", by="operator")
            token = sign_ins.begin(session, user)
            sign_ins.add_token(session, user, "t", Role.VIEWER, days=1, by="operator")
        with reading(console) as session:
            assert sign_ins.signed_in(session, token) is not None
        assert refused(console, "UPDATE web_user SET name = 'ben'") == NO_PRIVILEGE
        assert refused(console, "UPDATE api_token SET role = 'admin'") == NO_PRIVILEGE
        assert refused(console, "UPDATE inspection_result SET score = 0") == NO_PRIVILEGE
        console.dispose()
        for statement in (
            "SELECT * FROM web_password",
            "UPDATE web_password SET hash = ''",
            "SELECT * FROM web_session",
        ):
            assert refused(service, statement) == NO_PRIVILEGE, statement
    finally:
        with writing(owner) as session:
            session.execute(text(f"DROP ROLE web_{suffix}"))


def test_an_auditor_reads_every_table_and_view_but_what_lets_people_in(auditor: Engine) -> None:
    for name in SECRET:
        assert refused(auditor, f'SELECT * FROM "{name}"') == NO_PRIVILEGE, name
    with reading(auditor) as session:
        for name in {*Base.metadata.tables, *VIEWS} - set(SECRET):
            session.execute(text(f'SELECT * FROM "{name}"')).all()
        assert session.scalar(text("SELECT count(*) FROM v_results")) == 1
        assert session.scalar(text("SELECT count(*) FROM audit_event"))


def test_an_auditor_writes_no_table_and_makes_none(auditor: Engine) -> None:
    for table in (*Base.metadata.tables, "alembic_version"):
        assert refused(auditor, f'INSERT INTO "{table}" DEFAULT VALUES') == NO_PRIVILEGE, table
        assert refused(auditor, f'DELETE FROM "{table}"') == NO_PRIVILEGE, table
        assert refused(auditor, f'LOCK TABLE "{table}" IN EXCLUSIVE MODE') == NO_PRIVILEGE, table
    for statement in ("CREATE TABLE x (id int)", "CREATE TEMPORARY TABLE x (id int)", "SELECT nextval('batch_id_seq')"):
        assert refused(auditor, statement) == NO_PRIVILEGE, statement


def test_a_login_without_a_group_sees_nothing(owner: Engine, suffix: str) -> None:
    with writing(owner) as session:
        session.execute(text(f"ALTER ROLE alice_{suffix} PASSWORD 'alice'"))
        session.execute(text(f"REVOKE {AUDITOR} FROM alice_{suffix}"))
    nobody = connect(owner.url.set(username=f"alice_{suffix}", password="alice").render_as_string(hide_password=False))
    assert refused(nobody, "SELECT * FROM v_results") in (NO_PRIVILEGE, "42P01")
    assert refused(nobody, "CREATE TABLE x (id int)") in (NO_PRIVILEGE, "3F000")
    nobody.dispose()


def test_later_tables_and_the_views_of_an_upgrade_can_be_read_at_once(
    owner: Engine, auditor: Engine, service: Engine
) -> None:
    upgrade(owner)  # makes every view anew
    with writing(owner) as session:
        session.execute(text("CREATE TABLE later (id bigserial)"))
    for engine in (auditor, service):
        assert refused(engine, "SELECT * FROM v_results") is None
        assert refused(engine, "SELECT * FROM later") is None
        assert refused(engine, "DELETE FROM later") == NO_PRIVILEGE


def test_running_it_again_takes_away_what_was_added_by_hand(owner: Engine, service: Engine) -> None:
    with writing(owner) as session:
        session.execute(text(f"GRANT ALL ON audit_event TO {SERVICE}, PUBLIC"))
    assert refused(service, "SELECT 1 FROM audit_event FOR UPDATE") is None
    grant(owner)
    assert refused(service, "SELECT 1 FROM audit_event FOR UPDATE") == NO_PRIVILEGE
    assert refused(service, "SELECT * FROM v_results") is None


def test_a_new_password_replaces_the_old_one_and_is_not_in_the_catalogue(owner: Engine, suffix: str) -> None:
    make_login(owner, f"line_{suffix}", "another")
    changed = owner.url.set(username=f"line_{suffix}", password="another")
    assert refused(connect(changed.render_as_string(hide_password=False)), "SELECT 1 FROM batch") is None
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        refused(
            connect(owner.url.set(username=f"line_{suffix}", password=PASSWORD).render_as_string(False)), "SELECT 1"
        )


def test_a_name_that_is_none_is_refused(postgres_url: str) -> None:
    for name in ("Robert'); DROP TABLE batch;--", "", "inspectq_service", "UPPER", "a b"):
        with pytest.raises(Refused, match="cannot be a login"):
            make_login(connect(postgres_url), name, "x")


def test_a_login_that_no_grant_holds_back_is_refused(owner: Engine) -> None:
    with pytest.raises(Refused, match="more than a user"):
        make_login(owner, str(owner.url.username), "x")
    with pytest.raises(Refused, match="INSPECTQ_SERVICE_PASSWORD"):
        make_login(owner, "line", "")


def command(url: str, *words: str, password: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console.cli", "db", "grants", *words],
        env={"INSPECTQ_DATABASE_URL": url, "INSPECTQ_SERVICE_PASSWORD": password, "PATH": "", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_makes_the_login_and_says_what_comes_next(owner: Engine, suffix: str) -> None:
    url = owner.url.render_as_string(hide_password=False)
    done = command(url, "--service-login", f"line_{suffix}", password="by-the-command")
    assert done.returncode == 0, done.stderr
    assert f"IN ROLE {AUDITOR};" in done.stderr
    assert "by-the-command" not in done.stderr + done.stdout
    changed = make_url(url).set(username=f"line_{suffix}", password="by-the-command")
    assert refused(connect(changed.render_as_string(hide_password=False)), "SELECT 1 FROM batch") is None


def test_sqlite_is_refused_in_one_sentence(sqlite_url: str) -> None:
    done = command(sqlite_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("inspectq: SQLite has no roles")
    assert len(done.stderr.splitlines()) == 1
