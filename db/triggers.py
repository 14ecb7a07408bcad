"""Which rows does the database itself keep as they are, whoever asks?

A trigger refuses UPDATE and DELETE (and TRUNCATE on PostgreSQL) on tables that are only ever added to, and DELETE and
UPDATE of what is fixed where a row has a state as well: a slip of our own, or a person with a database client. Whoever
may change tables can also drop a trigger, and SQLite's INSERT OR REPLACE fires none: what is done then,
`inspectq audit verify` finds. None of them fires on INSERT or COPY.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from sqlalchemy import Connection, text

from db.seals import RECORDS

# Of each table that has them, the columns that never change.
FIXED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{name: record.fixed for name, record in RECORDS.items() if record.changing},
        "batch": ("id", "job_id", "sequence", "revision", "images", "paths"),
    }
)
APPEND_ONLY = (
    "audit_event",
    "inspection_result",
    *(name for name, record in RECORDS.items() if not record.changing),
    *(part for record in RECORDS.values() for part, _ in record.parts),
)
# What keeps no record: who is alive, who leads, who has an image before them, which submission is a repeated one, whom
# to tell, how long it took, and who may sign in just now (that somebody was let in or changed is an event).
FREE = (
    "service_heartbeat",
    "leadership",
    "review_lease",
    "submission_key",
    "webhook",
    "stage_time",
    "web_user",
    "web_password",
    "web_session",
    "api_token",
)

FUNCTION = "inspectq_refuse_change"
REFUSING_ON_POSTGRESQL = (
    f"CREATE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION '% %', TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; "
    "END $$"
)
_ADDED_TO = "is only ever added to"
_STAYS = "stays as it was written"


def drop(connection: Connection) -> None:
    """Take the triggers away for as long as a migration changes tables; in the transaction that makes them again."""
    for name, table in _existing(connection):
        on = f" ON {table}" if connection.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TRIGGER {name}{on}"))
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"DROP FUNCTION IF EXISTS {FUNCTION}()"))


def create(connection: Connection) -> None:
    """Make the triggers. They must not be there."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(REFUSING_ON_POSTGRESQL))
    for statement in statements(connection.dialect.name).values():
        connection.execute(text(statement))


def statements(dialect: str) -> dict[str, str]:
    """By the name of each trigger, what makes it: as the database itself would say it again."""
    made = {}
    for name, (table, change, why) in _wanted(dialect).items():
        does = f"BEGIN SELECT RAISE(ABORT, '{table} {why}'); END"
        if dialect == "postgresql":
            does = f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}('{why}')"
        made[name] = f"CREATE TRIGGER {name} BEFORE {change} ON {table} {does}"
    return made


def missing(connection: Connection) -> list[str]:
    """The tables, in the order of their names, of which a trigger is not there, or is switched off."""
    there = {name for name, _ in _existing(connection, switched_on=True)}
    return sorted({table for name, (table, *_) in _wanted(connection.dialect.name).items() if name not in there})


def _wanted(dialect: str) -> dict[str, tuple[str, str, str]]:
    """name -> (table, what is refused, why)."""
    return dict(_triggers(dialect == "postgresql"))


def _triggers(postgresql: bool) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for table in (*APPEND_ONLY, *FIXED):
        fixed = FIXED.get(table, ())
        updates = f"UPDATE OF {', '.join(fixed)}" if fixed else "UPDATE"
        yield f"refuse_update_{table}", (table, updates, _STAYS if fixed else _ADDED_TO)
        removals = "DELETE OR TRUNCATE" if postgresql else "DELETE"
        yield f"refuse_delete_{table}", (table, removals, _ADDED_TO)


def _existing(connection: Connection, *, switched_on: bool = False) -> list[tuple[str, str]]:
    """(name, table) of the triggers that are there."""
    if connection.dialect.name == "postgresql":
        query = (
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND c.relnamespace = CAST(current_schema() AS regnamespace)"
        )
        query += " AND t.tgenabled IN ('O', 'A')" if switched_on else ""
    else:
        query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    rows = connection.execute(text(query)).all()
    return [(name, table) for name, table in rows if name.startswith(("refuse_update_", "refuse_delete_"))]
