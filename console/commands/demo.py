"""The whole story on one machine, with nothing but this package: draw, train, evaluate, scan, report.

It keeps its own folder and its own database, whatever INSPECTQ_ variables are set, so that a
try-out never mixes with anybody's records.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.terminal import out, progress_bar, say
from db import jobs
from db.engine import Engine, reading
from db.settings import Settings, settings_with

if TYPE_CHECKING:
    from console.judging import Judged

# From random weights, on 2 cores, within 3 minutes: one product at one station, few photographs, seen small, and
# hardly turned or tinted, since the fixture and the lamp do not change either. A real model starts from ImageNet
# weights at 224 pixels, which a demo without a download cannot.
IMAGES = 480
DRAWN_SIZE = 192  # pixels: twice what the network sees, so that nothing is scaled twice
SEED = 0
VALUES: dict[str, Any] = {
    "weights": "none",
    "image_size": 96,
    "batch_size": 16,
    "epochs": 12,
    "rotation_degrees": 2.0,
    "flip_probability": 0.0,
    "crop_scale_min": 0.95,
    "jitter_brightness": 0.05,
    "jitter_contrast": 0.05,
    "jitter_saturation": 0.05,
    "jitter_hue": 0.0,
    "num_workers": 2,
    "seed": SEED,
}


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("inspectq-demo"),
    show_default=True,
    help="Where photographs, database and reports go.",
)
def demo(folder: Path) -> None:
    """Train, evaluate, scan and report on sample photographs: no service, no download, no GPU."""
    from console.report import write_evaluation_report, write_job_report
    from console.scanning import inspect_here
    from console.training import printed
    from db.schema import open_database
    from scheduler.submission import Submission, submit

    chosen = settings_with(home=folder / "home", database_url="", broker_url="")
    engine = open_database(chosen.effective_database_url)
    photographs = folder / "photographs"

    say("1/4  Drawing photographs of machined parts")
    _draw(photographs)
    say("2/4  Training a ResNet18 from random weights, then evaluating the saved file")
    judged = _train(engine, chosen, photographs)
    say("3/4  Scanning a folder in which some files are broken on purpose")
    job = submit(engine, Submission(folder=photographs / "incoming", model=judged.model), chosen)
    code = inspect_here(engine, chosen, job)
    say("4/4  Writing the reports")
    job_report, evaluation_report = folder / f"job-{job}.html", folder / f"evaluation-{judged.evaluation}.html"
    write_job_report(engine, job, job_report)
    write_evaluation_report(engine, judged.evaluation, evaluation_report)

    out.print(printed(judged), markup=False)
    _print_ledger(engine, job)
    for title, path in (
        ("report of the job", job_report),
        ("report of the model", evaluation_report),
        ("photographs", photographs),
        ("database", Path(engine.url.database or "")),
    ):
        out.print(f"{title:<20} {path}", markup=False, soft_wrap=True)
    say(f"Look around in it: INSPECTQ_HOME={folder / 'home'} inspectq results {job}")
    raise SystemExit(code)


def _draw(folder: Path) -> None:
    from vision.samples import draw_sample_set, files_to_draw

    with progress_bar() as progress:
        task = progress.add_task("Photographs", total=files_to_draw(IMAGES))
        draw_sample_set(
            folder, images=IMAGES, seed=SEED, size=DRAWN_SIZE, station=True, on_image=lambda: progress.advance(task)
        )


def _train(engine: Engine, chosen: Settings, folder: Path) -> "Judged":
    from console.options import opened
    from console.training import Wanted, make_model
    from db import checkpoints
    from db.engine import writing
    from db.models import ModelStatus
    from scheduler.submission import person
    from trainer.finding import Reading
    from trainer.recipe import report_recipe

    recipe = report_recipe(**VALUES)
    wanted = Wanted(name=None, device=chosen.device, resume=False)
    judged = make_model(engine, chosen, opened(folder, Reading()), recipe, wanted)
    with writing(engine) as session:
        checkpoint = checkpoints.find(session, judged.model)
        checkpoints.set_status(session, checkpoint, ModelStatus.APPROVED, actor=person())
    return judged


def _print_ledger(engine: Engine, job: int) -> None:
    with reading(engine) as session:
        ledger = jobs.ledger(session, job).to_dict()
    out.print(f"\nJob {job}: " + ", ".join(f"{count} {name}" for name, count in ledger.items()))
