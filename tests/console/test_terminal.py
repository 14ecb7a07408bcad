"""Does everything that a person sees pass by what makes hostile text harmless?"""

import io
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from console import terminal
from console.tables import print_fields, print_rows
from console.terminal import progress_bar, say
from db.engine import writing
from db.models import InspectionJob
from db.schema import open_database
from tests.rows import add_job, inspect_all

ACTS = "\x1b[31mred\u202egnp\n\x9b2J\r"
SPELLED = r"\x1b[31mred\u202egnp\n\x9b2J\r"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What both consoles print, as a terminal that knows no colours of our own would get it."""
    stream = io.StringIO()
    for name in ("out", "err"):
        monkeypatch.setattr(getattr(terminal, name), "_file", stream)
    return stream


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_numbers_that_belong_together_stay_on_one_line(screen: io.StringIO) -> None:
    print_fields({"preprocessing": {"mean": [0.485, 0.456]}, "named": ["one", "two"]}, "table")
    assert [line.rstrip() for line in screen.getvalue().splitlines()] == [
        "preprocessing  mean 0.485 0.456",
        "named          one",
        "               two",
    ]


def test_what_is_said_is_one_line_each(screen: io.StringIO) -> None:
    say(f"The report is in {ACTS}", "second [bold]line")
    assert screen.getvalue() == f"The report is in {SPELLED}\nsecond [bold]line\n"


@pytest.mark.parametrize("console", [terminal.out, terminal.err], ids=["out", "err"])
def test_a_print_that_forgot_to_spell_is_harmless_all_the_same(console: Console, screen: io.StringIO) -> None:
    table = Table("path")
    table.add_row(ACTS)
    console.print(ACTS, table, markup=False)
    assert harmless(screen.getvalue())
    assert r"\x1b[31mred\u202egnp" in screen.getvalue()


def test_colours_of_our_own_are_kept() -> None:
    stream = io.StringIO()
    own = Console(file=stream, force_terminal=True, color_system="standard", _environ={})
    own.push_render_hook(terminal._Spelling())
    own.print("[red]FAIL[/red]")
    assert stream.getvalue() == "\x1b[31mFAIL\x1b[0m\n"


def test_tables_spell_names_values_and_keys(screen: io.StringIO) -> None:
    print_rows([{"name": ACTS, "counts": {ACTS: 1}, "list": [ACTS]}], "table", empty="")
    print_fields({"model": ACTS, "confusion_matrix": {f"{ACTS} as ok": 3}}, "table")
    assert harmless(screen.getvalue())


def test_a_progress_bar_spells_what_it_is_about_and_reads_no_markup(screen: io.StringIO) -> None:
    with progress_bar() as progress:
        progress.add_task(f"[bold]{ACTS}", total=1)
    assert harmless(screen.getvalue())
    assert r"[bold]\x1b[31mred" in screen.getvalue()


def on_a_terminal(words: list[str], home: Path) -> str:
    """What a command writes on a terminal, a pseudo one, on both its standard streams."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (50, 200))
    environment = os.environ | {"INSPECTQ_HOME": str(home), "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "console.cli", *words]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    written = b""
    try:
        while part := os.read(leader, 65536):
            written += part
    except OSError:  # the last writer has closed it
        pass
    finally:
        os.close(leader)
    process.wait()
    return written.decode("utf-8").replace("\r\r\n", "\n").replace("\r\n", "\n")  # as the terminal, and csv, end lines


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A database with a hostile file name, label, reason and folder."""
    engine = open_database(f"sqlite:///{tmp_path / 'inspectq.db'}")
    job = add_job(engine, [[f"{ACTS}.png"]], root=f"/images/{ACTS}")
    inspect_all(engine)
    with writing(engine) as session:
        found = session.get(InspectionJob, job)
        assert found is not None
        found.state_reason = ACTS
    engine.dispose()
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["results", "1"],
        ["results", "1", "--format", "csv"],
        ["jobs", "show", "1"],
        ["scan", f"/nowhere/{ACTS}"],
        [ACTS],
    ],
    ids=lambda words: " ".join(words).replace(ACTS, "…"),
)
def test_no_command_lets_a_name_act_on_a_terminal(words: list[str], home: Path) -> None:
    seen = on_a_terminal(words, home)
    assert harmless(seen), ascii(seen)
    assert "red" in seen, "the name is shown, and harmless"


def test_a_fault_of_ours_is_shown_with_its_traceback_and_without_acting(tmp_path: Path) -> None:
    code = (
        "import console.terminal, sys\n"
        "from console import cli\n"
        "def fault(*a, **k): raise ZeroDivisionError(sys.argv[1])\n"
        "cli.cli.main = fault\n"
        "cli.main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, ACTS], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert harmless(done.stderr)
    first, *rest = done.stderr.splitlines()
    assert first == "inspectq: Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)
    assert "ZeroDivisionError" in rest[-2] + rest[-1]
