"""Do the commands that only read stay light, and does every error have its code?"""

import subprocess
import sys
from pathlib import Path

import pytest

from console.exits import _EXPECTED, ExitCode, exit_code
from db.errors import DatabaseAway, NotFound, Refused
from vision.checkpoint import CheckpointAltered
from vision.network import WeightsUnavailable
from vision.runtime import DeviceUnavailable

HEAVY = ("torch", "torchvision", "sklearn", "matplotlib", "pyarrow", "celery", "alembic")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["jobs", "list"],
        ["jobs", "show", "1"],
        ["results", "1"],
        ["models", "list"],
        ["trace", "1", "a"],
        ["agreement", "list"],
        ["audit", "verify"],
    ],
    ids=" ".join,
)
def test_a_command_that_only_reads_loads_nothing_heavy(words: list[str], tmp_path: Path, repository_root: Path) -> None:
    code = (
        "import sys\n"
        "from console.cli import main\n"
        "try: main(args=sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)\n"
    )
    environment = {"INSPECTQ_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    run = [sys.executable, "-c", code, *words]
    for _ in range(2):  # the first makes the database, for which alembic is needed
        done = subprocess.run(run, cwd=repository_root, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "loaded:"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), ExitCode.WRONG_USAGE),
        (Refused("x"), ExitCode.WRONG_USAGE),
        (DatabaseAway("x"), ExitCode.SERVICE_AWAY),
        (CheckpointAltered("x"), ExitCode.ENDED_BADLY),
        (WeightsUnavailable("x"), ExitCode.WRONG_USAGE),
        (DeviceUnavailable("x"), ExitCode.WRONG_USAGE),
        (FileNotFoundError("x"), ExitCode.ENDED_BADLY),
        (ZeroDivisionError("a fault of ours"), None),
    ],
)
def test_errors_end_with_their_documented_code(error: Exception, code: ExitCode | None) -> None:
    assert exit_code(error) == code


def test_every_name_that_a_code_hangs_on_exists() -> None:
    from importlib import import_module

    for name in _EXPECTED:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(import_module(module), kind), Exception)
