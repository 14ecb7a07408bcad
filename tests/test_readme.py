"""Do README and the walks in docs/ say what is? Commands, settings, reasons, columns, queries: checked."""

import base64
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import text

from console.cli import cli
from db.engine import Engine, connect, reading
from db.models import Disposition, JobState
from db.results import COLUMNS
from db.schema import upgrade
from db.settings import Settings
from scheduler.webhooks import Message, headers
from tests.rows import add_job, inspect_all
from tests.tampering import tampering
from vision.faults import Reason

OTHERS_OPTIONS = re.compile(r"sha256sum |docker |celery |--profile gpu")  # of programs that are not ours


@pytest.fixture(scope="session")
def readme(repository_root: Path) -> str:
    return (repository_root / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that can be typed, as words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that `words` begin with, and the rest of them."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
def test_every_command_is_in_the_table(readme: str, words: tuple[str, ...]) -> None:
    table = readme[readme.index("## Commands") : readme.index("## The cluster")]
    assert re.search(rf"`inspectq {' '.join(words)}[ `]", table)


@pytest.mark.parametrize(("document", "at_least"), [("README.md", 20), ("docs/sign-off.md", 20), ("docs/review.md", 4)])
def test_every_command_line_can_be_typed(
    repository_root: Path, document: str, at_least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photographs/test").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    text = (repository_root / document).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?:docker compose exec \w+ )?(inspectq [^#`\n]+)", text, flags=re.MULTILINE)
    assert len(lines) >= at_least
    for line in lines:
        command, rest = resolve(shlex.split(line)[1:])
        try:
            command.make_context(line, rest)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("document", ["README.md", "docs/sign-off.md", "docs/review.md"])
def test_every_option_that_is_named_in_a_sentence_exists(repository_root: Path, document: str) -> None:
    known = {
        name
        for words in commands(cli)
        for parameter in resolve(list(words))[0].params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    text = (repository_root / document).read_text(encoding="utf-8")
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    named = {word for span in spans if not OTHERS_OPTIONS.match(span) for word in re.findall(r"--[a-z][a-z-]+", span)}
    assert named <= known | {"--help"}


def test_every_make_target_is_there(readme: str, repository_root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (repository_root / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)`?$", readme, flags=re.MULTILINE)) <= targets
    for target in targets:
        assert f"make {target}" in readme


def test_the_table_of_settings_is_the_code(readme: str) -> None:
    rows = re.findall(r"^\| `(INSPECTQ_\w+)` \| (?:`(.*?)`)? ?\| (.*) \|$", readme, flags=re.MULTILINE)
    assert rows == [
        (f"INSPECTQ_{name.upper()}", str(field.default).replace("False", "false"), field.description)
        for name, field in Settings.model_fields.items()
    ]


def test_the_table_of_reasons_is_the_code(readme: str) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", readme, flags=re.MULTILINE)
    assert rows == [(reason.value, reason.explanation) for reason in Reason]


def test_every_column_of_a_result_is_listed_in_order(readme: str) -> None:
    listed = readme[readme.index("A row of `inspectq results`") : readme.index("## Asking the database")]
    assert ", ".join(f"`{name}`" for name in COLUMNS) in " ".join(listed.split())


def queries(repository_root: Path) -> list[str]:
    return re.findall(r"```sql\n(.*?)```", (repository_root / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_query_runs_on_both_databases(database_url: str, repository_root: Path) -> None:
    engine: Engine = connect(database_url)
    upgrade(engine)
    job = add_job(engine, [["line-1/a.jpg", "line-1/b.jpg"], ["line-2/c.jpg", "d.jpg"]])
    inspect_all(engine, Disposition.FAIL)
    with tampering(engine) as session:
        session.execute(text("UPDATE inspection_result SET disposition = 'PASS' WHERE path = 'line-1/a.jpg'"))
    answers = []
    with reading(engine) as session:
        for query in queries(repository_root):
            answers.append([tuple(row) for row in session.execute(text(query.replace(":", r"\:")))])
    per_folder, of_checkpoint, history, unclosed, matrix = answers
    assert [(row[0], row[1], row[2], float(row[3])) for row in sorted(per_folder, key=lambda row: row[1])] == [
        (job, "", 1, 100.0),
        (job, "line-1/", 2, 50.0),
        (job, "line-2/", 1, 100.0),
    ]
    assert len(of_checkpoint) == len(history) == 4
    assert unclosed == matrix == []
    engine.dispose()


def test_the_receiver_that_is_printed_knows_our_signature_and_no_other(readme: str) -> None:
    (printed,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(printed.splitlines()) <= 10
    made: dict[str, Any] = {}
    exec(printed, made)  # noqa: S102 - our own text
    is_ours, secret, now = made["is_ours"], f"whsec_{base64.b64encode(b'k' * 32).decode()}", int(time.time())
    message = Message(id="job-7-done-81", body=b'{"type":"job.done"}', state=JobState.DONE, revision=1)
    sent = headers(message, b"k" * 32, now)
    assert is_ours(secret, sent, message.body)
    assert not is_ours(secret, sent, message.body + b" ")
    assert not is_ours(secret, sent | {"webhook-id": "job-8-done-82"}, message.body)
    assert not is_ours(secret, sent | {"webhook-timestamp": str(now + 1)}, message.body)
    assert not is_ours(secret.replace("a", "b"), sent, message.body)
    assert not is_ours(secret, headers(message, b"k" * 32, now - 600), message.body), "an old one, sent again"
