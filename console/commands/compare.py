"""The command that holds two models against each other: compare."""

import json
from typing import Any

import click

from console.options import DEVICE, FORMAT, dataset_options


@click.command()
@click.argument("first", metavar="MODEL")
@click.argument("second", metavar="MODEL")
@dataset_options
@click.option("--split", type=click.Choice(["test", "all"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Differing images to print.")
@DEVICE
@FORMAT
def compare(
    first: str, second: str, split: str, limit: int, device: str | None, as_format: str, **options: Any
) -> None:
    """Two models on the same labelled images of DIR, each at its own limits: who makes which mistakes.

    An exact test (McNemar's) and the bounds of the differences say whether it may be chance. Differing verdicts are
    listed, the furthest apart first. What was evaluated on these images before is not scored again.
    """
    from console.comparing import compare_models, fields, printed
    from console.judging import judges_of

    needed = ("train", "test") if split == "all" else ("test",)
    chosen = None if split == "all" else split
    one, other = judges_of((first, second), options, needed=needed, split=chosen, device=device)
    compared = compare_models((one, other))
    click.echo(json.dumps(fields(compared), indent=2) if as_format == "json" else printed(compared, limit=limit))
