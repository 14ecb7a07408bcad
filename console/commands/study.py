"""The commands that ask how far a model's answers can be trusted: study repeatability."""

import json
from pathlib import Path
from typing import Any

import click

from console.options import DEVICE, FORMAT
from console.terminal import say
from db import checkpoints
from db.engine import reading, writing
from db.schema import open_database
from db.settings import settings


@click.group()
def study() -> None:
    """Studies of a model, as of a gauge."""


@study.command()
@click.argument("model")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--images", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Drawn from DIR.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same images.")
@DEVICE
@FORMAT
def repeatability(model: str, folder: Path, images: int, seed: int, device: str | None, as_format: str) -> None:
    """Does MODEL give the images below DIR, labelled or not, the same verdicts again?

    One appraiser, the model, at its current limits: repeated, in other batches, by every accepted runtime, one pixel
    aside, as a JPEG of quality 90, 5% brighter and darker. The figures are kept as an audit event.
    """
    from console.repeatability import described, drawn, fields, look_again
    from console.tables import print_rows
    from db import audit
    from scheduler.submission import person

    chosen = settings()
    engine = open_database(chosen.effective_database_url)
    with reading(engine) as session:
        checkpoint = checkpoints.find(session, model)
    paths = drawn(folder, images, seed)
    asked = look_again(engine, chosen, checkpoint, paths, device or chosen.device)
    found: dict[str, Any] = {**fields(asked), "folder": described(folder), "seed": seed}
    with writing(engine) as session:
        subject = f"model:{checkpoint.digest}"
        audit.record(session, actor=person(), action="study.repeatability", subject=subject, **found)
    if as_format == "json":
        click.echo(json.dumps({"model": checkpoint.name, **found}, indent=2))
        return
    print_rows(found["conditions"], as_format, empty="Nothing was changed.")
    for name, why in asked.left_out.items():
        say(f"Not with {name}: {why}")
    say(
        f"{asked.study.images} images of {described(folder)}, {asked.study.unreadable} unreadable; compared with "
        f"{asked.base} by operating point {asked.operating_point}. Repeatability alone, of one appraiser."
    )
