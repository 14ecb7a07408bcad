"""How does a person's `train` or `evaluate` run from the folder to the rows and the printed report?"""

import secrets
import time
from dataclasses import asdict, dataclass, replace
from functools import partial

from console.judging import Judge, Judged
from console.runtimes import parity_fields, parity_line
from console.targets import Answer
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
from trainer.folds import evaluate_folds
from trainer.leakage import Leak
from trainer.leakage_words import leaking_words
from trainer.metrics import BOUNDED, BOUNDED_OF_CLASS, ClassMetrics, Metrics, classification_table, confusion_table
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
    folds: int = 0  # of a K-fold evaluation beside the model; 0: none


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
    judging = Judging(device=wanted.device)
    with ProgressBars() as bars:
        pooled = None
        if wanted.folds:
            tell = partial(say_fold, of=wanted.folds)
            pooled = evaluate_folds(plan, wanted.folds, judging, tell, bars)
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
        judging=judging,
        trained_by=recipe,
    )
    folds = None if pooled is None else judge.of_folds(pooled.evaluation)
    if pooled is not None:
        pooled.forget()
    judged = replace(judge.by_reference(), folds=folds)
    if recipe.validation_share:
        replace(judge, judging=replace(judge.judging, split="validation")).by_reference()
    others = judge.by("torch-bf16").runtimes if judged.outcome.device != "cpu" else ()
    judge.validation_by(others)
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


def say_fold(number: int, *, of: int) -> None:
    say(f"Fold {number} of {of}: a model learns from the others")


def printed(judged: Judged, answer: Answer | None = None) -> str:
    """The report of an evaluation as text: the classification report, the confusion matrix, the rates."""
    metrics = judged.outcome.metrics
    lines = [
        f"Model {shown(judged.model)} on the {judged.outcome.split or 'whole'} images, evaluation e{judged.evaluation}",
        f"checkpoint {judged.outcome.checkpoint_digest}",
        "",
        *_figures(metrics),
        f"(by a limit of {judged.outcome.threshold:g}; in brackets 95% bounds, exact for rates, bootstrap for the last "
        "two)",
        *(() if answer is None else answer.printed()),
    ]
    lines += [f"left out, unreadable: {shown(to_text(skip.path))} ({skip.reason})" for skip in judged.outcome.skipped]
    lines.append(leaking_words(None, metrics.samples) if judged.leakage is None else str(judged.leakage))
    lines += [parity_line(row) for row in judged.runtimes]
    if judged.folds is not None:
        lines += [
            "",
            "All images, each judged by a model of this recipe that had not seen it: evaluation "
            f"e{judged.folds.evaluation}",
            "",
            *_figures(judged.folds.outcome.metrics),
        ]
    return "\n".join(lines)


def _figures(metrics: Metrics) -> list[str]:
    (tp, fn), (fp, tn) = metrics.confusion_rows()
    lines = [
        classification_table(metrics),
        confusion_table(metrics),
        f"missed: {fn} of {tp + fn} defective{_percent(metrics, 'miss_rate')}",
        f"false alarms: {fp} of {fp + tn} good{_percent(metrics, 'false_alarm_rate')}",
        f"accuracy {metrics.accuracy:.4f}{_between(metrics, 'accuracy')}",
    ]
    if metrics.auroc is not None and metrics.average_precision is not None:
        lines.append(f"AUROC {metrics.auroc:.4f}{_between(metrics, 'auroc')}")
        lines.append(f"average precision {metrics.average_precision:.4f}{_between(metrics, 'average_precision')}")
    return lines


def machine_readable(judged: Judged, answer: Answer | None = None) -> dict[str, object]:
    """The same for scripts. A figure's 95% bounds are those with _lcl and _ucl behind its name."""
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
        **_bounded(metrics, *BOUNDED),
        "ece": metrics.ece,
        "classes": {
            line.name: {**_bounded(line, *BOUNDED_OF_CLASS), "support": line.support}
            for line in (*metrics.per_class, metrics.macro, metrics.weighted)
        },
        "leaking": None if judged.leakage is None else len(judged.leakage.leaks),
        "leaks": None if judged.leakage is None else [_leak(leak) for leak in judged.leakage.leaks],
        "engine": outcome.engine,
        "precision": outcome.precision,
        "runtimes": [parity_fields(row) for row in judged.runtimes],
        "operating_point": None if answer is None else answer.operating_point,
        "by_operating_point": None if answer is None else {**asdict(answer.limits), **asdict(answer.outcome)},
        "at_prevalence": None if answer is None or answer.there is None else asdict(answer.there),
        "folds": None if judged.folds is None else machine_readable(judged.folds),
        "targets": [{**asdict(found), "shown": found.shown} for found in (answer.findings if answer else ())],
    }


def _leak(leak: Leak) -> dict[str, object]:
    return {**asdict(leak), "path": to_text(leak.path), "training_path": to_text(leak.training_path)}


def _bounded(figures: Metrics | ClassMetrics, *names: str) -> dict[str, float | None]:
    fields: dict[str, float | None] = {}
    for name in names:
        bounds = figures.bounds.get(name)
        fields[name] = getattr(figures, name)
        fields[f"{name}_lcl"], fields[f"{name}_ucl"] = (bounds.lcl, bounds.ucl) if bounds else (None, None)
    return fields


def _percent(metrics: Metrics, name: str) -> str:
    rate, bounds = getattr(metrics, name), metrics.bounds.get(name)
    return "" if rate is None or bounds is None else f": {rate:.1%} ({bounds.lcl:.1%} to {bounds.ucl:.1%})"


def _between(metrics: Metrics, name: str) -> str:
    bounds = metrics.bounds.get(name)
    if bounds is None:
        why = "the ranking is perfect" if metrics.auroc == 1 else "no resample of these scores gives another"
        return f" (no bounds: {why})"
    return f" ({bounds.lcl:.4f} to {bounds.ucl:.4f})"
