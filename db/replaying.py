"""Which verdicts of a job are to be given once more, and what was recorded of each?

Asked page by page, in transactions of their own: a replay of a million images takes hours, and holds neither a
transaction nor a list of them that long.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from db.engine import Engine, reading
from db.models import Checkpoint, Disposition, InspectionJob, InspectionResult, OperatingPoint

PAGE_ROWS = 256
_FETCH_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class GivenBy:
    """What verdicts were given by, as it is stored with each."""

    checkpoint_id: int
    engine: str
    precision: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A verdict as it is stored, and the limits and the words that it was judged by."""

    path: str  # relative to the job's folder, as db.paths writes it
    sha256: str | None
    score: float | None
    label: str | None
    disposition: Disposition
    reason_code: str | None
    pass_below: float
    fail_from: float
    positive_class: str
    negative_class: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Verdicts of a job that are replayed together."""

    by: GivenBy
    reasons: tuple[str, ...]  # why an image was unreadable
    among: bool  # those with one of the reasons, or all the others
    paths: Sequence[str] | None  # of these alone


def sample(session: Session, job: int, size: int, seed: int) -> list[str]:
    """`size` of the job's paths in their order, the same ones for the same seed; all of them where there are fewer.

    Those whose sha256 of "seed:path" is smallest: anybody can draw them again, and a larger sample holds the smaller
    ones. Reads every path of the job from an index, and keeps `size` of them.
    """
    own = select(InspectionResult.path).where(InspectionResult.job_id == job).distinct()
    paths = session.scalars(own.execution_options(yield_per=_FETCH_ROWS))
    return sorted(nsmallest(size, paths, key=lambda path: hashlib.sha256(f"{seed}:{path}".encode()).digest()))


def given_by(session: Session, job: int) -> list[GivenBy]:
    """Everything that any verdict of the job was given by."""
    row = InspectionResult
    keys = (row.checkpoint_id, row.engine, row.precision, row.device)
    return [
        GivenBy(checkpoint_id=checkpoint, engine=engine, precision=precision, device=device)
        for checkpoint, engine, precision, device in session.execute(
            select(*keys).where(row.job_id == job).distinct().order_by(*keys)
        )
    ]


def pages(engine: Engine, job: InspectionJob, wanted: Wanted) -> Iterator[list[Recorded]]:
    """The verdicts of the job that count, of those that are wanted, in the order of their paths, some at a time.

    Verdicts of a later revision than `job` names are not looked at: one that is given meanwhile does not get in
    between.
    """
    query = _counting(job, wanted)
    if wanted.paths is not None:
        for start in range(0, len(wanted.paths), PAGE_ROWS):
            some = wanted.paths[start : start + PAGE_ROWS]
            if page := _page(engine, query.where(InspectionResult.path.in_(some))):
                yield page
        return
    page = _page(engine, query)
    while page:
        yield page
        page = _page(engine, query.where(InspectionResult.path > page[-1].path))


def _counting(job: InspectionJob, wanted: Wanted) -> Select[*tuple[Any, ...]]:
    row, other, by = InspectionResult, aliased(InspectionResult), wanted.by
    newest = (
        select(func.max(other.revision))
        .where(other.job_id == row.job_id, other.path == row.path, other.revision <= job.revision)
        .scalar_subquery()
    )
    for_reason = func.coalesce(row.reason_code, "").in_(wanted.reasons)
    return (
        select(
            row.path,
            row.sha256,
            row.score,
            row.label,
            row.disposition,
            row.reason_code,
            OperatingPoint.pass_below,
            OperatingPoint.fail_from,
            Checkpoint.positive_class,
            Checkpoint.negative_class,
        )
        .join(OperatingPoint, OperatingPoint.id == row.operating_point_id)
        .join(Checkpoint, Checkpoint.id == row.checkpoint_id)
        .where(
            row.job_id == job.id,
            row.revision == newest,
            row.checkpoint_id == by.checkpoint_id,
            row.engine == by.engine,
            row.precision == by.precision,
            row.device == by.device,
            for_reason if wanted.among else ~for_reason,
        )
    )


def _page(engine: Engine, query: Select[*tuple[Any, ...]]) -> list[Recorded]:
    with reading(engine) as session:
        rows = session.execute(query.order_by(InspectionResult.path).limit(PAGE_ROWS))
        return [Recorded(**row) for row in rows.mappings()]
