"""What can be typed after `inspectq`?

Every command imports what it needs when it runs: `--help` and the commands that only read
never load torch.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

import click

from console.exits import ExitCode, exit_code, refuse_local
from db.display import paragraph, shown_lines

# command -> the module and the name of what runs it, in the order in which help lists them
_COMMANDS = {
    "demo": ("console.commands.demo", "demo", "Train, evaluate, scan and report on sample images; nothing needed."),
    "sample": ("console.commands.make", "sample", "Draw labelled sample photographs."),
    "dataset": ("console.commands.dataset", "dataset", "Look at labelled images; make them from decisions."),
    "train": ("console.commands.make", "train", "Train a model, evaluate the saved file, keep both."),
    "evaluate": ("console.commands.make", "evaluate", "Judge a model on labelled images."),
    "compare": ("console.commands.compare", "compare", "Hold two models against each other on labelled images."),
    "models": ("console.commands.make", "models", "List, show, approve and retire models."),
    "threshold": ("console.commands.sign_off", "threshold", "Propose, approve and show the limits of a model."),
    "study": ("console.commands.study", "study", "Does a model give the same verdicts again?"),
    "agreement": ("console.commands.agreement", "agreement", "Do reviewers agree, and does the model?"),
    "scan": ("console.commands.inspect", "scan", "Inspect every image below a folder."),
    "jobs": ("console.commands.inspect", "jobs_group", "List, show, cancel and retry jobs."),
    "results": ("console.commands.inspect", "show_results", "The verdicts of a job."),
    "rejudge": ("console.commands.sign_off", "rejudge", "Judge a job's scores by other limits."),
    "trace": ("console.commands.evidence", "trace", "Everything that one verdict rests on."),
    "replay": ("console.commands.evidence", "replay", "Inspect a job's images once more, and compare."),
    "bundle": ("console.commands.evidence", "bundle", "The evidence for a job in one file, for anybody to check."),
    "report": ("console.commands.inspect", "report", "One HTML file about a job or an evaluation."),
    "audit": ("console.commands.audit", "audit_group", "Recount every job and walk the chain of events."),
    "web": ("console.commands.operate", "web", "Jobs, images and review in a browser."),
    "users": ("console.commands.people", "users", "Who may sign in to the console, and as what."),
    "tokens": ("console.commands.people", "tokens", "By which programs ask the console."),
    "worker": ("console.commands.operate", "worker", "Inspect batches from the queue until stopped."),
    "scheduler": ("console.commands.operate", "scheduler", "Plan, dispatch and finish jobs until stopped."),
    "flower": ("console.commands.operate", "flower", "Watch the workers in a browser."),
    "up": ("console.commands.operate", "up", "Run the whole cluster as local processes."),
    "health": ("console.commands.operate", "health", "Is a scheduler or worker of this host alive?"),
    "db": ("console.commands.operate", "db", "Make or upgrade the tables."),
}


# What stands in for them where INSPECTQ_API_URL names a console, and what needs no database.
_REMOTE = {
    "scan": ("console.commands.remote", "scan"),
    "jobs": ("console.commands.remote", "jobs_group"),
    "results": ("console.commands.remote", "show_results"),
    "trace": ("console.commands.remote", "trace"),
    "models": ("console.commands.remote", "models"),
}
_ANYWHERE = ("demo", "sample")


class _Commands(click.Group):
    """Loads a command's module when the command is used, not when help lists it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _place(cmd_name)
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in _COMMANDS.items()])


def _place(command: str) -> tuple[str, str]:
    """Module and name of what runs it. Raises UsageError where it works on a database and a console is named."""
    module, name, _ = _COMMANDS[command]
    if not os.environ.get("INSPECTQ_API_URL") or command in _ANYWHERE:
        return module, name
    if command not in _REMOTE:
        refuse_local(command)
    return _REMOTE[command]


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"inspectq {version('inspectq')}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Its version."
)
def cli() -> None:
    """Batch visual inspection: every submitted image has exactly one verdict that can be traced.

    Exit codes: 0 done, 1 the job ended badly, 2 wrong usage, 3 a service is away, 130 stopped with Ctrl-C.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command; an error that a person can act on is one sentence on standard error."""
    try:
        code = cli.main(args, prog_name="inspectq", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _complain(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("inspectq: stopped", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.DONE)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            print(f"inspectq: {paragraph(traceback.format_exc())}", file=sys.stderr)
            sys.exit(ExitCode.ENDED_BADLY)
        print(f"inspectq: {paragraph(str(error))}", file=sys.stderr)
    sys.exit(code or ExitCode.DONE)


def _complain(error: click.ClickException) -> None:
    """What click says about wrong usage, in which what was typed (or filled in by the shell) cannot act."""
    told = io.StringIO()
    error.show(told)
    usage, mark, message = told.getvalue().rstrip("\n").expandtabs(2).partition("Error: ")
    print(shown_lines(usage) + mark + paragraph(message), file=sys.stderr)


if __name__ == "__main__":
    main()
