"""The commands about jobs and verdicts: scan, jobs, results, report."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from console.exits import ExitCode
from console.options import FORMAT, LARGEST_ID, Composed
from console.results import Format, write
from console.terminal import say
from db import jobs, results
from db.engine import Engine, reading, writing
from db.errors import NotFound, ServiceAway
from db.models import OPEN_JOBS, Disposition, ModelStatus
from db.schema import open_database
from db.settings import settings
from vision.runtimes import RUNTIMES

JOB = click.argument("job", type=click.IntRange(1, LARGEST_ID))


SUBMISSION_OPTIONS = Composed(
    click.option("--model", help="Name, id or digest prefix.  [default: the newest approved one]"),
    click.option(
        "--priority", type=click.IntRange(-1000, 1000), default=0, show_default=True, help="Higher goes first."
    ),
    click.option(
        "--reuse/--no-reuse",
        default=True,
        show_default=True,
        help="Take over the verdict on an identical file by the same model, limits and runtime.",
    ),
    click.option(
        "--runtime",
        type=click.Choice(["auto", *RUNTIMES]),
        default="auto",
        show_default=True,
        help="What the network is computed with. auto: the fastest that was accepted for the model and the device.",
    ),
    click.option(
        "--audit-rate",
        type=click.FloatRange(0, 1, min_open=True),
        help="Of the images that pass, a random sample of this share comes before people, who are not told.",
    ),
    click.option(
        "--notify", metavar="URL", help="Is told of the job's end, by a signed POST. See INSPECTQ_WEBHOOK_HOSTS."
    ),
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@SUBMISSION_OPTIONS
@click.option("--wait", is_flag=True, help="Wait for the end and show the ledger. Without a broker, scan always does.")
@click.option("--profile", is_flag=True, help="Say where the time of an image went. Only where this process inspects.")
def scan(folder: Path, wait: bool, profile: bool, **wish: Any) -> None:
    """Inspect every image below FOLDER; prints the job's id."""
    from scheduler.submission import Submission, submit

    chosen = settings()
    if profile and chosen.broker_url:
        raise click.UsageError("--profile tells of this process, but INSPECTQ_BROKER_URL says that workers inspect.")
    engine = open_database(chosen.effective_database_url)
    asked = Submission(folder=folder, **wish)
    job = submit(engine, asked, chosen)
    click.echo(job)
    sys.stdout.flush()  # whoever reads the id from a pipe should have it before the work begins
    with reading(engine) as session:
        found = jobs.get(session, job)
        point, used = found.operating_point, found.checkpoint
        if used.status is not ModelStatus.APPROVED:
            say(f"Model {used.name} is a candidate that nobody has approved: inspectq models approve {used.id}.")
        if point.approval is None:
            say(f"Its limits, operating point {point.id}, are UNAPPROVED: inspectq threshold propose, then approve.")
    if wait or not chosen.broker_url:
        code = _see_through(job)
        if profile:
            from console.profile import say_profile

            say_profile()
        raise SystemExit(code)
    say(f"Job {job} is queued. Follow it: inspectq jobs show {job}")


def _see_through(job: int) -> ExitCode:
    """Until the job has ended: in this process, or by watching the cluster."""
    from console.scanning import inspect_here, watch

    chosen = settings()
    engine = open_database(chosen.effective_database_url)
    try:
        code = watch(engine, job) if chosen.broker_url else inspect_here(engine, chosen, job)
    except KeyboardInterrupt:
        if chosen.broker_url:
            say(f"Job {job} goes on without you. Follow it: inspectq jobs show {job}")
        else:
            say(f"Job {job} is interrupted; nothing is lost. Go on with it: inspectq jobs retry {job}")
        return ExitCode.INTERRUPTED
    except ServiceAway:
        if not chosen.broker_url:
            say(f"Job {job} is not finished; nothing is lost. When that is mended: inspectq jobs retry {job}")
        raise
    if code is ExitCode.DONE:
        say(f"Next: inspectq results {job} --disposition fail, or inspectq report {job} --out report.html")
    return code


LISTED = ("job", "state", "model", "root", "submitted_by", "submitted_at", "reason")
NO_JOB = "There is no job yet. Submit one: inspectq scan FOLDER"


@click.group("jobs")
def jobs_group() -> None:
    """The jobs there are, and what becomes of them."""


@jobs_group.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@FORMAT
def list_jobs(limit: int, as_format: str) -> None:
    """The newest jobs."""
    from console.tables import print_rows

    with reading(open_database(settings().effective_database_url)) as session:
        rows = []
        for job in jobs.newest(session, limit=limit):
            summary = jobs.summary(job)
            rows.append({name: summary[name] for name in LISTED})
    print_rows(rows, as_format, empty=NO_JOB)


@jobs_group.command()
@JOB
@FORMAT
def show(job: int, as_format: str) -> None:
    """State, progress and ledger of JOB, and what it waits for."""
    from console.job_facts import job_facts, job_lines
    from console.tables import print_fields

    chosen = settings()
    with reading(open_database(chosen.effective_database_url)) as session:
        told = job_facts if as_format == "json" else job_lines
        fields = told(session, job, cluster=bool(chosen.broker_url))
    print_fields(fields, as_format)


@jobs_group.command()
@JOB
def cancel(job: int) -> None:
    """Stop an open JOB; verdicts that exist stay."""
    from scheduler.submission import person

    with writing(open_database(settings().effective_database_url)) as session:
        ledger = jobs.cancel(session, job, actor=person())
    say(f"Job {job} is cancelled: {ledger.cancelled} of {ledger.submitted} images were not inspected.")


@jobs_group.command()
@JOB
@click.option("--wait", is_flag=True, help="Wait for the end and show the ledger. Without a broker, retry always does.")
def retry(job: int, wait: bool) -> None:
    """Go on with a failed or interrupted JOB, or inspect a done one's unreadable images again."""
    from scheduler.submission import person

    chosen = settings()
    with writing(open_database(chosen.effective_database_url)) as session:
        interrupted = not chosen.broker_url and jobs.get(session, job).state in OPEN_JOBS
        what = f"Job {job} goes on." if interrupted else jobs.retry(session, job, actor=person())
    say(what)
    if wait or not chosen.broker_url:
        raise SystemExit(_see_through(job))


RESULTS_OPTIONS = Composed(
    JOB,
    click.option(
        "--disposition", type=click.Choice([kind.value.lower() for kind in Disposition], case_sensitive=False)
    ),
    click.option(
        "--format", "as_format", type=click.Choice([str(kind) for kind in Format]), default="table", show_default=True
    ),
    click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of standard output."),
)


def chosen_format(as_format: str, out: Path | None) -> Format:
    """Raises UsageError where it cannot be written there."""
    kind = Format(as_format)
    if kind is Format.PARQUET and out is None:
        raise click.UsageError("Parquet is not text: say where to write it, with --out FILE.")
    return kind


@click.command("results")
@RESULTS_OPTIONS
def show_results(job: int, disposition: str | None, as_format: str, out: Path | None) -> None:
    """The verdicts of JOB, in the order of the paths."""
    kind = chosen_format(as_format, out)
    wanted = Disposition(disposition.upper()) if disposition else None
    with reading(open_database(settings().effective_database_url)) as session:
        jobs.get(session, job)
        rows = results.of_job(session, job, disposition=wanted)
        write(rows, kind, out)


@click.command()
@click.argument("subject", metavar="JOB|EVALUATION|OPERATING POINT")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The HTML file to write.")
def report(subject: str, out: Path) -> None:
    """One HTML file about a job (such as 7), an evaluation (such as e7) or an operating point (such as op7)."""
    from console.report import write_evaluation_report, write_job_report, write_limits_report

    engine = open_database(settings().effective_database_url)
    writers: dict[str, Callable[[Engine, int, Path], None]] = {
        "": write_job_report,
        "e": write_evaluation_report,
        "op": write_limits_report,
    }
    number = subject.lstrip("eop")
    write = writers.get(subject.removesuffix(number))
    if write is None or not number.isdecimal() or not number.isascii() or int(number) > LARGEST_ID:
        raise NotFound(f"{subject!r} is no job (7), no evaluation (e7) and no operating point (op7).")
    write(engine, int(number), out)
    say(f"The report is in {out}")
