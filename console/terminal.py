"""How does text reach a person: results on standard output, everything else on standard error.

Whatever is printed here passes through db/display.py: a file name cannot colour, move or rewrite the terminal.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from db.display import shown, shown_lines

__all__ = ["err", "out", "progress_bar", "say", "shown"]

_WIDTH_WITHOUT_TERMINAL = 200  # a pipe has no width; a table for a file should not be cut at 80


@dataclass(frozen=True)
class _Harmless:
    """What is about to be printed, laid out by rich, with every character that acts spelled out."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in console.render(self.content, options):
            yield part if part.control else Segment(shown_lines(part.text), part.style)


class _Spelling(RenderHook):
    """The net under every `print` of a console: one that forgets `shown` is harmless all the same."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Harmless(content) for content in renderables]


def _console(*, stderr: bool = False, width: int | None = None) -> Console:
    made = Console(stderr=stderr, width=width, highlight=False, emoji=False)
    made.push_render_hook(_Spelling())
    return made


out = _console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL)
err = _console(stderr=True)


def say(*lines: str) -> None:
    """Tell the person something that is not the result. Never interprets markup: it may hold a file name."""
    for line in lines:
        err.print(shown(line), markup=False, soft_wrap=True)


class _Description(ProgressColumn):
    """What a bar is about, without markup: it may be a file name."""

    def render(self, task: Task) -> Text:
        return Text(shown(task.description))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress display on standard error."""
    columns = (
        _Description(),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield progress
