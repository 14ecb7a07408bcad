"""Are verdicts taken away whole, and does a file name stay text in a spreadsheet?"""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.results import defused, write_csv, write_json, write_parquet
from db.results import COLUMNS

FORMULAS = [
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-1+1|x",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\ufeff=1+1",
    "\u00a0=HYPERLINK(1)",
    "＝1+1",
    '"=1+1',
]


def row(**changes: Any) -> dict[str, Any]:
    texts = dict.fromkeys(COLUMNS, "text")
    numbers = {
        "job": 1,
        "batch": -2,
        "size": 10,
        "width": 4,
        "height": 3,
        "score": -0.25,
        "novelty": 1.5,
        "operating_point": 1,
    }
    others = {"novelty": 1.5, "revision": 1, "result": 9, "time": datetime(2026, 3, 4, tzinfo=UTC)}
    others |= {"reused_from": None, "rejudged_from": None, "review": 3, "reviewed_at": datetime(2026, 3, 5, tzinfo=UTC)}
    others |= {"tile_x": 0, "tile_y": 448, "tile_width": 448, "tile_height": 300}
    return {**texts, **numbers, **others, **changes}


def written(*rows: dict[str, Any]) -> str:
    stream = io.StringIO(newline="")
    write_csv(rows, stream)
    return stream.getvalue()


def cells(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("formula", FORMULAS, ids=ascii)
def test_a_formula_becomes_text_in_every_column_of_text(formula: str) -> None:
    columns = ("path", "label", "detail", "reason_code", "model", "worker", "device")
    header, values = cells(written(row(**dict.fromkeys(columns, formula))))
    line = dict(zip(header, values, strict=True))
    for column in columns:
        assert line[column].startswith("'"), column
        assert line[column].replace("'", "") == formula.replace("'", ""), "nothing else is changed"


def test_numbers_stay_numbers_and_plain_text_stays_plain() -> None:
    header, values = cells(written(row(path="line-1/a=b+c@d-e.jpg", label=None)))
    line = dict(zip(header, values, strict=True))
    assert (line["batch"], line["score"]) == ("-2", "-0.25")
    assert (line["path"], line["label"], line["time"]) == ("line-1/a=b+c@d-e.jpg", "", "2026-03-04T00:00:00+00:00")


def starts_a_formula(cell: str) -> bool:
    return cell.lstrip(' \t\r\n"\ufeff\u00a0').startswith(("=", "+", "-", "@")) or cell.startswith(("\t", "\r"))


@given(st.text(alphabet="=+-@a ;\t\r\n'\",\ufeff", max_size=12))
def test_no_cell_begins_a_formula_whichever_separator_a_spreadsheet_takes(path: str) -> None:
    text = written(row(path=path, job=1, batch=2, score=None))
    for delimiter in (",", ";", "\t"):
        for line in cells(text, delimiter):
            assert not any(starts_a_formula(cell) for cell in line), (delimiter, line)


@given(st.text(alphabet="=+-@a '", max_size=8))
def test_the_apostrophe_that_comes_first_is_ours(text: str) -> None:
    safe = defused(text)
    assert safe in (text, f"'{text}")
    assert (safe == text) or starts_a_formula(text.lstrip("' "))


def test_json_and_parquet_keep_the_text_as_it_is(tmp_path: Path) -> None:
    rows = [row(path=formula, batch=2) for formula in FORMULAS]
    stream = io.StringIO()
    write_json(rows, stream)
    assert [entry["path"] for entry in json.loads(stream.getvalue())] == FORMULAS
    write_parquet(rows, tmp_path / "r.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "r.parquet")["path"].to_pylist() == FORMULAS
