"""The commands that make and judge models: sample, train, evaluate, models."""

import json
import shutil
from pathlib import Path
from typing import Any

import click

from console.exits import ExitCode
from console.files import whole
from console.options import DEVICE, FORMAT, LARGEST_ID, chosen_dataset, chosen_recipe, dataset_options, recipe_options
from console.runtimes import parity_fields, parity_line
from console.terminal import say
from db import checkpoints, evaluations, operating_points, runtimes, samples
from db.engine import reading, writing
from db.models import Evaluation, ModelStatus
from db.schema import open_database
from db.settings import settings
from vision.runtimes import REFERENCE, RUNTIMES

_RATE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--images", type=click.IntRange(6, 1_000_000), default=400, show_default=True, help="Labelled images.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same images.")
@click.option("--station", is_flag=True, help="One product in a fixture under one lamp: easier to learn.")
def sample(folder: Path, images: int, seed: int, station: bool) -> None:
    """Draw labelled sample photographs: train/, test/ and an unlabelled incoming/."""
    from console.terminal import progress_bar
    from vision.samples import draw_sample_set, files_to_draw

    with progress_bar() as progress:
        task = progress.add_task("Drawing photographs", total=files_to_draw(images))
        drawn = draw_sample_set(
            folder, images=images, seed=seed, station=station, on_image=lambda: progress.advance(task)
        )
    say(
        f"{drawn.train} training images, {drawn.test} test images and {drawn.incoming} incoming ones, of which "
        f"{drawn.bad_files} cannot be read on purpose. Next: inspectq train {folder}"
    )


@click.command()
@dataset_options
@recipe_options
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="Boxes around defects, with --tile: CSV (path, x, y, width, height) or COCO JSON, in upright pixels.",
)
@click.option("--name", "model_name", help="Name of the model.  [default: the folder's name and a number]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the checkpoint to this file.")
@click.option("--resume", is_flag=True, help="Go on after the last finished epoch of an interrupted run.")
@click.option("--export/--no-export", default=True, help="Also for ONNX Runtime, in fp32 and int8.  [default: export]")
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    help="Also a K-fold evaluation, for small data sets: so many models more, each judged on images it has not seen.",
)
@DEVICE
@FORMAT
def train(
    model_name: str | None, out: Path | None, resume: bool, export: bool, folds: int | None, **options: Any
) -> None:
    """Train a model on DIR, evaluate the saved file, keep both; export it, and compare the exports with it."""
    from console.training import Wanted, machine_readable, make_model, printed

    if options["boxes"] is not None and not options["tile"]:
        raise click.UsageError("--boxes says where on large images defects lie: it needs --tile.")
    chosen = settings()
    device, as_format = options.pop("device") or chosen.device, options.pop("as_format")
    engine = open_database(chosen.effective_database_url)
    with reading(engine) as session:
        checkpoints.free_name(session, model_name, "model")  # a taken name should not cost an hour of training
    if out is not None and not out.parent.is_dir():  # nor should a missing folder
        raise click.UsageError(f"There is no folder {out.parent} for --out.")
    data = chosen_dataset(options)
    recipe = chosen_recipe(options, images=len(data.part("train")))
    if (drawn := data.drawn_boxes) is not None:
        defective = sum(sample.is_defective for sample in data.part("train"))
        say(f"{drawn.boxes} boxes in {drawn.boxed_images} of {defective} defective training images")
    wanted = Wanted(name=model_name, device=device, resume=resume, export=export, folds=folds or 0)
    judged = make_model(engine, chosen, data, recipe, wanted)
    click.echo(json.dumps(machine_readable(judged), indent=2) if as_format == "json" else printed(judged))
    if out is not None:
        with whole(out) as part:
            shutil.copyfile(chosen.models_folder / f"{judged.outcome.checkpoint_digest}.safetensors", part)
    say(f"Next: inspectq models approve {judged.model}, then inspectq scan FOLDER")


@click.command()
@click.argument("model")
@dataset_options
@click.option("--split", type=click.Choice(["test", "validation", "train", "all"]), default="test", show_default=True)
@click.option("--runtime", type=click.Choice(RUNTIMES), default=REFERENCE, show_default=True, help="What is judged.")
@click.option(
    "--prevalence",
    type=_RATE,
    help="Share of defective parts on the line, such as 0.01: what the verdicts would be worth there.",
)
@click.option("--max-miss-rate", type=_RATE, help="Is it shown that of the defective parts no more are missed?")
@click.option("--max-false-alarm-rate", type=_RATE, help="Is it shown that of the good parts no more are rejected?")
@click.option(
    "--operating-point",
    type=click.IntRange(1, LARGEST_ID),
    help="The limits by which these three are answered.  [default: those that scans are judged by]",
)
@DEVICE
@FORMAT
def evaluate(
    model: str,
    split: str,
    runtime: str,
    prevalence: float | None,
    max_miss_rate: float | None,
    max_false_alarm_rate: float | None,
    operating_point: int | None,
    device: str | None,
    as_format: str,
    **options: Any,
) -> None:
    """Judge MODEL on the labelled images of DIR; the evaluation is stored.

    Any other runtime than torch is also compared with it; scans use a runtime only while its latest comparison
    accepts it. A rate is shown where, by MODEL's current limits, its exact one-sided 95% bound is no higher; exit 1
    where it is not, and nothing is judged where the images are too few to show it.
    """
    from console.judging import judges_of
    from console.targets import Question, answer, refuse_too_few
    from console.training import machine_readable, printed

    question = Question(prevalence=prevalence, max_miss_rate=max_miss_rate, max_false_alarm_rate=max_false_alarm_rate)
    needed = {"all": ("train", "test"), "validation": ("train",)}.get(split, (split,))
    (judge,) = judges_of((model,), options, needed=needed, split=None if split == "all" else split, device=device)
    with reading(judge.engine) as session:
        point = operating_points.chosen(session, judge.checkpoint, operating_point)
    refuse_too_few(judge.parted.part(judge.judging.split), split, question)
    judged = judge.by(runtime)
    said = answer(judged.outcome.images, point, question) if question.asks else None
    click.echo(json.dumps(machine_readable(judged, said), indent=2) if as_format == "json" else printed(judged, said))
    if said is not None and not said.all_shown:
        raise SystemExit(ExitCode.ENDED_BADLY)


@click.group()
def models() -> None:
    """The models there are, and which of them scans may use."""


@models.command("list")
@FORMAT
def list_models(as_format: str) -> None:
    """Every model, newest first, with its latest evaluation by PyTorch in fp32 on images that it did not learn from.

    One without leaks comes before those that leak.
    """
    from console.evidence.facts import listed_model
    from console.tables import print_rows

    with reading(open_database(settings().effective_database_url)) as session:
        rows = [listed_model(session, checkpoint) for checkpoint in checkpoints.every(session)]
    print_rows(rows, as_format, empty="There is no model yet. Make one: inspectq train DIR")


@models.command()
@click.argument("model")
@FORMAT
def show(model: str, as_format: str) -> None:
    """Where MODEL comes from and how it was judged."""
    from console.model_escapes import model_fields, model_words
    from console.tables import print_fields

    with reading(open_database(settings().effective_database_url)) as session:
        checkpoint = checkpoints.find(session, model)
        run = checkpoint.training_run
        sampled = samples.of_model(session, checkpoint.id)
        told = {f"by operating point {number}": " ".join(model_words(jobs)) for number, jobs in sampled.items()}
        point = operating_points.current(session, checkpoint)
        fields = {
            "id": checkpoint.id,
            "name": checkpoint.name,
            "status": checkpoint.status.value,
            "digest": checkpoint.digest,
            "architecture": checkpoint.architecture,
            "positive_class": checkpoint.positive_class,
            "negative_class": checkpoint.negative_class,
            "operating_point": {"id": point.id, "pass_below": point.pass_below, "fail_from": point.fail_from},
            "preprocessing": checkpoint.preprocessing,
            "trained_from": run.started_at.isoformat(),
            "trained_until": run.finished_at.isoformat(),
            "trained_on": run.device,
            "recipe": run.recipe,
            "epochs_trained": len(run.history),
            "best_epoch": run.best_epoch,
            "calibration": run.calibration,
            "code_version": run.code_version,
            "library_versions": run.library_versions,
            "runtimes": [parity_fields(row) for row in runtimes.of_checkpoint(session, checkpoint.id)],
            "evaluations": [_evaluation(row) for row in evaluations.of_checkpoint(session, checkpoint.id)],
            "samples_of_passed": model_fields(sampled) if as_format == "json" else told,
        }
    print_fields(fields, as_format)


def _evaluation(row: Evaluation) -> dict[str, Any]:
    return {
        "evaluation": f"e{row.id}",
        "engine": row.engine,
        "precision": row.precision,
        "dataset": row.dataset.root,
        "split": row.split,
        "images": row.images,
        "accuracy": row.accuracy,
        "miss_rate": row.miss_rate,
        "false_alarm_rate": row.false_alarm_rate,
        "confusion_matrix": {f"{cell.actual} as {cell.predicted}": cell.images for cell in row.cells},
    }


@models.command("export")
@click.argument("model")
@dataset_options
@DEVICE
@FORMAT
def export_model(model: str, device: str | None, as_format: str, **options: Any) -> None:
    """Write MODEL for ONNX Runtime, in fp32 and int8; compare both with PyTorch on the test images of DIR.

    DIR is what MODEL was trained on: int8 takes its ranges from the training images. `inspectq train` does the same
    by itself; this is for a model that was made before it did, or with --no-export.
    """
    from console.judging import judges_of

    (judge,) = judges_of((model,), options, needed=("train", "test"), split="test", device=device)
    compared = judge.by_exports()
    if as_format == "json":
        click.echo(json.dumps([parity_fields(row) for row in compared], indent=2))
    else:
        for row in compared:
            click.echo(parity_line(row))
    if not compared:
        raise SystemExit(ExitCode.ENDED_BADLY)


@models.command()
@click.argument("model")
def approve(model: str) -> None:
    """Let scans use MODEL; the newest approved one is the default."""
    _set_status(model, ModelStatus.APPROVED)


@models.command()
@click.argument("model")
def retire(model: str) -> None:
    """Refuse new scans with MODEL; its verdicts stay."""
    _set_status(model, ModelStatus.RETIRED)


def _set_status(model: str, status: ModelStatus) -> None:
    from scheduler.submission import person

    with writing(open_database(settings().effective_database_url)) as session:
        checkpoint = checkpoints.find(session, model)
        checkpoints.set_status(session, checkpoint, status, actor=person())
        name = checkpoint.name
    say(f"Model {name} is {status.value}.")
