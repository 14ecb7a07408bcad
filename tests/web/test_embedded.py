"""Is each submitted job inspected by a child, one after the other, and does none of them end the server?"""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from console.web.embedded import Embedded

LONGEST_SECONDS = 20.0


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for this program: it writes what it was asked, and ends as the job's number says."""
    script = tmp_path / "python"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, pathlib, time\n"
        "said = pathlib.Path(os.environ['SAID'])\n"
        "with said.open('a') as file: print(*sys.argv[1:], os.getpid(), file=file, flush=True)\n"
        "if sys.argv[-1] == '2': os.kill(os.getpid(), 11)\n"
        "if sys.argv[-1] == '3': time.sleep(600)\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return tmp_path / "said"


def lines(said: Path, number: int) -> list[list[str]]:
    """Waited for until there are so many."""
    give_up = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < give_up:
        found = said.read_text().splitlines() if said.exists() else []
        if len(found) >= number:
            return [line.split() for line in found]
        time.sleep(0.01)
    pytest.fail(f"{found} instead of {number} lines")


def test_jobs_are_gone_on_with_in_turn_and_one_that_ends_badly_ends_no_other(program: Path) -> None:
    with Embedded({"SAID": str(program)}) as embedded:
        for job in (1, 2, 1, 4):
            embedded.inspect(job)
        found = lines(program, 3)
    assert [words[2:5] for words in found] in (
        [["jobs", "retry", "1"], ["jobs", "retry", "2"], ["jobs", "retry", "4"]],
        [["jobs", "retry", "1"], ["jobs", "retry", "2"], ["jobs", "retry", "1"]],  # the first had ended by then
    )


def test_one_that_waits_or_runs_is_told_and_not_begun_twice(program: Path) -> None:
    with Embedded({"SAID": str(program)}) as embedded:
        embedded.inspect(3)
        found = lines(program, 1)
        embedded.inspect(3)
        embedded.inspect(5)
        assert (embedded.has(3), embedded.has(5), embedded.has(6)) == (True, True, False)
        process = int(found[0][-1])
        os.kill(process, 0)  # it runs
    with pytest.raises(ProcessLookupError):  # and was told to stop with the server
        os.kill(process, signal.SIGCONT)
    assert len(lines(program, 1)) == 1
