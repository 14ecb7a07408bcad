"""Which figures does it take to compare a finished job with its model's evaluation, and what came of it?

Scores are counted in cells by the database itself: of ten million images fifty-eight numbers are read. The edges lie
evenly in log-odds, since a good model's scores crowd near 0 and 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Select, case, column, exists, func, insert, literal, select, table
from sqlalchemy.orm import Session

from db import audit
from db.models import Disposition, Evaluation, EvaluationScore, InspectionJob, JobDrift, JobState
from db.seals import seal

_STEP, _OUTERMOST = 0.25, 7.0  # log-odds; 7 is a score of 0.9991
EDGES = tuple(
    1 / (1 + math.exp(-number * _STEP)) for number in range(round(-_OUTERMOST / _STEP), round(_OUTERMOST / _STEP) + 1)
)
CELLS = len(EDGES) + 1
# What is stored of a comparison: of how the job looks, and of its share of defects.
LOOKS = (
    "images",
    "reference_images",
    "prevalence",
    "plain_psi",
    "psi",
    "psi_limit",
    "ks",
    "ks_limit",
    "far",
    "reference_far",
)
RATES = (
    "defect_rate",
    "sensitivity",
    "specificity",
    "corrected_rate",
    "corrected_rate_lcl",
    "corrected_rate_ucl",
)
FAR = 1.0  # a novelty above it is far from anything seen in training

_v_results = table("v_results", *(column(name) for name in ("job", "score", "novelty", "disposition")))


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images by score and by novelty."""

    cells: tuple[int, ...]  # by score: below EDGES[0], from there to EDGES[1], …, from EDGES[-1] on
    with_novelty: int  # of these images, those whose novelty is known
    far: int  # of those, the ones with a novelty above FAR
    flagged: int  # FAIL by the job's limits

    @property
    def images(self) -> int:
        """All of them; each has a score."""
        return sum(self.cells)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a model said of labelled images."""

    defective: Counts
    good: Counts


def of_results(session: Session, job: int) -> Counts:
    """The verdicts of the job that count, without those of unreadable images."""
    view = _v_results.c
    images = _sorted(view.score, view.novelty, view.disposition == Disposition.FAIL.value)
    found = images.where(view.job == job, view.score.is_not(None)).subquery().c
    return _counts(session.execute(select(found.cell, *_counted(found)).group_by(found.cell)).all())


def of_evaluation(session: Session, evaluation: Evaluation, *, positive: str, fail_from: float) -> Reference:
    """The evaluation's images; flagged are those that a job with this limit would call FAIL."""
    row = EvaluationScore
    images = _sorted(row.score, row.novelty, row.score >= fail_from).add_columns((row.actual == positive).label("bad"))
    found = images.where(row.evaluation_id == evaluation.id, row.score.is_not(None)).subquery().c
    query = select(found.bad, found.cell, *_counted(found)).group_by(found.bad, found.cell)
    rows = session.execute(query).all()
    return Reference(
        defective=_counts([tuple(row)[1:] for row in rows if row.bad]),
        good=_counts([tuple(row)[1:] for row in rows if not row.bad]),
    )


def not_compared(session: Session, *, limit: int, besides: Sequence[int] = ()) -> list[int]:
    """Finished jobs of whose verdicts there is no comparison yet, the newest first."""
    compared = exists().where(JobDrift.job_id == InspectionJob.id, JobDrift.revision == InspectionJob.revision)
    query = select(InspectionJob.id).where(InspectionJob.state == JobState.DONE, ~compared)
    query = query.where(InspectionJob.id.not_in(besides)).order_by(InspectionJob.id.desc())
    return list(session.scalars(query.limit(limit)))


def add(session: Session, job: int, revision: int, values: dict[str, Any]) -> bool:
    """Write what came of a comparison, once; False where it is there, or the job has gone on since it was read."""
    is_current = exists().where(
        InspectionJob.id == job, InspectionJob.revision == revision, InspectionJob.state == JobState.DONE
    )
    is_there = exists().where(JobDrift.job_id == job, JobDrift.revision == revision)
    if not session.scalar(select(literal(True, Boolean())).where(is_current, ~is_there)):
        return False
    added = insert(JobDrift).values({"job_id": job, "revision": revision, **values}).returning(JobDrift.id)
    number = session.scalars(added).one()
    audit.record(
        session,
        actor=audit.SYSTEM,
        action="job.compare",
        subject=f"job:{job}",
        revision=revision,
        likeness=values["likeness"],
        sealed=[seal(session, "job_drift", number)],
    )
    return True


def of_job(session: Session, job: InspectionJob) -> JobDrift | None:
    """The comparison of the verdicts that count; None where it has not been made."""
    return session.scalar(select(JobDrift).where(JobDrift.job_id == job.id, JobDrift.revision == job.revision))


def _cell(score: Any, first: int = 0, last: int = CELLS - 1) -> ColumnElement[int]:
    """The number of the cell that a score falls into, found by halving: six comparisons instead of fifty-seven."""
    if first == last:
        return literal(first)
    middle = (first + last + 1) // 2
    return case((score < EDGES[middle - 1], _cell(score, first, middle - 1)), else_=_cell(score, middle, last))


def _sorted(score: Any, novelty: Any, flagged: ColumnElement[bool]) -> Select[Any]:
    """Each image's cell and novelty, and, as 1 or 0, whether it is far and whether it is flagged."""
    return select(
        _cell(score).label("cell"),
        novelty.label("novelty"),
        case((novelty > FAR, 1), else_=0).label("far"),
        case((flagged, 1), else_=0).label("flagged"),
    )


def _counted(images: Any) -> tuple[ColumnElement[int], ...]:
    """(images, those with a novelty, far ones, flagged ones)."""
    return func.count(), func.count(images.novelty), func.sum(images.far), func.sum(images.flagged)


def _counts(rows: Sequence[Sequence[Any]]) -> Counts:
    """Of rows (cell, images, those with a novelty, far ones, flagged ones)."""
    by_cell = {int(row[0]): int(row[1]) for row in rows}
    return Counts(
        cells=tuple(by_cell.get(number, 0) for number in range(CELLS)),
        with_novelty=sum(int(row[2]) for row in rows),
        far=sum(int(row[3]) for row in rows),
        flagged=sum(int(row[4]) for row in rows),
    )
