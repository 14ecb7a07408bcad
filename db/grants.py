"""Who may do what in PostgreSQL: the services that inspect, the console, and the people who audit?

Three group roles, none of which can log in. Workers, schedulers and the command line log in as members of
`inspectq_service`, which can do a job but can neither alter nor remove a verdict or an audit event, nor change a table.
The console logs in as a member of `inspectq_console`, which can that and let people in: a worker that was taken over
cannot sign in as somebody. Auditors log in as members of `inspectq_auditor`, which reads everything but what lets
people in, and writes nothing. The tables belong to whoever runs `inspectq db upgrade`, and only that role can do more.
"""

import re
from collections.abc import Iterable

from sqlalchemy import Connection, Engine, text

from db.engine import writing
from db.errors import Refused
from db.schema import UPGRADE_LOCK
from db.views import VIEWS

SERVICE, CONSOLE, AUDITOR = "inspectq_service", "inspectq_console", "inspectq_auditor"

_READ = "SELECT"
_ADD = "SELECT, INSERT"
_CHANGE = "SELECT, INSERT, UPDATE"
_ALL = "SELECT, INSERT, UPDATE, DELETE"

# What a service may do with each table. An auditor may read every one of them but those that let people in.
SERVICE_RIGHTS = {
    "alembic_version": _READ,
    "audit_event": _ADD,  # what was done stays written
    "inspection_result": _ADD,  # a verdict is never changed: a retry adds the next revision
    "dataset_snapshot": _ADD,
    "training_image": _ADD,
    "training_run": _ADD,
    "evaluation": _ADD,
    "class_metric": _ADD,
    "confusion_cell": _ADD,
    "evaluation_score": _ADD,
    "runtime_parity": _ADD,
    "job_drift": _ADD,
    "operating_point": _ADD,  # other limits are another version
    "operating_point_approval": _ADD,
    "review": _ADD,  # who thinks better of a decision adds another
    "sample_draw": _ADD,
    "sampled_image": _ADD,
    "agreement_study": _ADD,
    "agreement_image": _ADD,
    "agreement_answer": _ADD,
    "checkpoint": f"{_ADD}, UPDATE (status)",  # approved or retired; its digest stands for the bytes of the model
    "inspection_job": _CHANGE,
    "batch": _CHANGE,
    "review_lease": _ALL,
    "submission_key": _ADD,
    "webhook": _CHANGE,
    "stage_time": _CHANGE,
    "service_heartbeat": _ALL,
    "leadership": _ALL,
}

# What the console may do beside that.
CONSOLE_RIGHTS = {
    "web_user": f"{_ADD}, UPDATE (role, is_active)",  # a name is one person's for ever
    "web_password": _CHANGE,
    "web_session": _ALL,
    "api_token": f"{_ADD}, UPDATE (used_at, revoked_at)",
}
SECRET = ("web_password", "web_session", "api_token")

_LOGIN_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def grant(engine: Engine) -> None:
    """Make the three group roles and give them exactly their rights on this database, now and for later tables.

    Running it again changes nothing, and takes away what has been added by hand. Raises Refused.
    """
    refuse_sqlite(engine)
    with writing(engine) as session:
        connection = session.connection()
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        _refuse_other_than_owner(connection)
        for role in (SERVICE, CONSOLE, AUDITOR):
            _make_group(connection, role)
        for statement in _statements(connection):
            connection.exec_driver_sql(statement)


def make_login(engine: Engine, name: str, password: str, group: str = SERVICE) -> None:
    """Make the login `name`, or give it this password: a member of `group` (SERVICE or CONSOLE), and nothing else.

    The password travels and is logged only as what PostgreSQL keeps of it. Raises Refused.
    """
    refuse_sqlite(engine)
    if not _LOGIN_NAME.fullmatch(name) or name in (SERVICE, CONSOLE, AUDITOR):
        raise Refused(f"{name!r} cannot be a login: use a name of its own of small letters, digits and underscores.")
    if not password:
        raise Refused("A login needs a password. Set INSPECTQ_SERVICE_PASSWORD, or INSPECTQ_CONSOLE_PASSWORD.")
    with writing(engine) as session:
        connection = session.connection()
        exists = _attributes(connection, name) is not None
        if exists:
            _refuse_powerful(connection, name)
            owned = "SELECT count(*) FROM pg_class WHERE relowner = CAST(:name AS regrole)"
            if connection.scalar(text(owned), {"name": name}):
                raise Refused(f"The role {name} owns tables, so no grant would hold it back. Choose another name.")
        driver = connection.connection.driver_connection
        verifier = driver.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()  # type: ignore[union-attr]
        verb = "ALTER" if exists else "CREATE"
        connection.exec_driver_sql(f"{verb} ROLE {name} LOGIN INHERIT PASSWORD '{verifier}'")
        connection.exec_driver_sql(f"GRANT {group} TO {name}")


def _statements(connection: Connection) -> Iterable[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    database, schema = (
        quote(name) for name in connection.execute(text("SELECT current_database(), current_schema()")).one()
    )
    all_three = f"{SERVICE}, {CONSOLE}, {AUDITOR}"
    everything = f"IN SCHEMA {schema}"
    for kind in ("TABLES", "SEQUENCES", "ROUTINES"):
        yield f"REVOKE ALL ON ALL {kind} {everything} FROM PUBLIC, {all_three}"
    yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {all_three}"
    yield f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"  # a temporary table could stand in for a real one
    yield f"GRANT CONNECT ON DATABASE {database} TO {all_three}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {all_three}"
    yield f"GRANT SELECT ON ALL TABLES {everything} TO {AUDITOR}"  # views are tables here
    yield f"REVOKE ALL ON {', '.join(SECRET)} FROM {AUDITOR}"
    for role, rights in ((SERVICE, SERVICE_RIGHTS), (CONSOLE, {**SERVICE_RIGHTS, **CONSOLE_RIGHTS})):
        yield f"GRANT SELECT ON {', '.join(VIEWS)} TO {role}"
        yield f"GRANT USAGE, SELECT ON ALL SEQUENCES {everything} TO {role}"
        for table, right in rights.items():
            yield f"GRANT {right} ON {quote(table)} TO {role}"
        yield f"GRANT EXECUTE ON FUNCTION inspectq_add_event TO {role}"
    # What a later upgrade makes can be read at once; more than that takes another `inspectq db grants`.
    later = f"ALTER DEFAULT PRIVILEGES {everything}"
    yield f"{later} GRANT SELECT ON TABLES TO {all_three}"
    yield f"{later} GRANT USAGE, SELECT ON SEQUENCES TO {SERVICE}, {CONSOLE}"


def _make_group(connection: Connection, role: str) -> None:
    if _attributes(connection, role) is not None:
        _refuse_powerful(connection, role)
        return
    may = connection.scalar(text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"))
    if not may:
        raise Refused(
            f"This user may not make roles. Let an administrator do it (CREATE ROLE {SERVICE} NOLOGIN; "
            f"CREATE ROLE {CONSOLE} NOLOGIN; CREATE ROLE {AUDITOR} NOLOGIN), then run it again."
        )
    # Roles belong to the server: another database's grants may be making the same one just now.
    connection.exec_driver_sql(
        f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )


def _attributes(connection: Connection, role: str) -> bool | None:
    """Whether the role has a power that no grant holds back; None where there is no such role."""
    query = text(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls "
        "FROM pg_roles WHERE rolname = :role"
    )
    powerful: bool | None = connection.scalar(query, {"role": role})
    return powerful


def _refuse_powerful(connection: Connection, role: str) -> None:
    if _attributes(connection, role):
        raise Refused(
            f"The role {role} exists and is more than a user (see \\du {role} in psql), so no grant would hold it back."
        )


def _refuse_other_than_owner(connection: Connection) -> None:
    foreign = text(
        "SELECT count(*) FROM pg_class WHERE relnamespace = CAST(current_schema() AS regnamespace) "
        "AND relkind IN ('r', 'v', 'S') AND NOT pg_has_role(relowner, 'USAGE')"
    )
    if connection.scalar(foreign):
        raise Refused("Only the owner of the tables can give rights on them: the user that ran `inspectq db upgrade`.")


def refuse_sqlite(engine: Engine) -> None:
    """Raise Refused where there are no roles to give rights to."""
    if engine.dialect.name != "postgresql":
        raise Refused("SQLite has no roles: whoever may write its file may change every row. Use PostgreSQL for that.")
