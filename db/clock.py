"""What time is it, by the one clock that all machines share: the database's?

Leases compare times written by different machines, so no machine's own clock is asked.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, DateTime, Dialect, Double, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always with its zone in Python; SQLite keeps it as UTC text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class database_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock, moved by `seconds` (negative: into the past)."""

    inherit_cache = True
    type = UtcDateTime()

    def __init__(self, seconds: float | BindParameter[float] = 0.0) -> None:
        # The seconds travel beside the statement, which is therefore compiled once, whatever they are.
        if isinstance(seconds, BindParameter):
            super().__init__(seconds)
        else:
            super().__init__(*((literal(float(seconds), Double()),) if seconds else ()))


@compiles(database_now, "sqlite")
def _sqlite_now(element: database_now, compiler: SQLCompiler, **kw: Any) -> str:
    # Milliseconds and three zeros: the text form that SQLAlchemy reads and that sorts by time.
    moved = compiler.process(element.clauses, **kw)
    by = f", printf('%+.3f seconds', {moved})" if moved else ""
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now'{by}) || '000')"


@compiles(database_now, "postgresql")
def _postgresql_now(element: database_now, compiler: SQLCompiler, **kw: Any) -> str:
    # clock_timestamp, not now(): a long transaction must not write leases that are already old.
    moved = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {moved}))" if moved else "clock_timestamp()"
