"""The commands with which a verdict is defended: trace, replay, bundle."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from console.exits import ExitCode
from console.options import FORMAT, LARGEST_ID
from console.tables import print_rows
from console.terminal import progress_bar, say
from db.engine import reading
from db.schema import open_database
from db.settings import settings

JOB = click.argument("job", type=click.IntRange(1, LARGEST_ID))


@click.command()
@JOB
@click.argument("path")
@FORMAT
def trace(job: int, path: str, as_format: str) -> None:
    """Everything that the verdict on PATH in JOB rests on: image, model, training, limits and who approved them.

    PATH is relative to the job's folder, or absolute, as `inspectq results` or the file system writes it.
    """
    from console.evidence.trace import fields, printed
    from db import lineage, resting
    from vision.runtimes import name_of

    with reading(open_database(settings().effective_database_url)) as session:
        found = lineage.trace(session, job, path, name_of)
        misfits = [misfit.says for misfit in resting.of_verdict(session, found)]
        click.echo(json.dumps(fields(found, misfits), indent=2) if as_format == "json" else printed(found, misfits))


@click.command()
@JOB
@click.option("--sample", type=click.IntRange(1, 10_000_000), metavar="N", help="So many images.  [default: 20]")
@click.option("--all", "everything", is_flag=True, help="Every image.")
@click.option("--seed", type=click.IntRange(0), help="The same seed draws the same images.  [default: a new one]")
@click.option("--limit", type=click.IntRange(0), default=1000, show_default=True, help="Differences to list.")
@FORMAT
def replay(job: int, sample: int | None, everything: bool, seed: int | None, limit: int, as_format: str) -> None:
    """Inspect images of JOB once more with the recorded model and runtime, and compare.

    Verifies each file's sha256 first. Exit 1 where a file is altered or missing, a score has changed, a verdict
    flipped, or an image is unreadable for another reason. That it was done becomes an audit event.
    """
    if everything and (sample is not None or seed is not None):
        raise click.UsageError("--all replays every image: --sample and --seed do not go with it.")
    say("Loading the model …")
    from console.evidence.replay import Drawn, replayed

    chosen = settings()
    engine = open_database(chosen.effective_database_url)
    drawn = Drawn.of(everything=everything, sample=sample, seed=seed)
    tally = replayed(engine, chosen, job, drawn, limit)
    if as_format == "json":
        click.echo(json.dumps(tally.fields(), indent=2))
    else:
        click.echo(tally.printed())
        if tally.listed:
            print_rows(tally.table(), as_format, empty="")
    if tally.refuted > len(tally.listed):
        say(f"{tally.refuted - len(tally.listed)} more differences are not listed: see --limit.")
    if not tally.recorded:
        say("This account may not write to the database: the replay is not among the audit events.")
    raise SystemExit(ExitCode.ENDED_BADLY if tally.refuted else ExitCode.DONE)


@click.command()
@JOB
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The zip file to write.")
def bundle(job: int, out: Path) -> None:
    """The evidence for an ended JOB in one zip file, which can be checked without inspectq; prints its sha256.

    Hand that on by another way: whoever has it needs not trust the one who brings the file.
    """
    from console.evidence.bundle import write_bundle
    from console.evidence.checksums import checksum_line
    from console.evidence.lot import warnings

    engine = open_database(settings().effective_database_url)
    with progress_bar() as progress:
        task = progress.add_task("Writing", total=None)
        lot = write_bundle(
            engine,
            job,
            out,
            made_at=datetime.now(UTC),
            on_file=lambda name: progress.update(task, description=f"Writing {name}"),
        )
    say(*warnings(lot))
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    click.echo(checksum_line(digest, os.fsencode(out.name)), nl=False)
    say(f"The evidence for job {job} is in {out}. How to check it: unzip -p {out} README.txt")
