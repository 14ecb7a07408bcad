"""How well does a checkpoint do, on which images, and how was it made?

Training runs and evaluations are written whole, once they are over: an interrupted one leaves
no row that somebody could take for a result.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, case, func, insert, not_, select
from sqlalchemy.orm import Session, aliased, joinedload, selectinload

from db import audit
from db.audit import SYSTEM
from db.errors import NotFound
from db.models import (
    Checkpoint,
    ClassMetric,
    ConfusionCell,
    DatasetSnapshot,
    Evaluation,
    EvaluationScore,
    TrainingImage,
    TrainingRun,
)
from db.seals import seal

_FETCH_ROWS = 1000
_REFERENCE = ("torch", "fp32")
# What the model has learned from, what its limits are read off, and what other models of its recipe said.
NO_TEST = ("train", "validation", "folds")


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """A data set as it was read: `fingerprint` covers every file's bytes, label and split."""

    fingerprint: str
    root: str
    layout: str
    split_seed: int | None
    test_share: float | None
    positive_class: str
    class_names: list[str]
    counts: dict[str, Any]
    skipped: list[Any]
    twins_across_splits: int
    near_twins_across_splits: int | None = None
    group_rule: str | None = None


@dataclass(frozen=True, kw_only=True)
class KnownImage:
    """An image that a model was trained on, by what it can be recognised."""

    path: str
    sha256: str
    group: str | None
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class NewTrainingRun:
    """A finished training run."""

    recipe: dict[str, Any]
    history: list[Any]
    best_epoch: int | None = None
    calibration: dict[str, Any] | None = None
    device: str
    code_version: str
    library_versions: dict[str, Any]
    resumed: bool
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewEvaluation:
    """A finished evaluation."""

    split: str
    threshold: float
    engine: str
    precision: str
    device: str
    images: int
    unreadable: int
    leaking: int | None = None  # images that the model knows from its training; None: that was not told
    leaks: list[Any] | None = None  # the first of them
    figures: dict[
        str, float | None
    ]  # accuracy, accuracy_lcl, …, ece, as the columns are named; what is left out is None
    code_version: str
    class_metrics: Sequence[dict[str, Any]]  # position, name, is_average, precision, recall, f1, support, their bounds
    cells: Sequence[dict[str, Any]]  # actual, predicted, images
    scores: Sequence[dict[str, Any]]  # path, sha256, actual, score, novelty, reason_code


def snapshot(session: Session, new: NewDataset, *, actor: str = SYSTEM) -> DatasetSnapshot:
    """The row of this data set: the one that has its fingerprint already, or a new one."""
    known = session.scalar(select(DatasetSnapshot).where(DatasetSnapshot.fingerprint == new.fingerprint))
    if known is not None:
        return known
    row = DatasetSnapshot(**vars(new))
    session.add(row)
    session.flush()
    sealed = [seal(session, "dataset_snapshot", row.id)]
    audit.record(session, actor=actor, action="dataset.add", subject=f"dataset:{new.fingerprint}", sealed=sealed)
    return row


def add_training_images(session: Session, dataset: DatasetSnapshot, images: Sequence[KnownImage]) -> None:
    """Write what a model of this data set knows, unless it stands there already."""
    if images and not knows_training_images(session, dataset.id):
        rows = [
            {
                "dataset_snapshot_id": dataset.id,
                "path": image.path,
                "sha256": image.sha256,
                "image_group": image.group,
                "signature": image.signature,
            }
            for image in images
        ]
        session.execute(insert(TrainingImage), rows)
        audit.record(
            session,
            actor=SYSTEM,
            action="dataset.learn",
            subject=f"training-images:{dataset.id}",
            images=len(rows),
            sealed=[seal(session, "training_image", dataset.id)],
        )


def knows_training_images(session: Session, dataset_id: int) -> bool:
    """Whether this data set's training images were written down; of older data sets they were not."""
    query = select(TrainingImage.id).where(TrainingImage.dataset_snapshot_id == dataset_id).limit(1)
    return session.scalar(query) is not None


def training_images(session: Session, dataset_id: int) -> list[KnownImage]:
    """The training images of a data set, in the order of their paths: about 1.2 kB each."""
    query = select(TrainingImage).where(TrainingImage.dataset_snapshot_id == dataset_id).order_by(TrainingImage.path)
    return [
        KnownImage(path=row.path, sha256=row.sha256, group=row.image_group, signature=row.signature)
        for row in session.scalars(query)
    ]


def add_training_run(
    session: Session, new: NewTrainingRun, dataset: DatasetSnapshot, *, actor: str = SYSTEM
) -> TrainingRun:
    """Write a finished training run."""
    row = TrainingRun(dataset_snapshot_id=dataset.id, **vars(new))
    session.add(row)
    session.flush()
    sealed = [seal(session, "training_run", row.id)]
    audit.record(session, actor=actor, action="training.add", subject=f"training:{row.id}", sealed=sealed)
    return row


def add_evaluation(
    session: Session, new: NewEvaluation, *, checkpoint_id: int, dataset: DatasetSnapshot, actor: str = SYSTEM
) -> Evaluation:
    """Write an evaluation with its per-class metrics, confusion cells and per-image scores."""
    children = {"class_metrics": ClassMetric, "cells": ConfusionCell, "scores": EvaluationScore}
    own = {name: value for name, value in vars(new).items() if name not in children and name != "figures"}
    row = Evaluation(checkpoint_id=checkpoint_id, dataset_snapshot_id=dataset.id, **own, **new.figures)
    session.add(row)
    session.flush()
    for name, model in children.items():
        rows = [{**child, "evaluation_id": row.id} for child in getattr(new, name)]
        if rows:
            session.execute(insert(model), rows)
    sealed = [seal(session, "evaluation", row.id)]
    audit.record(session, actor=actor, action="evaluation.add", subject=f"evaluation:{row.id}", sealed=sealed)
    return row


def get(session: Session, evaluation: int) -> Evaluation:
    """An evaluation with everything but its scores. Raises NotFound."""
    found = session.scalar(_whole().where(Evaluation.id == evaluation))
    if found is None:
        raise NotFound(
            f"There is no evaluation {evaluation}. `inspectq models show MODEL` lists a model's evaluations."
        )
    return found


def of_checkpoint(session: Session, checkpoint_id: int) -> Sequence[Evaluation]:
    """A checkpoint's evaluations, newest first."""
    return session.scalars(
        _whole().where(Evaluation.checkpoint_id == checkpoint_id).order_by(Evaluation.id.desc())
    ).all()


def newest(
    session: Session, checkpoint_id: int, *, engine: str = "torch", precision: str = "fp32"
) -> Evaluation | None:
    """The newest evaluation with this engine and precision, by default the reference's.

    Not of images that the model has learned from, or that its limits are read off, and not what other models of its
    recipe said. One without leaks where there is any; before one that leaks, one of which that was not told.
    """
    own = select(TrainingRun.dataset_snapshot_id).join(Checkpoint).where(Checkpoint.id == checkpoint_id)
    learned_from = and_(Evaluation.split == "all", Evaluation.dataset_snapshot_id == own.scalar_subquery())
    leaks = case((Evaluation.leaking == 0, 0), (Evaluation.leaking.is_(None), 1), else_=2)
    query = _whole().where(
        Evaluation.checkpoint_id == checkpoint_id,
        Evaluation.engine == engine,
        Evaluation.precision == precision,
        Evaluation.split.not_in(NO_TEST),
        not_(learned_from),
    )
    return session.scalar(query.order_by(leaks, Evaluation.id.desc()).limit(1))


def applying(session: Session, checkpoint: Checkpoint, *, engine: str, precision: str) -> Sequence[Evaluation]:
    """What is known of the checkpoint from images that it has not learned from, and its limits were not read off.

    The newest evaluation of each runtime on each data set and split: first this engine and precision, then the
    reference, then the others, newest first.
    """
    return _in_order(_tests(session, checkpoint), engine, precision)


def applying_at(
    session: Session, checkpoint: Checkpoint, time: datetime, *, engine: str, precision: str
) -> tuple[Sequence[Evaluation], Sequence[Evaluation]]:
    """(what was known of it at that time, what has become known since), each as `applying` has it."""
    rows = _tests(session, checkpoint)
    then = [row for row in rows if row.created_at <= time]
    since = [row for row in rows if row.created_at > time]
    return _in_order(then, engine, precision), _in_order(since, engine, precision)


def judged_alike(session: Session, first: Checkpoint, second: Checkpoint) -> list[tuple[Evaluation, Evaluation]]:
    """The newest tests of both by the reference on the same images at the same threshold; the newest pair first."""
    sides: list[dict[tuple[object, ...], Evaluation]] = [{}, {}]
    for side, checkpoint in zip(sides, (first, second), strict=True):
        for row in _tests(session, checkpoint):
            if (row.engine, row.precision) == _REFERENCE:
                side.setdefault((row.dataset_snapshot_id, row.split, row.threshold), row)
    return [(row, sides[1][images]) for images, row in sides[0].items() if images in sides[1]]


def _tests(session: Session, checkpoint: Checkpoint) -> list[Evaluation]:
    own = checkpoint.training_run.dataset_snapshot_id
    return [
        row
        for row in of_checkpoint(session, checkpoint.id)
        if row.split not in NO_TEST and not (row.split == "all" and row.dataset_snapshot_id == own)
    ]


def _in_order(rows: Sequence[Evaluation], engine: str, precision: str) -> Sequence[Evaluation]:
    newest: dict[tuple[object, ...], Evaluation] = {}
    for row in rows:
        newest.setdefault((row.engine, row.precision, row.dataset_snapshot_id, row.split), row)
    ran = [(engine, precision), _REFERENCE]
    return sorted(newest.values(), key=lambda row: [(row.engine, row.precision) != first for first in ran] + [-row.id])


def newest_by_runtime(
    session: Session, checkpoint_id: int, split: str, *, dataset_id: int | None = None
) -> Sequence[Evaluation]:
    """The newest evaluation of each engine and precision on that split (of one data set), the reference's first."""
    query = _whole().where(Evaluation.checkpoint_id == checkpoint_id, Evaluation.split == split)
    if dataset_id is not None:
        query = query.where(Evaluation.dataset_snapshot_id == dataset_id)
    rows = session.scalars(query.order_by(Evaluation.id.desc())).all()
    newest = {(row.engine, row.precision): row for row in reversed(rows)}
    return sorted(newest.values(), key=lambda row: ((row.engine, row.precision) != _REFERENCE, row.id))


def of_reference(
    session: Session, checkpoint_id: int, *, fingerprint: str, split: str, threshold: float
) -> Evaluation | None:
    """The newest evaluation by PyTorch in fp32 on these images, if there is one."""
    query = _whole().where(
        Evaluation.checkpoint_id == checkpoint_id,
        Evaluation.dataset.has(DatasetSnapshot.fingerprint == fingerprint),
        Evaluation.split == split,
        Evaluation.threshold == threshold,
        Evaluation.engine == "torch",
        Evaluation.precision == "fp32",
    )
    return session.scalar(query.order_by(Evaluation.id.desc()).limit(1))


def _whole() -> Select[Evaluation]:
    return select(Evaluation).options(
        joinedload(Evaluation.checkpoint),
        joinedload(Evaluation.dataset),
        selectinload(Evaluation.class_metrics),
        selectinload(Evaluation.cells),
    )


def scores(session: Session, evaluation: int) -> Iterator[EvaluationScore]:
    """The per-image scores, in the order of the paths. The session must stay open meanwhile."""
    query = select(EvaluationScore).where(EvaluationScore.evaluation_id == evaluation).order_by(EvaluationScore.path)
    yield from session.scalars(query.execution_options(yield_per=_FETCH_ROWS))


def scores_of(session: Session, evaluation: int) -> int:
    """How many images it has a row of, unreadable ones among them."""
    own = EvaluationScore.evaluation_id == evaluation
    return session.scalar(select(func.count(EvaluationScore.id)).where(own)) or 0


def paired_scores(session: Session, one: int, other: int) -> Iterator[tuple[str, str, float | None, float | None]]:
    """(path, true class, P(defective) by the one, by the other) of the images of both, in the order of the paths.

    None: that one could not read it. The session must stay open meanwhile.
    """
    left, right = aliased(EvaluationScore), aliased(EvaluationScore)
    both = select(left.path, left.actual, left.score, right.score).join(right, right.path == left.path)
    query = both.where(left.evaluation_id == one, right.evaluation_id == other).order_by(left.path)
    yield from session.execute(query.execution_options(yield_per=_FETCH_ROWS)).tuples()


def score(session: Session, number: int) -> EvaluationScore:
    """One image of an evaluation. Raises NotFound."""
    found = session.get(EvaluationScore, number)
    if found is None:
        raise NotFound(f"There is no score {number}.")
    return found


def score_numbers(session: Session, evaluation: int, paths: Collection[str]) -> dict[str, int]:
    """By path, the numbers of these images' scores in the evaluation."""
    own = (EvaluationScore.evaluation_id == evaluation, EvaluationScore.path.in_(paths))
    return dict(session.execute(select(EvaluationScore.path, EvaluationScore.id).where(*own)).all())


def labelled_scores(session: Session, evaluation: int) -> Iterator[tuple[str, float]]:
    """(true class, P(defective)) of every image that could be read. The session must stay open meanwhile."""
    query = select(EvaluationScore.actual, EvaluationScore.score).where(EvaluationScore.evaluation_id == evaluation)
    for actual, score in session.execute(query.execution_options(yield_per=_FETCH_ROWS)):
        if score is not None:
            yield actual, score


def missed(session: Session, found: Evaluation, positive: str, *, limit: int) -> Sequence[EvaluationScore]:
    """Images of class `positive` that scored below the threshold: the lowest score, which is the worst miss, first."""
    query = _scores_of(found).where(EvaluationScore.actual == positive, EvaluationScore.score < found.threshold)
    return session.scalars(query.order_by(EvaluationScore.score, EvaluationScore.path).limit(limit)).all()


def false_alarms(session: Session, found: Evaluation, positive: str, *, limit: int) -> Sequence[EvaluationScore]:
    """Images of another class than `positive` from the threshold on: the highest score first."""
    query = _scores_of(found).where(EvaluationScore.actual != positive, EvaluationScore.score >= found.threshold)
    return session.scalars(query.order_by(EvaluationScore.score.desc(), EvaluationScore.path).limit(limit)).all()


def unreadable(session: Session, found: Evaluation, *, limit: int) -> Sequence[EvaluationScore]:
    """Images that could not be read, in the order of their paths."""
    query = _scores_of(found).where(EvaluationScore.score.is_(None))
    return session.scalars(query.order_by(EvaluationScore.path).limit(limit)).all()


def _scores_of(found: Evaluation) -> Select[EvaluationScore]:
    return select(EvaluationScore).where(EvaluationScore.evaluation_id == found.id)
