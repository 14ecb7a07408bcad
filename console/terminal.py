"""How does text reach a person: results on standard output, everything else on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_WIDTH_WITHOUT_TERMINAL = 200  # a pipe has no width; a table for a file should not be cut at 80

out = Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


def say(text: str) -> None:
    """Tell the person something that is not the result. Never interprets markup: it may hold a file name."""
    err.print(text, markup=False, soft_wrap=True)


def shown(text: str) -> str:
    """A file name as it may safely be shown: control characters spelled out, so none reaches the terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress display on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield progress
