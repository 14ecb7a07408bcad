"""What exactly does a digest in the chain of events cover, so that a change of any of it is seen?

A row counts as the JSON object, ASCII, without spaces, times in UTC, of its columns that are not NULL, in the order of
their names: a column that a later version adds is NULL in the rows of before, whose digests stay what they were. Rows
of one table count in the order of their ids, as the name of the table and the array of them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import LargeBinary, select
from sqlalchemy.orm import Session

from db.models import Base

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row that is written once, and the rows that belong to it: (table, the column that names the record)."""

    table: str
    key: str = "id"  # another column: all rows with one value of it, written together, are one record
    parts: tuple[tuple[str, str], ...] = ()
    changing: frozenset[str] = frozenset()  # the columns that may change; no digest covers them
    made_at: str | None = "created_at"  # when it was written, by the database's clock

    @property
    def fixed(self) -> tuple[str, ...]:
        """The columns that never change."""
        columns = Base.metadata.tables[self.table].columns
        return tuple(column.name for column in columns if column.name not in self.changing)


RECORDS = {
    record.table: record
    for record in (
        Record(table="dataset_snapshot"),
        Record(table="training_run", made_at=None),
        Record(table="checkpoint", changing=frozenset({"status"})),
        Record(table="operating_point"),
        Record(table="operating_point_approval", made_at="approved_at"),
        Record(
            table="evaluation",
            parts=tuple((part, "evaluation_id") for part in ("class_metric", "confusion_cell", "evaluation_score")),
        ),
        Record(table="runtime_parity"),
        Record(table="job_drift"),
        Record(table="review"),
        Record(table="sample_draw", parts=(("sampled_image", "draw_id"),)),
        Record(table="agreement_study", parts=(("agreement_image", "study_id"),)),
        Record(table="agreement_answer"),
        Record(table="training_image", key="dataset_snapshot_id", made_at=None),
        Record(
            table="inspection_job",
            made_at="submitted_at",
            changing=frozenset(
                {
                    "operating_point_id",
                    "state",
                    "state_reason",
                    "revision",
                    "submitted",
                    "planned_batches",
                    "cursor",
                    "other_files",
                    "linked_folders",
                    "planned_at",
                    "waiting_since",
                    "finished_at",
                    "planner_token",
                    "planner_lease_until",
                }
            ),
        ),
    )
}


class Digest:
    """sha256 over rows: of each table its name and a JSON array."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Mapping[Any, Any]]) -> int:
        """Cover the values of `columns`, which must be sorted, with the types that the database gives back.

        Returns how many rows there were.
        """
        added, rest = 0, iter(rows)
        self._sha256.update(table.encode())
        while some := [_without_null(columns, row) for row in islice(rest, _ROWS_AT_ONCE)]:
            self._sha256.update((b"," if added else b"[") + _encode(some)[1:-1].encode())
            added += len(some)
        self._sha256.update(b"]" if added else b"[]")
        return added

    @property
    def hex(self) -> str:
        """Of everything so far."""
        return self._sha256.hexdigest()


def _without_null(columns: Sequence[str], row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name in columns if (value := row[name]) is not None}


def seal(session: Session, table: str, number: int) -> list[Any]:
    """[table, id, digest] of the record as the database gives it back, for the event that reports it."""
    session.flush()
    return [table, number, digest_of(session, table, number)]


def digest_of(session: Session, table: str, number: int) -> str | None:
    """The digest of a record with its parts; None where it is not there. Raises KeyError for what is no record."""
    digest = Digest()
    for name, columns, rows in contents(session, table, number):
        if not digest.add(name, columns, rows) and name == table:
            return None
    return digest.hex


def contents(
    session: Session, table: str, number: int
) -> Iterator[tuple[str, Sequence[str], Iterable[Mapping[Any, Any]]]]:
    """What the digest of a record covers: of its own table and those of its parts the name, the columns, the rows."""
    record = RECORDS[table]
    wanted = [(table, record.key, record.fixed)]
    wanted += [(part, key, tuple(Base.metadata.tables[part].columns.keys())) for part, key in record.parts]
    for name, key, columns in wanted:
        rows, names = Base.metadata.tables[name], sorted(columns)
        query = select(*(rows.c[column] for column in names)).where(rows.c[key] == number).order_by(rows.c.id)
        yield name, names, spelled(name, session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).mappings())


def spelled(name: str, rows: Iterable[Mapping[Any, Any]]) -> Iterable[Mapping[Any, Any]]:
    """The rows of that table with the bytes of columns that hold bytes in hex; those in others have no place there."""
    binary = [column.name for column in Base.metadata.tables[name].columns if isinstance(column.type, LargeBinary)]
    return ({**row, **{key: row[key].hex() for key in binary}} for row in rows) if binary else rows


def encoded(columns: Sequence[str], row: Mapping[Any, Any]) -> str:
    """A row as a digest covers it."""
    return _encode(_without_null(columns, row))


@lru_cache(maxsize=16)  # a batch's verdicts have one time
def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"a {type(value).__name__} has no place in a digest")


_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode
