"""Which images did people decide about, so that a model can learn from them, and which must it never learn from?

What a decision was made on is the verdict that counted then: limits that came later change neither. A test image is
one that any model was ever judged on, other than on what it had learned from itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, not_, select
from sqlalchemy.orm import Session, aliased

from db.evaluations import NO_TEST
from db.models import (
    Checkpoint,
    DatasetSnapshot,
    Evaluation,
    EvaluationScore,
    InspectionJob,
    InspectionResult,
    Review,
    TrainingRun,
)
from db.reviews import FINAL, about, counting, is_newest

_FETCH_ROWS = 1000
_R = InspectionResult


@dataclass(frozen=True, kw_only=True)
class Decided:
    """An image that a person passed or failed, by the decision that counts."""

    root: str  # of its job, as db.paths writes it
    review: Review
    then: InspectionResult  # the verdict that they decided about
    model: str  # the digest of the checkpoint that gave it


@dataclass(frozen=True, kw_only=True)
class JudgedOn:
    """An image that a model was judged on."""

    evaluation: int
    root: str  # of its data set
    path: str
    sha256: str


def decided(session: Session, jobs: Sequence[int] = (), reviewers: Sequence[str] = ()) -> Iterator[Decided]:
    """Each image with a PASS or FAIL that counts, the oldest decision first. The session must stay open.

    Only of these jobs, and only where the decision is one of these people's; none named: of all.
    """
    then = aliased(_R)
    query = (
        select(InspectionJob.root, Review, then, Checkpoint.digest)
        .select_from(Review)
        .join(_R, about(Review))
        .join(then, then.id == Review.result_id)
        .join(Checkpoint, Checkpoint.id == then.checkpoint_id)
        .join(InspectionJob, InspectionJob.id == Review.job_id)
        .where(Review.decision.in_(FINAL), is_newest(), Review.id == counting(Review.id))
        .order_by(Review.id)
    )
    if jobs:
        query = query.where(Review.job_id.in_(jobs))
    if reviewers:
        query = query.where(Review.reviewer.in_(reviewers))
    for root, review, verdict, model in session.execute(query.execution_options(yield_per=_FETCH_ROWS)):
        yield Decided(root=root, review=review, then=verdict, model=model)


def judged_on(session: Session) -> dict[str, JudgedOn]:
    """Every test image of every evaluation by its sha256; of those that were judged often, where it lay last."""
    own = and_(Evaluation.split == "all", Evaluation.dataset_snapshot_id == TrainingRun.dataset_snapshot_id)
    query = (
        select(Evaluation.id, DatasetSnapshot.root, EvaluationScore.path, EvaluationScore.sha256)
        .select_from(EvaluationScore)
        .join(Evaluation, Evaluation.id == EvaluationScore.evaluation_id)
        .join(DatasetSnapshot, DatasetSnapshot.id == Evaluation.dataset_snapshot_id)
        .join(Checkpoint, Checkpoint.id == Evaluation.checkpoint_id)
        .join(TrainingRun, TrainingRun.id == Checkpoint.training_run_id)
        .where(Evaluation.split.not_in(NO_TEST), not_(own))
        .order_by(Evaluation.id, EvaluationScore.path)
    )
    found = {}
    for number, root, path, sha256 in session.execute(query.execution_options(yield_per=_FETCH_ROWS)):
        if sha256 is not None:
            found[sha256] = JudgedOn(evaluation=number, root=root, path=path, sha256=sha256)
    return found
