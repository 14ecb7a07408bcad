"""The commands about labelled images: dataset check, dataset export."""

import json
from pathlib import Path
from typing import Any

import click

from console.options import FORMAT, LARGEST_ID, chosen_dataset, dataset_options
from console.terminal import say
from db.schema import open_database
from db.settings import settings


@click.group()
def dataset() -> None:
    """Look at labelled images before training, or make them from decisions."""


@dataset.command()
@dataset_options
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also as a page, with the pictures.")
@click.option("--weights", metavar="imagenet|FILE", help="Look for label errors, by this network's features.")
@click.option("--model", help="The same, by a model's own.")
@FORMAT
def check(html: Path | None, weights: str | None, model: str | None, as_format: str, **options: Any) -> None:
    """Counts, unreadable files, twins within and across the split, doubtful labels."""
    from console.checking import described, doubts, machine_readable
    from trainer.dataset import describe

    if model is not None and weights is not None:
        raise click.UsageError("--weights and --model both name a network: which one?")
    if weights == "none":
        raise click.UsageError("--weights none knows nothing: label errors take a network that does.")
    data = chosen_dataset(options)
    found = doubts(data, weights, model)
    if as_format == "json":
        click.echo(json.dumps(machine_readable(data, found), indent=2))
    else:
        click.echo(describe(data) + described(data, found), nl=False)
    if html is not None:
        from console.report import write_dataset_report

        write_dataset_report(data, found, html)
        say(f"The page: {html}")


@dataset.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--from-reviews", is_flag=True, help="What people passed or failed; required, for there is no other yet.")
@click.option("--job", "jobs", multiple=True, type=click.IntRange(1, LARGEST_ID), help="Only this job's; repeatable.")
@click.option("--by", "reviewers", multiple=True, metavar="NAME", help="Only what NAME decided; repeatable.")
@FORMAT
def export(folder: Path, from_reviews: bool, jobs: tuple[int, ...], reviewers: tuple[str, ...], as_format: str) -> None:
    """Copy decided images to the new folder DIR, one folder per class, with the provenance of each.

    Left out, and named in left-out.csv: what any model was tested on, by its bytes or as a near twin of a test image
    that still lies where it was judged; the same bytes decided both ways; files that changed or are gone.
    """
    from console.exporting import CLASSES, LEFT_OUT, PROVENANCE, export_reviewed
    from console.tables import print_fields

    if not from_reviews:
        raise click.UsageError("Say what to export: --from-reviews.")
    chosen = settings()
    engine = open_database(chosen.effective_database_url)
    made = export_reviewed(engine, chosen, folder, only=jobs, by=reviewers)
    print_fields(made.fields(), as_format)
    if left_out := made.left_out.total():
        say(f"{left_out} decided images are left out: {folder / LEFT_OUT} says which, and why.")
    if made.overruled:
        say(f"{made.overruled} images were decided otherwise by others, or in other jobs: see {folder / PROVENANCE}.")
    if made.unseen:
        say(
            f"{made.unseen} of {made.test_images} test images are not where they were judged: images of the same bytes "
            "were kept out, near twins of these could not be looked for."
        )
    if len(made.images) < len(CLASSES):
        say("There is one class only: to train, add images of the other.")
    else:
        say(f"Next: inspectq dataset check {folder}")
