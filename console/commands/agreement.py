"""The commands that ask whether people agree: agreement start, list, show."""

import json
from pathlib import Path
from typing import Any

import click

from console.options import FORMAT, LARGEST_ID
from console.terminal import say, shown
from db.engine import reading, writing
from db.schema import open_database
from db.settings import settings


@click.group()
def agreement() -> None:
    """Do reviewers agree with themselves, with each other and with what is known, and does the model?"""


@agreement.command()
@click.argument("job", type=click.IntRange(1, LARGEST_ID))
@click.option("--reviewer", "reviewers", multiple=True, required=True, help="A name as they sign in; 2 to 5 of them.")
@click.option("--images", type=int, help="At most, half of them ones that did not pass.  [default: 50, or all of FILE]")
@click.option("--trials", type=int, default=2, show_default=True, help="How often each person sees each image: 1 to 3.")
@click.option(
    "--reference",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What is known: a table of the columns path and label, PASS or FAIL. The images are those of it.",
)
def start(job: int, reference: Path | None, **chosen: Any) -> None:
    """Have several people answer about the same images of JOB, each more than once; prints the study's number.

    Whoever is named answers in a browser (`inspectq web`), in an order of their own.
    """
    from console.agreement import read_reference
    from db import agreements, people
    from db.models import Role
    from scheduler.submission import person

    known = None if reference is None else read_reference(reference)
    new = agreements.NewStudy(job=job, reference=known, created_by=person(), **chosen)
    with writing(open_database(settings().effective_database_url)) as session:
        people.refuse_unable(session, [name.strip() for name in new.reviewers], Role.INSPECTOR)
        study = agreements.start(session, new).id
    click.echo(study)
    say(f"Next: inspectq web, and each reviewer opens /agreements/{study}; then inspectq agreement show {study}")


@agreement.command("list")
@FORMAT
def list_studies(as_format: str) -> None:
    """The studies, newest first, and how far each reviewer is."""
    from console.agreement import summary
    from console.tables import print_rows
    from db import agreements

    with reading(open_database(settings().effective_database_url)) as session:
        rows = [summary(session, study) for study in agreements.every(session)]
    if as_format == "table":
        for row in rows:
            row["progress"] = [f"{shown(one['reviewer'])} {one['answered']} of {one['of']}" for one in row["progress"]]
    print_rows(rows, as_format, empty="There is none.")


@agreement.command()
@click.argument("study", type=click.IntRange(1, LARGEST_ID))
@FORMAT
def show(study: int, as_format: str) -> None:
    """What STUDY came to, with bounds; until everybody is through, how far they are."""
    from console.agreement import facts, printed

    with reading(open_database(settings().effective_database_url)) as session:
        told = facts(session, study)
    click.echo(json.dumps(told, indent=2) if as_format == "json" else printed(told))
