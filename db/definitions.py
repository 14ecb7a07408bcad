"""Are the views, triggers and functions of the database those that this version makes?

A view is where people look, and a trigger is what refuses them: whoever may alter either needs to touch no row.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db import triggers
from db.audit import ADDING_ON_POSTGRESQL
from db.views import VIEWS

_ANEW = "`inspectq db upgrade` makes it anew"
_TRIES = 3  # statistics that change between two plans make them differ; a view that was altered differs each time


def differences(connection: Connection) -> Iterator[str]:
    """What is missing, altered or unknown; a sentence each."""
    if gone := triggers.missing(connection):
        yield f"Nothing refuses changes of {', '.join(gone)} any more: `inspectq db upgrade` makes the triggers anew."
    if connection.dialect.name == "postgresql":
        yield from _of_triggers(connection, _TRIGGERS_OF_POSTGRESQL, triggers.statements("postgresql"))
        yield from _of_rules(connection)
        yield from _of_functions(connection)
    else:
        query = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
        yield from _of_triggers(connection, query, triggers.statements("sqlite"))
    for name in altered_views(connection):
        yield f"The view {name} is not as inspectq makes it: {_ANEW}."


def altered_views(connection: Connection) -> list[str]:
    """Those that are missing, or do not say what this version would have them say."""
    same = _is_same_on_postgresql if connection.dialect.name == "postgresql" else _is_same_on_sqlite
    return [name for name, query in VIEWS.items() if not same(connection, name, query)]


# Without quotation marks: PostgreSQL puts them around names that are also words of SQL.
_TRIGGERS_OF_POSTGRESQL = """
SELECT t.tgname, c.relname, replace(pg_get_triggerdef(t.oid, true), '"', '')
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = CAST(current_schema() AS regnamespace) ORDER BY t.tgname"""


def _of_triggers(connection: Connection, query: str, wanted: Mapping[str, str]) -> Iterator[str]:
    for name, table, found in connection.execute(text(query)):
        if name not in wanted:
            yield f"The trigger {name} of table {table} is none of inspectq's. What does it do, and who made it?"
        elif found != wanted[name]:
            yield f"The trigger {name} of table {table} is not as inspectq makes it: {_ANEW}."


def _of_rules(connection: Connection) -> Iterator[str]:
    """What PostgreSQL would do instead of what it is told; the rules that views are made of are not among these."""
    query = "SELECT rulename, tablename FROM pg_rules WHERE schemaname = current_schema() ORDER BY rulename"
    for name, table in connection.execute(text(query)):
        yield f"The rule {name} of table {table} is none of inspectq's. What does it do, and who made it?"


def _of_functions(connection: Connection) -> Iterator[str]:
    query = text(
        "SELECT proname, prosrc, prosecdef OR proconfig IS NOT NULL FROM pg_proc "
        "WHERE pronamespace = CAST(current_schema() AS regnamespace) AND proname = ANY(:names)"
    )
    wanted = {name: made.split("$$")[1] for name, made in _FUNCTIONS.items()}
    found = [tuple(row) for row in connection.execute(query, {"names": list(wanted)})]
    for name, body in wanted.items():
        if [row for row in found if row[0] == name] != [(name, body, False)]:
            yield f"The function {name} is not as inspectq makes it: {_ANEW}."


_FUNCTIONS = {triggers.FUNCTION: triggers.REFUSING_ON_POSTGRESQL, "inspectq_add_event": ADDING_ON_POSTGRESQL}


def _is_same_on_sqlite(connection: Connection, name: str, query: str) -> bool:
    asked = text("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = :name")
    return bool(connection.scalar(asked, {"name": name}) == f"CREATE VIEW {name} AS {query}")


def _is_same_on_postgresql(connection: Connection, name: str, query: str) -> bool:
    """Whether both would be run in the same way: that needs no right but to read, and is the same in every version."""
    try:
        with connection.begin_nested():
            names = list(connection.execute(text(f"SELECT * FROM ({query}) AS seen LIMIT 0")).keys())  # noqa: S608 - our own
            for _ in range(_TRIES):
                if _plan(connection, names, name) == _plan(connection, names, f"({query})"):
                    return True
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
    return False  # or it could not even be asked: it is missing, or lacks a column


def _plan(connection: Connection, names: list[str], source: str) -> Any:
    columns = ", ".join(f'seen."{name}"' for name in names)
    asked = f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT {columns} FROM {source} AS seen"  # noqa: S608 - our own
    return connection.execute(text(asked)).scalar_one()[0]["Plan"]
