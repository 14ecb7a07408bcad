"""The commands with which somebody answers for limits: threshold, rejudge."""

import json
from typing import Any

import click

from console.options import FORMAT, LARGEST_ID
from console.terminal import say
from db.engine import Session, reading, writing
from db.errors import NotFound
from db.schema import open_database
from db.settings import settings

POINT = click.argument("operating_point", metavar="ID", type=click.IntRange(1, LARGEST_ID))
_RATE = click.FloatRange(0, 1, min_open=True, max_open=True)
_SCORE = click.FloatRange(0, 1)
_COST = click.FloatRange(0, min_open=True)


@click.group()
def threshold() -> None:
    """The limits between PASS, REVIEW and FAIL: proposed from scores, approved by a person, never edited."""


@threshold.command("propose")
@click.argument("model")
@click.option("--max-miss-rate", type=_RATE, help="Of the defective parts, at most this share passes.")
@click.option("--max-false-alarm-rate", type=_RATE, help="Of the good parts, at most this share fails.")
@click.option("--max-review-rate", type=_RATE, help="Of all parts, at most this share is left to a person.")
@click.option("--cost-miss", type=_COST, help="What a defective part costs that passes.")
@click.option("--cost-alarm", type=_COST, help="What a good part costs that fails, in the same currency.")
@click.option("--prevalence", type=_RATE, help="Share of defective parts.  [default: as among the validation images]")
@click.option("--evaluation", metavar="eN", help="Whose scores.  [default: the newest of the validation images]")
@click.option("--pass-below", type=_SCORE, help="Limits by hand, with --fail-from.")
@click.option("--fail-from", type=_SCORE, help="Limits by hand, with --pass-below.")
@FORMAT
def propose_threshold(
    model: str,
    evaluation: str | None,
    pass_below: float | None,
    fail_from: float | None,
    as_format: str,
    **targets: Any,
) -> None:
    """Limits of MODEL that keep a target with 95% confidence, as a proposal.

    They are read off scores of validation images, which the network has not learned from, and shown on the test
    images. Refused where these images are too few to show it, or the model is not good enough.
    """
    from console.thresholds import propose_limits
    from db import checkpoints, operating_points
    from scheduler.submission import person
    from trainer.operating_point import Targets

    with writing(open_database(settings().effective_database_url)) as session:
        if pass_below is None and fail_from is None:
            number = None if evaluation is None else _evaluation(evaluation)
            point = propose_limits(session, model, Targets(**targets), evaluation=number, actor=person())
        elif pass_below is None or fail_from is None or evaluation or any(targets.values()):
            raise click.UsageError("Limits by hand are --pass-below and --fail-from, both, and no target.")
        else:
            found = checkpoints.find(session, model)
            point = operating_points.propose(session, found, pass_below=pass_below, fail_from=fail_from, actor=person())
        number = point.id
        _show(session, number, as_format)
    say(f"Next: inspectq report op{number} --out limits.html, then inspectq threshold approve {number} --by --reason")


@threshold.command("approve")
@POINT
@click.option("--by", required=True, help="Who answers for it.")
@click.option("--reason", required=True, help="Why.")
def approve_threshold(operating_point: int, by: str, reason: str) -> None:
    """Let scans judge by operating point ID from now on."""
    from db import operating_points
    from scheduler.submission import person

    with writing(open_database(settings().effective_database_url)) as session:
        point = operating_points.get(session, operating_point)
        operating_points.approve(session, point, by=by, reason=reason, account=person())
        name = point.checkpoint.name
    say(f"Operating point {operating_point} is approved: new scans with {name} are judged by it.")


@threshold.command("list")
@click.argument("model")
@FORMAT
def list_thresholds(model: str, as_format: str) -> None:
    """The operating points of MODEL, newest first."""
    from console.tables import print_rows
    from db import checkpoints, operating_points

    with reading(open_database(settings().effective_database_url)) as session:
        checkpoint = checkpoints.find(session, model)
        current = operating_points.current(session, checkpoint).id
        rows = [
            {
                "operating_point": point.id,
                "version": point.version,
                "pass_below": point.pass_below,
                "fail_from": point.fail_from,
                "origin": point.origin,
                "approved_by": point.approval.approved_by if point.approval else None,
                "approved_at": point.approval.approved_at.isoformat() if point.approval else None,
                "current": point.id == current,
            }
            for point in operating_points.of_checkpoint(session, checkpoint)
        ]
    print_rows(rows, as_format, empty="There is none.")


@threshold.command("show")
@POINT
@FORMAT
def show_threshold(operating_point: int, as_format: str) -> None:
    """What operating point ID makes of the validation and the test images, with bounds."""
    with reading(open_database(settings().effective_database_url)) as session:
        _show(session, operating_point, as_format)


def _show(session: Session, number: int, as_format: str) -> None:
    from console.thresholds import fields, not_asked, outcomes, printed
    from db import operating_points

    point = operating_points.get(session, number)
    told = (point, outcomes(session, point), not_asked(session, point))
    click.echo(json.dumps(fields(*told), indent=2) if as_format == "json" else printed(*told))


@click.command()
@click.argument("job", type=click.IntRange(1, LARGEST_ID))
@click.option("--operating-point", required=True, type=click.IntRange(1, LARGEST_ID), help="The limits to judge by.")
@click.option("--limit", type=click.IntRange(0), default=1000, show_default=True, help="Flipped images to list.")
@FORMAT
def rejudge(job: int, operating_point: int, limit: int, as_format: str) -> None:
    """Judge the scores of JOB by other limits, without reading an image; list the verdicts that flip.

    The new verdicts are the job's next revision; the old ones stay in place.
    """
    from console.tables import print_rows
    from db import jobs, operating_points, rejudging
    from scheduler.comparing import compare_job
    from scheduler.submission import person

    engine = open_database(settings().effective_database_url)
    with writing(engine) as session:
        point = operating_points.get(session, operating_point)
        done = rejudging.rejudge(session, jobs.get(session, job), point, actor=person())
        flipped = [
            {"path": flip.path, "score": flip.score, "before": flip.before.value, "after": flip.after.value}
            for flip in rejudging.flips(session, job, done.revision, limit=limit)
        ]
        approved = point.approval is not None
    compare_job(engine, job)
    if as_format == "json":
        counts = {"job": job, "revision": done.revision, "judged": done.judged, "flipped": done.flipped}
        click.echo(json.dumps({**counts, "flips": flipped}, indent=2))
    elif flipped or not done.flipped:  # those that --limit leaves out are counted below
        print_rows(flipped, as_format, empty="No verdict flips.")
    more = f", {done.flipped - len(flipped)} of them not listed" if done.flipped > len(flipped) else ""
    say(
        f"Job {job}, revision {done.revision}: {done.judged} scores judged by operating point {operating_point}"
        f"{'' if approved else ', which is UNAPPROVED'}; {done.flipped} verdicts flipped{more}."
    )


def _evaluation(text: str) -> int:
    number = text.removeprefix("e")
    if not number.isdecimal() or not number.isascii() or int(number) > LARGEST_ID:
        raise NotFound(f"{text!r} is no evaluation, such as e7. `inspectq models show MODEL` lists them.")
    return int(number)
