"""Can a file name, a label or a message act on the terminal or the log it is shown in?"""

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.display import SingleLine, log_single_lines, paragraph, shown, shown_lines

FORGED = "a.png\n2026-01-01 00:00:00,000 INFO scheduler.loop: job 1 is done"
HOSTILE = {
    "colours": "\x1b[31mred\x1b[0m.png",
    "title": "\x1b]0;owned\x07.png",
    "C1 control": "\x9b2J.png",
    "rewrites": "bad.png\rgood.png",
    "backspaces": "bad\x08\x08\x08ok",
    "two lines": FORGED,
    "next line": "a\x85b\u2028c\u2029d\x0be\x0cf",
    "bidi override": "photo\u202egnp.exe",
    "bidi isolate": "\u2066a\u2069\u200f\u200e\u061c",
    "invisible": "a\u200bb\ufeff\u00ad",
    "not UTF-8": "caf\udcff.png",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_acts_is_left(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text).splitlines()) == 1


@settings(max_examples=40)
@given(st.text())
def test_every_text_becomes_one_printable_line_and_printable_text_stays(text: str) -> None:
    assert shown(text).isprintable()
    assert shown(shown(text)) == shown(text)
    assert shown_lines(text).count("\n") == text.count("\n")
    shown(text).encode("utf-8")


def test_what_is_harmless_is_left_as_it_is() -> None:
    for text in ("plain.png", "Düse 3 – rechts.jpg", "部品.png", r"caf\xff.png", ""):
        assert shown(text) == text


def test_a_character_is_spelled_as_python_writes_it() -> None:
    assert shown("\x1b[31m\n\u202e\x9b") == r"\x1b[31m\n\u202e\x9b"


def test_a_message_of_several_lines_stays_one_message() -> None:
    assert paragraph("Its log ends:\n  died\nforged\x1b") == "Its log ends:\n  died\n  forged\\x1b"


def record(message: str, *args: object, fault: BaseException | None = None) -> logging.LogRecord:
    about = (type(fault), fault, fault.__traceback__) if fault else None
    return logging.LogRecord("worker.tasks", logging.WARNING, "x.py", 1, message, args, about)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_log_record_is_one_line_without_colours(text: str) -> None:
    line = SingleLine().format(record("%s was refused", text))
    assert line.isprintable()
    assert line.endswith(f"WARNING worker.tasks: {shown(text)} was refused")


def test_a_traceback_keeps_its_lines_each_indented_and_none_forged() -> None:
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        lines = SingleLine().format(record("batch 7", fault=error)).splitlines()
    assert lines[0].endswith("batch 7")
    assert lines[1] == "  Traceback (most recent call last):"
    assert any("test_display.py" in line for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])


def test_another_handlers_traceback_is_not_taken_over() -> None:
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        shared = record("batch 7", fault=error)
    logging.Formatter().format(shared)
    assert "\x1b" not in SingleLine().format(shared)
    shared.exc_info = None  # as it arrives from another process
    assert "\x1b" not in SingleLine().format(shared)
    assert "\\x1b[2J" in SingleLine().format(shared)


def test_the_handlers_of_a_logger_keep_their_format() -> None:
    stream, logger = io.StringIO(), logging.Logger("own")
    logger.addHandler(logging.StreamHandler(stream))
    logger.handlers[0].setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    log_single_lines(logger)
    logger.warning("a\nb")
    assert stream.getvalue() == "[WARNING] a\\nb\n"


def test_a_workers_log_is_set_up_so_by_celery_itself(repository_root: Path) -> None:
    code = (
        "import logging, sys\n"
        "from celery.utils.log import get_task_logger\n"
        "from billiard.util import get_logger\n"
        "from worker.app import app\n"
        "app.log.setup('INFO', colorize=True)\n"
        "for log in (logging.getLogger('worker.lease'), get_task_logger('x'), get_logger()):\n"
        "    log.error('\\x1b[31m%s', sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, FORGED], cwd=repository_root, capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() and line.endswith(shown(FORGED)) and "ERROR" in line for line in lines)
