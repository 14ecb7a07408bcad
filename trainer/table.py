"""What stands in a table that a person wrote: which cells on which line, and which image does a path mean?"""

import csv
import os
from pathlib import Path

from trainer.errors import DatasetError


def read_table(path: Path, what: str, refusal: type[DatasetError]) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not blank; `refusal` where `what`, the file, cannot be read."""
    lines = read_text(path, what, refusal).splitlines()
    filled = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not filled:
        raise refusal(f"The {what} {path} is empty.")
    sample = filled[min(1, len(filled) - 1)][1]
    delimiter = next((sign for sign in ("\t", ";", ",") if sign in sample), " ")
    parted = csv.reader((line for _, line in filled), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(number, [cell.strip() for cell in cells]) for (number, _), cells in zip(filled, parted, strict=True)]
    except (ValueError, csv.Error):
        raise refusal(f"The {what} {path} has a quotation mark that its line does not close.") from None


def read_text(path: Path, what: str, refusal: type[DatasetError]) -> str:
    """The whole file; bytes that are not UTF-8 as surrogates."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as fault:
        raise refusal(f"The {what} cannot be read: {fault}.") from fault


def located(root: Path, table: Path, written: str) -> str:
    """The path that is written in a table, relative to `root`: it may also be relative to the table's own folder."""
    for base in (root, table.parent):
        if (base / written).is_file():
            return Path(os.path.relpath(base / written, root)).as_posix()
    return Path(written).as_posix()  # a missing file: whoever looks for it will say so, by name
