"""The commands that work through a console elsewhere, where INSPECTQ_API_URL names one: scan, jobs, results, trace,
models list.

They print what those of the same name print that work on the database (trace as JSON alone), and end with the same exit
codes.
"""

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from console.commands.inspect import JOB, LISTED, NO_JOB, RESULTS_OPTIONS, SUBMISSION_OPTIONS, chosen_format
from console.exits import ExitCode, refuse_local
from console.options import FORMAT
from console.remote import Remote
from console.results import Row, write
from console.tables import print_fields, print_rows
from console.terminal import progress_bar, say
from db.errors import ServiceAway
from db.models import OPEN_JOBS, JobState
from db.results import MOMENTS
from db.settings import settings

_LOOK_SECONDS = 1.0
_MISSED = 30  # looks in a row without an answer
_MOST = 500  # jobs of one page


def _remote() -> Remote:
    return Remote(settings())


@click.command()
@click.argument("folder")
@SUBMISSION_OPTIONS
@click.option("--wait", is_flag=True, help="Wait for the end and show the ledger.")
def scan(folder: str, wait: bool, **wish: Any) -> None:
    """Have every image below FOLDER inspected, which is a folder of the console's machine; prints the job's id."""
    with _remote() as remote:
        job = remote.submit({"folder": folder, **wish})
        click.echo(job)
        sys.stdout.flush()
        if wait:
            raise SystemExit(_see_through(remote, job))
    say(f"Job {job} is submitted. Follow it: inspectq jobs show {job}")


@click.group("jobs")
def jobs_group() -> None:
    """The jobs there are, and what becomes of them."""


@jobs_group.command("list")
@click.option("--limit", type=click.IntRange(1, _MOST), default=20, show_default=True)
@FORMAT
def list_jobs(limit: int, as_format: str) -> None:
    """The newest jobs."""
    with _remote() as remote:
        found = remote.get("/jobs", limit=limit)["jobs"]
    for job in found:
        job["submitted_at"] = datetime.fromisoformat(job["submitted_at"]).isoformat()  # Z, as +00:00
    print_rows([{name: job[name] for name in LISTED} for job in found], as_format, empty=NO_JOB)


@jobs_group.command()
@JOB
@FORMAT
def show(job: int, as_format: str) -> None:
    """State, progress and ledger of JOB, and what it waits for."""
    with _remote() as remote:
        print_fields(remote.get(f"/jobs/{job}/facts", sentences=as_format != "json"), as_format)


@jobs_group.command()
@JOB
def cancel(job: int) -> None:
    """Stop an open JOB; verdicts that exist stay."""
    with _remote() as remote:
        ledger = remote.post(f"/jobs/{job}/cancel")["ledger"]
    say(f"Job {job} is cancelled: {ledger['cancelled']} of {ledger['submitted']} images were not inspected.")


@jobs_group.command()
@JOB
@click.option("--wait", is_flag=True, help="Wait for the end and show the ledger.")
def retry(job: int, wait: bool) -> None:
    """Go on with a failed JOB, or inspect a done one's unreadable images again."""
    with _remote() as remote:
        remote.post(f"/jobs/{job}/retry")
        say(f"Job {job} goes on.")
        if wait:
            raise SystemExit(_see_through(remote, job))


@click.command("results")
@RESULTS_OPTIONS
def show_results(job: int, disposition: str | None, as_format: str, out: Path | None) -> None:
    """The verdicts of JOB, in the order of the paths."""
    kind = chosen_format(as_format, out)
    verdict = disposition.upper() if disposition else None
    with _remote() as remote:
        write(_rows(remote.lines(f"/jobs/{job}/results.jsonl", verdict=verdict)), kind, out)


@click.command()
@JOB
@click.argument("path")
@click.option("--format", "as_format", type=click.Choice(["json"]), default="json", help="JSON alone, from elsewhere.")
def trace(job: int, path: str, as_format: str) -> None:
    """Everything that the verdict on PATH in JOB rests on: image, model, training, limits and who approved them."""
    with _remote() as remote:
        click.echo(json.dumps(remote.get(f"/jobs/{job}/trace", path=path), indent=2))


class _Models(click.Group):
    """Whose other commands say where they work."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or refuse_local(f"models {cmd_name}")


@click.group(cls=_Models)
def models() -> None:
    """The models there are."""


@models.command("list")
@FORMAT
def list_models(as_format: str) -> None:
    """Every model, newest first, with its latest evaluation by PyTorch in fp32 on images that it did not learn from."""
    with _remote() as remote:
        print_rows(remote.get("/models")["models"], as_format, empty="There is no model yet.")


def _rows(lines: Iterator[dict[str, Any]]) -> Iterator[Row]:
    """As the database gives them: moments are moments."""
    for row in lines:
        moments = {name: datetime.fromisoformat(row[name]) for name in MOMENTS if row[name] is not None}
        yield row | moments


def _see_through(remote: Remote, number: int) -> ExitCode:
    """Until the job has ended; then its ledger, and whether it looks like what its model was judged on."""
    try:
        job = _ended(remote, number)
    except KeyboardInterrupt:
        say(f"Job {number} goes on without you. Follow it: inspectq jobs show {number}")
        return ExitCode.INTERRUPTED
    except ServiceAway:
        say(f"Job {number} goes on. Follow it when the console answers again: inspectq jobs show {number}")
        raise
    why = f": {job['reason'].rstrip('.')}" if job["reason"] else ""
    say(f"Job {number} is {job['state']}{why}.")
    ledger = dict(job["ledger"])
    say(f"{ledger.pop('submitted')} submitted = " + " + ".join(f"{images} {word}" for word, images in ledger.items()))
    if likeness := remote.get(f"/jobs/{number}/facts", sentences=True)["likeness"]:
        say(likeness)
    if job["state"] != JobState.DONE:
        return ExitCode.ENDED_BADLY
    say(f"Next: inspectq results {number} --disposition fail")
    return ExitCode.DONE


def _ended(remote: Remote, number: int) -> dict[str, Any]:
    """The job, when it has. A console that is started anew is waited for a while."""
    with progress_bar() as progress:
        task, missed = progress.add_task(f"Job {number}", total=None), 0
        while True:
            try:
                job: dict[str, Any] = remote.get(f"/jobs/{number}")
            except ServiceAway:
                missed += 1
                if missed > _MISSED:
                    raise
            else:
                missed = 0
                if job["state"] not in OPEN_JOBS:
                    return job
                progress.update(task, completed=job["images_settled"], total=job["images_planned"] or None)
            time.sleep(_LOOK_SECONDS)
