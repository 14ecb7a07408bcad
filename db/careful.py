"""How is a table read to its end, whatever somebody wrote into one of its rows?

A text that is no time, or no JSON, ends a reader of many rows at the first of them: the rows around it are then read
one by one, and that one is named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.seals import Digest, spelled

_AT_ONCE = 1000
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A row that is there and cannot be read."""

    table: str
    id: int

    def __str__(self) -> str:
        return f"Row {self.id} of {self.table} cannot be read."


Found = Row[*tuple[Any, ...]] | Unreadable


def is_malformed(error: Exception) -> bool:
    """Whether a value of a row is to blame, and not the service, whose answer would be the same for every row."""
    if isinstance(error, DBAPIError):
        by_server = getattr(error.orig, "sqlstate", None) is not None
        decoding = "decode" in str(error.orig) or not hasattr(error.orig, "sqlite_errorcode")
        return not error.connection_invalidated and not by_server and decoding
    return isinstance(error, _MALFORMED)


def rows(
    session: Session, query: Select[*tuple[Any, ...]], key: ColumnElement[int], *, at_once: int = _AT_ONCE
) -> Iterator[Found]:
    """The rows of the query, which selects `key`, an id, in the order of that. The session must stay open meanwhile."""
    last: int | None = None
    while True:
        rest = (query if last is None else query.where(key > last)).order_by(key)
        try:
            for row in session.execute(rest.execution_options(yield_per=at_once)):
                yield row
                last = row._mapping[key]
            return
        except (*_MALFORMED, DBAPIError) as error:
            if not is_malformed(error):
                raise
            rest = (query if last is None else query.where(key > last)).order_by(key)
        numbers = session.scalars(rest.with_only_columns(key).limit(at_once)).all()
        for number in numbers:
            yield _row(session, query.where(key == number), key, number)
        last = numbers[-1]


def _row(session: Session, query: Select[*tuple[Any, ...]], key: ColumnElement[int], number: int) -> Found:
    try:
        return session.execute(query).one()
    except (*_MALFORMED, DBAPIError) as error:
        if not is_malformed(error):
            raise
    table: Any = key.table
    return Unreadable(table=table.name, id=number)


def unreadable(session: Session, table: Table, where: ColumnElement[bool]) -> Iterator[Unreadable]:
    """Of those rows the ones that cannot be read, or not be covered by a digest."""
    names = sorted(table.columns.keys())
    for row in rows(session, select(table).where(where), table.c.id):
        if isinstance(row, Unreadable):
            yield row
            continue
        try:
            Digest().add(table.name, names, spelled(table.name, [row._mapping]))
        except _MALFORMED:
            yield Unreadable(table=table.name, id=row.id)


def moment(value: Any) -> datetime | None:
    """The time that a column holds; None where it holds none."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
