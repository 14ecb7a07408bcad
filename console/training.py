"""How does a person's `train` or `evaluate` run from the folder to the rows and the printed report?"""

import secrets
import time
from dataclasses import dataclass, replace

from console.judging import Judge, Judged
from console.runtimes import parity_fields, parity_line
from console.terminal import say, shown
from db import checkpoints
from db.engine import Engine, writing
from db.errors import ServiceAway
from db.models import Checkpoint
from db.paths import to_text
from db.settings import Settings
from scheduler.submission import person
from trainer.dataset import Dataset
from trainer.evaluation import Judging
from trainer.metrics import classification_table, confusion_table
from trainer.progress import ProgressBars
from trainer.recipe import Recipe
from trainer.recording import record_training
from trainer.training import TrainingOutcome, TrainingPlan, train

DATABASE_PATIENCE_SECONDS = 1800  # what was trained for an hour is worth half an hour of waiting


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the person asked for beside data and recipe."""

    name: str | None
    device: str
    resume: bool
    export: bool = True  # for the other runtimes


def make_model(engine: Engine, settings: Settings, dataset: Dataset, recipe: Recipe, wanted: Wanted) -> Judged:
    """Train, keep the checkpoint under its digest, evaluate the saved file on the test split, write the rows.

    Then export it, and compare each other runtime with the saved file on the same images.
    """
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    unfinished = settings.models_folder / f".{secrets.token_hex(8)}.unfinished"
    plan = TrainingPlan(
        dataset=dataset,
        recipe=recipe,
        checkpoint=unfinished,
        state_folder=settings.home_folder / "training",
        device=wanted.device,
        resume=wanted.resume,
    )
    with ProgressBars() as bars:
        outcome = train(plan, bars)
    # From here on nothing deletes the file: hours of work hang on it, and a row without it would be worse.
    kept = settings.models_folder / f"{outcome.digest}.safetensors"
    unfinished.replace(kept)
    checkpoint = _recorded(engine, replace(outcome, checkpoint=kept), dataset, wanted.name)
    say(f"Model {checkpoint.name} is written: {kept}")
    judge = Judge(
        engine=engine,
        settings=settings,
        checkpoint=checkpoint,
        dataset=dataset,
        judging=Judging(device=wanted.device),
    )
    judged = judge.by_reference()
    others = judge.by("torch-bf16").runtimes if judged.outcome.device != "cpu" else ()
    return replace(judged, runtimes=(*others, *(judge.by_exports() if wanted.export else ())))


def _recorded(engine: Engine, outcome: TrainingOutcome, dataset: Dataset, wanted: str | None) -> Checkpoint:
    """The rows of a training, under the name that was wanted if it is still free."""
    deadline, pause = time.monotonic() + DATABASE_PATIENCE_SECONDS, 1.0
    while True:
        try:
            with writing(engine) as session:
                name = checkpoints.still_free_name(session, wanted, dataset.root.resolve().name)
                return record_training(session, outcome, name=name, actor=person())
        except ServiceAway as error:
            if time.monotonic() > deadline:
                raise
            say(f"The model is trained and kept as {outcome.checkpoint}; waiting to write it down: {error}")
            time.sleep(pause)
            pause = min(pause * 2, 30.0)


def printed(judged: Judged) -> str:
    """The report of an evaluation as text: the classification report, the confusion matrix, the rates."""
    metrics = judged.outcome.metrics
    (tp, fn), (fp, tn) = metrics.confusion_rows()
    lines = [
        f"Model {shown(judged.model)} on the {judged.outcome.split or 'whole'} images, evaluation e{judged.evaluation}",
        f"checkpoint {judged.outcome.checkpoint_digest}",
        "",
        classification_table(metrics),
        confusion_table(metrics),
        f"missed: {fn} of {tp + fn} defective{_percent(metrics.miss_rate)}; "
        f"false alarms: {fp} of {fp + tn} good{_percent(metrics.false_alarm_rate)}",
    ]
    if metrics.auroc is not None and metrics.average_precision is not None:
        lines.append(f"AUROC {metrics.auroc:.4f}, average precision {metrics.average_precision:.4f}")
    lines += [f"left out, unreadable: {shown(to_text(skip.path))} ({skip.reason})" for skip in judged.outcome.skipped]
    lines += [parity_line(row) for row in judged.runtimes]
    return "\n".join(lines)


def machine_readable(judged: Judged) -> dict[str, object]:
    """The same for scripts."""
    outcome = judged.outcome
    metrics = outcome.metrics
    return {
        "evaluation": f"e{judged.evaluation}",
        "model": judged.model,
        "checkpoint_digest": outcome.checkpoint_digest,
        "dataset_fingerprint": outcome.dataset_fingerprint,
        "split": outcome.split or "all",
        "threshold": outcome.threshold,
        "images": metrics.samples,
        "unreadable": len(outcome.skipped),
        "class_names": list(outcome.class_names),
        "confusion_matrix": metrics.confusion_rows(),
        "accuracy": metrics.accuracy,
        "miss_rate": metrics.miss_rate,
        "false_alarm_rate": metrics.false_alarm_rate,
        "escapes_ppm": metrics.escapes_ppm,
        "auroc": metrics.auroc,
        "average_precision": metrics.average_precision,
        "ece": metrics.ece,
        "classes": {
            line.name: {"precision": line.precision, "recall": line.recall, "f1": line.f1, "support": line.support}
            for line in (*metrics.per_class, metrics.macro, metrics.weighted)
        },
        "engine": outcome.engine,
        "precision": outcome.precision,
        "runtimes": [parity_fields(row) for row in judged.runtimes],
    }


def _percent(rate: float | None) -> str:
    return "" if rate is None else f" ({rate:.1%})"
