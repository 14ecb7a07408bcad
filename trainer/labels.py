"""Which image has which label, by a labels file?

The file is CSV (comma, semicolon or tab) or blank-separated, with or without a header. The path column is
the one whose cells end like image files; the label column is the one named so, or the one that follows.
Both can be given, by name or by number counted from 1.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer.errors import LabelsError
from trainer.table import read_table
from vision.suffixes import IMAGE_SUFFIXES

_LABEL_NAMES = ("label", "labels", "class", "target", "verdict", "y", "category", "defect", "defective")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, kw_only=True)
class LabelsFile:
    """A labels file and how to read it; what is None is found."""

    path: Path
    path_column: str | None = None  # a header's name, or a number counted from 1
    label_column: str | None = None
    positive_if: str | None = None  # a condition such as '>=0.5'; what meets it is defective
    group_column: str | None = None  # images with the same cell stay together; one without stands alone


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One line: a path as written there, and its label."""

    path: str
    label: str
    line: int
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A label is defective where `label <symbol> operand` holds; a text can only be equal or not."""

    symbol: str
    operand: str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        bare = text.strip()
        symbol = next((symbol for symbol in sorted(_OPERATORS, key=len, reverse=True) if bare.startswith(symbol)), "")
        operand = bare.removeprefix(symbol).strip()
        if symbol and operand:
            return cls(symbol=symbol, operand=operand)
        raise LabelsError(f"--positive-if {text!r} is no condition: write one such as '>=0.5' or '!=ok'.")

    def holds(self, row: LabelRow) -> bool:
        label, operand = _number(row.label), _number(self.operand)
        if label is not None and operand is not None:
            return _OPERATORS[self.symbol](label, operand)
        if self.symbol in ("==", "!=") and operand is None:
            return (row.label == self.operand) == (self.symbol == "==")
        raise LabelsError(
            f"line {row.line} of the labels file: {row.label!r} cannot be compared with "
            f"--positive-if {self.symbol}{self.operand}: it is not a number."
        )


def read_labels(file: LabelsFile) -> list[LabelRow]:
    """Every line that names an image, in the file's order; LabelsError where it cannot be understood."""
    table = read_table(file.path, "labels file", LabelsError)
    first = table[0][1]
    body = table if any(_names_image(cell) for cell in first) else table[1:]
    header = [] if body is table else first
    if not body:
        raise LabelsError(f"{file.path} holds a header and nothing else: there is no image to train on.")
    path_at = _column(file.path_column, header, "--path-column")
    if path_at is None:
        path_at = _path_column(file.path, body)
    label_at = _column(file.label_column, header, "--label-column")
    if label_at is None:
        label_at = _label_column(header, path_at, width=len(body[0][1]))
    group_at = _column(file.group_column, header, "--group column")
    if group_at is not None and all(group_at >= len(cells) for _, cells in body):
        raise LabelsError(f"--group column:{file.group_column}: no line of {file.path} has so many columns.")
    rows = []
    for line, cells in body:
        if len(cells) <= max(path_at, label_at):
            raise LabelsError(f"{file.path}, line {line}: expected a path and a label, found {cells!r}.")
        group = cells[group_at] if group_at is not None and group_at < len(cells) else ""
        rows.append(LabelRow(path=cells[path_at], label=cells[label_at], line=line, group=group or None))
    return rows


def _names_image(cell: str) -> bool:
    return PurePosixPath(cell).suffix.lower() in IMAGE_SUFFIXES


def _column(given: str | None, header: Sequence[str], option: str) -> int | None:
    if given is None:
        return None
    if given in header:
        return header.index(given)
    if given.isdigit() and int(given) > 0:
        return int(given) - 1
    found = ", ".join(header) if header else "none, it has no header: give the column's number, from 1"
    raise LabelsError(f"{option} {given!r}: the labels file has no such column (columns: {found}).")


def _path_column(path: Path, body: Sequence[tuple[int, list[str]]]) -> int:
    for at in range(len(body[0][1])):
        if sum(at < len(cells) and _names_image(cells[at]) for _, cells in body) * 2 > len(body):
            return at
    raise LabelsError(f"No column of {path} looks like image files: say which with --path-column.")


def _label_column(header: Sequence[str], path_at: int, width: int) -> int:
    named = [at for at, name in enumerate(header) if name.lower() in _LABEL_NAMES and at != path_at]
    certain = [at for at in named if header[at].lower() == _LABEL_NAMES[0]]  # beside it "defect" may name the kind
    if len(certain or named) == 1:
        return (certain or named)[0]
    others = [at for at in range(width) if at != path_at]
    if len(others) == 1:
        return others[0]
    if header or path_at + 1 >= width:
        shown = ", ".join(header) if header else f"1 to {width}"
        raise LabelsError(f"Which column holds the label? Say it with --label-column (columns: {shown}).")
    return path_at + 1


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
