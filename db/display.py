r"""How does text of strangers' making reach a person without acting on the terminal or the log it is shown in?

File names, labels and messages may hold escape sequences (which colour, move and rewrite a terminal), line breaks
(which forge lines of a log) and bidirectional controls (which show `gnp.exe` as `exe.png`; "Trojan Source", 2021).
Each such character is spelled out, as Python writes it: `\x1b`, `\n`, `\u202e`.
"""

import copy
import logging
import sys
from types import TracebackType

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MARGIN = "  "  # before every line of an entry but its first
# Celery's formats name the task that logs. Where none does, they show what Celery shows.
_TASK_FIELDS = {"task_name": "???", "task_id": "???"}
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def shown(text: str) -> str:
    """`text` on one line, in which nothing acts: what is not printable, line breaks too, is spelled out."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def shown_lines(text: str) -> str:
    """Text of several lines, our own line breaks kept: each line as `shown` writes it."""
    return "\n".join(shown(line) for line in text.split("\n"))


def paragraph(text: str) -> str:
    """Like `shown_lines`, with all but the first line indented: none can pass for a message of its own."""
    first, *others = shown_lines(text.rstrip("\n")).split("\n")
    return "\n".join([first, *(line if line.startswith(_MARGIN) else _MARGIN + line for line in others)])


class SingleLine(logging.Formatter):
    """One line per record, without colours; a traceback's own lines follow, indented."""

    def __init__(self, fmt: str = LOG_FORMAT, datefmt: str | None = None) -> None:
        super().__init__(fmt, datefmt, defaults=_TASK_FIELDS)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text. What another handler has made of its traceback is not taken over."""
        own = copy.copy(record)
        if own.exc_info:
            own.exc_text = None
        elif own.exc_text:  # of another process: all that is left of the traceback
            own.exc_text = _indented(own.exc_text)
        return super().format(own)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line of the message."""
        return shown(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802
        """The lines of the traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The lines of the call stack."""
        return _indented(super().formatStack(stack_info))


def log_single_lines(logger: logging.Logger) -> None:
    """Let every handler that `logger` has now write single lines, in the format it has."""
    for handler in logger.handlers:
        format_of = handler.formatter
        fmt = getattr(format_of, "_fmt", None) or LOG_FORMAT
        handler.setFormatter(SingleLine(fmt, format_of.datefmt if format_of else None))


def log_to_stderr(level: str) -> None:
    """Write the log of this process to standard error, a line per record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SingleLine())
    logging.basicConfig(level=level, handlers=[handler])


def _indented(text: str) -> str:
    return "\n".join(_MARGIN + shown(line) for line in text.split("\n"))
