"""How do a training and an evaluation become rows? All of them in one transaction, or none."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from db import checkpoints, evaluations, runtimes
from db.checkpoints import NewCheckpoint
from db.engine import Session
from db.evaluations import KnownImage, NewDataset, NewEvaluation, NewTrainingRun
from db.models import Checkpoint, RuntimeParity
from db.models import Evaluation as EvaluationRow
from db.paths import to_bytes, to_text
from db.runtimes import NewParity
from trainer.bounds import Bounds
from trainer.dataset import DatasetSnapshot, Sample, Skip
from trainer.evaluation import Evaluation
from trainer.leakage import Leakage
from trainer.metrics import BOUNDED, BOUNDED_OF_CLASS, ClassMetrics, Metrics
from trainer.parity import Answers, Parity, compare
from trainer.training import TrainingOutcome
from vision.runtimes import REFERENCE

_LIBRARIES = ("torch", "torchvision", "pillow", "numpy", "scikit-learn")


def record_training(session: Session, outcome: TrainingOutcome, *, name: str, actor: str) -> Checkpoint:
    """The training run, its data set and its checkpoint, as a candidate."""
    dataset = evaluations.snapshot(session, _dataset(outcome.dataset), actor=actor)
    evaluations.add_training_images(session, dataset, _known(outcome.dataset.training_images))
    run = evaluations.add_training_run(session, _run(outcome), dataset, actor=actor)
    new = NewCheckpoint(
        digest=outcome.digest,
        name=name,
        architecture=outcome.info.architecture,
        positive_class=outcome.info.positive_class,
        negative_class=outcome.info.class_names[0],
        preprocessing=outcome.info.preprocessing.to_dict(),
        size_bytes=outcome.checkpoint.stat().st_size,
        training_run_id=run.id,
    )
    return checkpoints.register(session, new, actor=actor)


def record_evaluation(
    session: Session,
    judged: Evaluation,
    dataset: DatasetSnapshot,
    checkpoint: Checkpoint,
    leakage: Leakage | None = None,
    *,
    actor: str,
) -> EvaluationRow:
    """The evaluation with its metrics, confusion cells, every image's score, and its leaks where they are told."""
    row = evaluations.snapshot(session, _dataset(dataset), actor=actor)
    new = _evaluation(judged)
    if leakage is not None:
        leaks = [
            {**leak, "path": to_text(leak["path"]), "training_path": to_text(leak["training_path"])}
            for leak in leakage.told()
        ]
        new = replace(new, leaking=len(leakage.leaks), leaks=leaks)
    return evaluations.add_evaluation(session, new, checkpoint_id=checkpoint.id, dataset=row, actor=actor)


def stored_training_images(session: Session, dataset_id: int) -> tuple[Sample, ...] | None:
    """What a model of this data set was trained on; None where that was not written down."""
    if not evaluations.knows_training_images(session, dataset_id):
        return None
    return tuple(
        Sample(
            path=os.fsdecode(to_bytes(image.path)),
            label="",
            is_defective=False,
            split="train",
            sha256=image.sha256,
            group=image.group,
            signature=image.signature,
        )
        for image in evaluations.training_images(session, dataset_id)
    )


def stored_answers(session: Session, row: EvaluationRow) -> Answers:
    """What the runtime of a stored evaluation said."""
    positive = row.dataset.positive_class
    return Answers(
        checkpoint_digest=row.checkpoint.digest,
        dataset_fingerprint=row.dataset.fingerprint,
        split=row.split,
        threshold=row.threshold,
        precision=row.precision,
        scores={
            score.path: (score.actual == positive, score.score)
            for score in evaluations.scores(session, row.id)
            if score.score is not None
        },
    )


def record_reference(session: Session, row: EvaluationRow, *, actor: str) -> RuntimeParity:
    """That the reference itself may be used, and by which evaluation."""
    parity = Parity(
        images=row.images,
        largest_difference=0.0,
        mean_difference=0.0,
        flipped=0,
        accepted=True,
        reason="The reference.",
    )
    return _record_parity(session, REFERENCE, row, None, parity, None, actor)


def record_parity(
    session: Session, name: str, row: EvaluationRow, reference: EvaluationRow, file_digest: str | None, *, actor: str
) -> RuntimeParity:
    """How the runtime `name`, judged in `row`, compares with the reference. Both rows are of the same images."""
    parity = compare(stored_answers(session, reference), stored_answers(session, row))
    return _record_parity(session, name, row, reference, parity, file_digest, actor)


def _record_parity(
    session: Session,
    name: str,
    row: EvaluationRow,
    reference: EvaluationRow | None,
    parity: Parity,
    file_digest: str | None,
    actor: str,
) -> RuntimeParity:
    new = NewParity(
        name=name,
        file_digest=file_digest,
        evaluation_id=row.id,
        reference_evaluation_id=None if reference is None else reference.id,
        **asdict(parity),
    )
    return runtimes.add(session, new, checkpoint_id=row.checkpoint_id, actor=actor)


def _known(samples: Sequence[Sample]) -> list[KnownImage]:
    return [
        KnownImage(path=to_text(sample.path), sha256=sample.sha256, group=sample.group, signature=sample.signature)
        for sample in samples
    ]


def _dataset(snapshot: DatasetSnapshot) -> NewDataset:
    counts: dict[str, Any] = {}
    for row in snapshot.counts:
        counts.setdefault(row.split, {})[row.label] = row.count
    return NewDataset(
        fingerprint=snapshot.fingerprint,
        root=to_text(snapshot.root),
        layout=snapshot.layout,
        split_seed=snapshot.split_seed,
        test_share=snapshot.test_share,
        positive_class=snapshot.positive,
        class_names=list(snapshot.class_names),
        counts=counts,
        skipped=[[to_text(skip.path), skip.reason] for skip in snapshot.skipped],
        twins_across_splits=sum(len(twin.test_paths) for twin in snapshot.twins),
        near_twins_across_splits=snapshot.near_twins_across_splits,
        group_rule=snapshot.group_rule,
    )


def _run(outcome: TrainingOutcome) -> NewTrainingRun:
    return NewTrainingRun(
        recipe={**outcome.recipe, "weights": outcome.weights_source, "weights_sha256": outcome.weights_sha256},
        history=[asdict(epoch) for epoch in outcome.history],
        best_epoch=outcome.best_epoch,
        calibration=None if outcome.calibration is None else asdict(outcome.calibration),
        device=outcome.device,
        code_version=outcome.code_version,
        library_versions={library: version(library) for library in _LIBRARIES},
        resumed=outcome.resumed_after > 0,
        started_at=outcome.started,
        finished_at=outcome.finished,
    )


def _evaluation(judged: Evaluation) -> NewEvaluation:
    return NewEvaluation(
        split=judged.split or "all",
        threshold=judged.threshold,
        engine=judged.engine,
        precision=judged.precision,
        device=judged.device,
        unreadable=len(judged.skipped),
        code_version=version("inspectq"),
        **measured(judged.metrics),
        scores=[
            {
                "path": to_text(image.path),
                "sha256": image.sha256,
                "actual": image.label,
                "score": image.score,
                "novelty": image.novelty,
                "reason_code": None,
            }
            for image in judged.images
        ]
        + [_unscored(skip) for skip in judged.skipped],
    )


def measured(metrics: Metrics) -> dict[str, Any]:
    """The metrics as the fields of a NewEvaluation."""
    lines = [*metrics.per_class, metrics.macro, metrics.weighted]
    return {
        "images": metrics.samples,
        "figures": {name: getattr(metrics, name) for name in (*BOUNDED, "ece")} | _limits(metrics.bounds),
        "class_metrics": [
            {"position": position, "is_average": position >= len(metrics.per_class), **_class_metric(line)}
            for position, line in enumerate(lines)
        ],
        "cells": [
            {"actual": cell.true_class, "predicted": cell.predicted_class, "images": cell.count}
            for cell in metrics.confusion
        ],
    }


def _class_metric(line: ClassMetrics) -> dict[str, Any]:
    """With every bound: rows that are inserted together have the same columns."""
    own = {name: value for name, value in vars(line).items() if name != "bounds"}
    none = {f"{name}_{side}": None for name in BOUNDED_OF_CLASS for side in ("lcl", "ucl")}
    return {**own, **none, **_limits(line.bounds)}


def _limits(bounds: Mapping[str, Bounds]) -> dict[str, float]:
    return {f"{name}_{side}": limit for name, both in bounds.items() for side, limit in asdict(both).items()}


def _unscored(skip: Skip) -> dict[str, Any]:
    return {
        "path": to_text(skip.path),
        "sha256": None,
        "actual": skip.label,
        "score": None,
        "novelty": None,
        "reason_code": skip.reason,
    }
