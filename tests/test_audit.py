"""Does `make audit` say so where the packages could not be audited, instead of passing?

pip-audit's answers are given by small programs: what it prints was taken from it, against a mirror that knows no
advisories and without any network.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

WEAK = {"id": "PYSEC-1", "fix_versions": ["2"], "aliases": [], "description": ""}
MIRROR = "Dependency not found on PyPI and could not be audited: click (8.5.1)"


def audit(repository_root: Path, answer: str, *, status: int = 0) -> subprocess.CompletedProcess[str]:
    stand_in = f"import sys; print({answer!r}); sys.exit({status})"
    command = [sys.executable, ".ci/audit.py", "requirements/dev.txt", sys.executable, "-c", stand_in]
    return subprocess.run(command, cwd=repository_root, capture_output=True, text=True, check=False)


def packages(*entries: dict[str, Any]) -> str:
    return json.dumps({"dependencies": [{"name": "click", "version": "1", **entry} for entry in entries], "fixes": []})


@pytest.mark.parametrize(
    ("answer", "status", "code", "says"),
    [
        (packages({"vulns": []}, {"vulns": []}), 0, 0, "2 packages, and no known weakness"),
        (packages({"vulns": []}, {"vulns": [WEAK]}), 1, 1, "click 1: PYSEC-1, mended in 2"),
        (packages({"vulns": []}, {"skip_reason": MIRROR}), 0, 3, "NOT AUDITED"),
        (packages({"vulns": [WEAK]}, {"skip_reason": MIRROR}), 1, 1, "PYSEC-1"),
        (packages(), 0, 3, "NOT AUDITED"),
        ("requests.exceptions.ConnectionError: Max retries exceeded", 1, 3, "NOT AUDITED"),
        ("", 0, 3, "NOT AUDITED"),
    ],
    ids=["none", "weak", "mirror", "weak and mirror", "nothing looked at", "no network", "silence"],
)
def test_only_a_full_answer_counts(repository_root: Path, answer: str, status: int, code: int, says: str) -> None:
    done = audit(repository_root, answer, status=status)
    assert done.returncode == code
    assert says in done.stdout + done.stderr


def test_a_missing_pip_audit_is_no_success(repository_root: Path) -> None:
    command = [sys.executable, ".ci/audit.py", "requirements/dev.txt", "/nowhere/uvx"]
    done = subprocess.run(command, cwd=repository_root, capture_output=True, text=True, check=False)
    assert (done.returncode, "NOT AUDITED" in done.stderr) == (3, True)


def test_the_security_rules_hold_in_every_package_without_exception(repository_root: Path) -> None:
    lint = tomllib.loads((repository_root / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if rule.startswith("S") and rule[1:].isdigit()]
    for files, rules in lint["per-file-ignores"].items():
        security = [rule for rule in rules if re.fullmatch(r"S\d*", rule)]
        assert "S" not in security, files
        assert not security or files == "tests/**", files


def test_every_line_that_is_excepted_from_a_security_rule_says_why(repository_root: Path) -> None:
    excepted = re.compile(r"# noqa: (?:[A-Z]+\d+, )*S\d+(?:, [A-Z]+\d+)*(?P<reason>.*)")
    found = 0
    for package in ("db", "vision", "trainer", "worker", "scheduler", "console", ".ci", "benchmarks"):
        for path in (repository_root / package).rglob("*.py"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if match := excepted.search(line):
                    found += 1
                    assert re.search(r"\w{2}", match["reason"]), f"{path}: {line.strip()}"
    assert found >= 8
