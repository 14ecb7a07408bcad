"""In which forms can the verdicts of a job be taken away? table, csv, json, parquet; each streamed."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any

from rich.markup import escape
from rich.table import Table

from console.files import whole
from console.terminal import out as terminal
from console.terminal import say, shown
from db.models import Disposition
from db.results import COLUMNS, MOMENTS

Row = dict[str, Any]

TABLE_ROWS = 1000  # a terminal shows no more in a useful way; the other formats write every row
PARQUET_ROWS = 10_000  # per row group, and in memory
# What a spreadsheet takes for the beginning of a formula, also after what it strips, and in the full-width letters
# that East Asian ones accept; at the beginning of a cell, or of what becomes one where the list separator is ; or TAB.
_FORMULA = re.compile(r"""(^|[;\t\r\n])(?="*[\t\r]|[\s\x00-\x1f"\u200b-\u200f\u2060\ufeff]*'*[=+\-@＝＋－＠])""")
_STYLES = {Disposition.FAIL: "red", Disposition.REVIEW: "yellow", Disposition.UNREADABLE: "magenta"}


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def write(rows: Iterable[Row], kind: Format, out: Path | None) -> None:
    """To a file, which is whole or as it was before, or to standard output, which Parquet is not for."""
    if kind is Format.TABLE and out is None:
        print_table(rows)
    elif kind is Format.PARQUET and out is not None:
        with whole(out) as part:
            write_parquet(rows, part)
    else:
        with _stream(out) as stream:
            {Format.CSV: write_csv, Format.JSON: write_json}[kind](rows, stream)


@contextmanager
def _stream(out: Path | None) -> Iterator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    with whole(out) as part, part.open("w", encoding="utf-8", newline="") as stream:
        yield stream


def write_csv(rows: Iterable[Row], stream: IO[str]) -> None:
    """`csv_lines` into a stream. On a terminal, control characters are spelled out."""
    stream.writelines(csv_lines(rows, shown if stream.isatty() else str))


def csv_lines(rows: Iterable[Row], seen: Callable[[str], str] = str, columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """One header line, then one line per row, by default per verdict.

    Text that a spreadsheet would run as a formula begins with an apostrophe: take it away to have the text. `seen` is
    done to every text.
    """
    writer = csv.DictWriter(_Handed(), fieldnames=columns)
    yield writer.writeheader()
    for row in rows:
        cells = {n: seen(defused(v)) if isinstance(v, str) else v for n, v in plain(row).items()}
        yield writer.writerow(cells)


class _Handed:
    """What the csv module takes for a file: a line that is written is what writing it returns."""

    def write(self, line: str) -> str:
        return line


def defused(text: str) -> str:
    """`text` as a cell that no spreadsheet runs as a formula; what needs no apostrophe stays as it is.

    OWASP, "CSV Injection". Text that begins with an apostrophe and would be a formula without it gets one more, so
    that the apostrophe that comes first is always ours.
    """
    return _FORMULA.sub(r"\1'", text)


def write_json(rows: Iterable[Row], stream: IO[str]) -> None:
    """An array of objects, one per line, never the whole of it in memory."""
    stream.write("[")
    for number, row in enumerate(rows):
        stream.write(",\n" if number else "\n")
        json.dump(plain(row), stream)
    stream.write("\n]\n")


def write_parquet(rows: Iterable[Row], file: Path) -> None:
    """A Parquet file with typed columns."""
    # Imported here: pyarrow takes half a second, and only this format needs it.
    import pyarrow
    import pyarrow.parquet

    types = {
        **dict.fromkeys(
            ("job", "batch", "size", "operating_point", "result", "reused_from", "rejudged_from", "review"),
            pyarrow.int64(),
        ),
        **dict.fromkeys(("width", "height", "revision"), pyarrow.int32()),
        **dict.fromkeys(("tile_x", "tile_y", "tile_width", "tile_height"), pyarrow.int32()),
        **dict.fromkeys(("score", "novelty"), pyarrow.float64()),
        **dict.fromkeys(MOMENTS, pyarrow.timestamp("us", tz="UTC")),
    }
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for part in _parts(iter(rows), PARQUET_ROWS):
            writer.write_table(pyarrow.Table.from_pylist(part, schema))


def print_table(rows: Iterable[Row]) -> None:
    """The columns that a person reads, the first thousand rows."""
    table = Table("path", "disposition", "score", "label", "reason", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    table.columns[2].justify = "right"
    some = list(islice(rows, TABLE_ROWS + 1))
    for row in some[:TABLE_ROWS]:
        score = "" if row["score"] is None else f"{row['score']:.4f}"
        reason = f"{row['reason_code']}: {row['detail']}" if row["reason_code"] else ""
        cells = (shown(row["path"]), row["disposition"], score, shown(row["label"] or ""), shown(reason))
        style = _STYLES.get(Disposition(row["disposition"]))
        table.add_row(*(escape(cell) for cell in cells), style=style)
    terminal.print(table)
    if len(some) > TABLE_ROWS:
        say(f"These are the first {TABLE_ROWS}. For every row: --format csv, json or parquet.")


def plain(row: Row) -> Row:
    """The row as JSON holds it."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _parts(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while part := list(islice(rows, size)):
        yield part
