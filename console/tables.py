"""How are a few rows or the fields of one thing shown: to a person as a table, to a script as JSON?"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from console.terminal import out, say, shown


def print_rows(rows: Sequence[Mapping[str, Any]], as_format: str, *, empty: str) -> None:
    """`rows` as a table whose columns are their keys, or as a JSON array; `empty` is said where there are none."""
    if as_format == "json":
        click.echo(json.dumps([dict(row) for row in rows], indent=2))
        return
    if not rows:
        say(empty)
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def print_fields(fields: Mapping[str, Any], as_format: str) -> None:
    """One thing: a line per field, or a JSON object."""
    if as_format == "json":
        click.echo(json.dumps(fields, indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name, _cell(value))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        short = f"{value:.4g}"  # but a limit just below 1 is not 1
        return short if float(short) not in (0.0, 1.0) or float(short) == value else f"{value:.10g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(shown(str(name)))} {_cell(part)}" for name, part in value.items())
    if isinstance(value, list):
        numbers = all(isinstance(part, int | float) for part in value)
        return (" " if numbers else "\n").join(_cell(part) for part in value)
    return escape(shown(str(value)))
