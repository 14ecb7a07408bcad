"""Does SECURITY.md name tests that exist, and say what has to be said?"""

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def document(repository_root: Path) -> str:
    return (repository_root / "SECURITY.md").read_text(encoding="utf-8")


def threats(document: str) -> list[list[str]]:
    """The rows of the table: threat, how it is met, which tests show it."""
    table = document.partition("## Threats")[2].partition("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_threat_is_met_and_shown_by_a_test(document: str) -> None:
    rows = threats(document)
    assert len(rows) >= 15
    for row in rows:
        assert len(row) == 3, row
        threat, met, shown = row
        assert threat
        assert met
        assert re.fullmatch(r"`tests/\S+\.py`(, `tests/\S+\.py`)*", shown), threat


def test_every_test_that_is_named_exists_and_tests(document: str, repository_root: Path) -> None:
    named = sorted(set(re.findall(r"`(tests/\S+\.py)`", document)))
    missing = [name for name in named if not (repository_root / name).exists()]
    assert not missing
    for name in named:
        assert re.search(r"^def test_", (repository_root / name).read_text(encoding="utf-8"), re.MULTILINE), name


def test_it_says_how_to_report_and_what_is_not_promised(document: str) -> None:
    for heading in ("Reporting a vulnerability", "Trusted", "Not trusted", "Threats", "Known limits"):
        assert f"\n## {heading}\n" in document
    assert "privately" in document


def test_the_readme_leads_to_it(repository_root: Path) -> None:
    assert "(SECURITY.md)" in (repository_root / "README.md").read_text(encoding="utf-8")
