"""What was the verdict on an image, and how does a person or an auditor ask for it?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Select,
    bindparam,
    case,
    column,
    func,
    insert,
    literal_column,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, aliased

from db.clock import UtcDateTime
from db.errors import NotFound
from db.models import Base, Disposition, InspectionResult
from db.seals import Digest, encoded

# The columns of the view v_dispositions, in the order in which they are exported.
COLUMNS = (
    "job",
    "batch",
    "path",
    "sha256",
    "size",
    "width",
    "height",
    "score",
    "novelty",
    "tile_x",
    "tile_y",
    "tile_width",
    "tile_height",
    "label",
    "disposition",
    "reason_code",
    "detail",
    "model",
    "checkpoint_digest",
    "operating_point",
    "engine",
    "precision",
    "device",
    "worker",
    "time",
    "revision",
    "result",
    "reused_from",
    "rejudged_from",
    "final_disposition",
    "decision",
    "review_reason",
    "reviewed_by",
    "reviewed_at",
    "review",
)
MOMENTS = ("time", "reviewed_at")
_FETCH_ROWS = 1000  # rows in memory at a time: a job may have millions

_v_dispositions = table(
    "v_dispositions", *(column(name, UtcDateTime() if name in MOMENTS else None) for name in COLUMNS)
)
_v_results = table("v_results", *(column(name) for name in COLUMNS[: COLUMNS.index("final_disposition")]))
_v_folders = table("v_results", column("job"), column("folder"), column("disposition"))


@dataclass(frozen=True, kw_only=True)
class FolderCounts:
    """The verdicts on the images that lie directly in one folder."""

    folder: str  # relative to the job's root, with its final '/'; empty for the root itself
    images: int
    failed: int
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class RuntimeCount:
    """How many verdicts one worker gave, and with what."""

    engine: str
    precision: str
    device: str
    worker: str
    images: int


@dataclass(frozen=True, kw_only=True)
class NewResult:
    """One verdict as a worker hands it over. `score` is P(defective); None where UNREADABLE, as `novelty` is."""

    path: str
    sha256: str | None
    size: int | None  # bytes
    width: int | None  # pixels
    height: int | None
    score: float | None
    label: str | None
    disposition: Disposition
    reason_code: str | None
    detail: str | None
    checkpoint_id: int
    operating_point_id: int
    engine: str
    precision: str
    device: str
    worker: str
    novelty: float | None = None  # None also where the model cannot tell
    tile_x: int | None = None  # pixels: the tile that decided; None where the model looks at whole images
    tile_y: int | None = None
    tile_width: int | None = None
    tile_height: int | None = None
    reused_from: int | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What verdicts are judged with. Those of two images of the same bytes and the same judgement are the same."""

    checkpoint_id: int
    operating_point_id: int
    engine: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class KnownVerdict:
    """The verdict that the network gave on an identical file."""

    result: int
    width: int  # pixels
    height: int
    score: float
    novelty: float | None
    tile: tuple[int | None, int | None, int | None, int | None]  # as in NewResult
    label: str
    disposition: Disposition
    device: str


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What the chain of events keeps of verdicts."""

    images: int
    digest: str  # db/seals.py says of what


def known(session: Session, digests: Sequence[str], by: Judgement, *, before_job: int) -> dict[str, KnownVerdict]:
    """Of those sha256s that an older job than `before_job` has judged, the oldest job's first verdict with a score."""
    asked = {"digests": list(dict.fromkeys(digests)), "before": before_job, **vars(by)}
    return {
        row.sha256: KnownVerdict(
            result=row.id,
            width=row.width,
            height=row.height,
            score=row.score,
            novelty=row.novelty,
            tile=(row.tile_x, row.tile_y, row.tile_width, row.tile_height),
            label=row.label,
            disposition=row.disposition,
            device=row.device,
        )
        for row in session.execute(_knowing(session.get_bind().dialect.name), asked)
    }


@cache
def _knowing(dialect: str) -> Select[*tuple[Any, ...]]:
    """Built once. One row per sha256, however many files have those bytes: a camera that is off repeats itself."""
    elements = func.json_array_elements_text if dialect == "postgresql" else func.json_each
    asked = elements(bindparam("digests", type_=JSON)).table_valued("value")
    row = aliased(InspectionResult)
    first = (
        select(row.id)
        .where(
            row.sha256 == asked.c.value,
            row.reused_from.is_(None),
            row.checkpoint_id == bindparam("checkpoint_id"),
            row.operating_point_id == bindparam("operating_point_id"),
            row.engine == bindparam("engine"),
            row.precision == bindparam("precision"),
            row.job_id < bindparam("before"),
            row.score.is_not(None),
        )
        .order_by(row.job_id, row.id)  # the index's own order: by id alone PostgreSQL walks through the table
        .limit(1)
        .correlate(asked)
        .scalar_subquery()
    )
    found = select(first.label("id")).select_from(asked).subquery()
    row = InspectionResult
    columns = (
        row.id,
        row.sha256,
        row.width,
        row.height,
        row.score,
        row.novelty,
        row.tile_x,
        row.tile_y,
        row.tile_width,
        row.tile_height,
        row.label,
        row.disposition,
        row.device,
    )
    return select(*columns).join(found, row.id == found.c.id)


def add(
    session: Session,
    job: int,
    batch: int,
    revision: int,
    rows: Sequence[NewResult],
    *,
    time: datetime,
    ids: Sequence[int] | int,
) -> Sealed:
    """Write a batch's verdicts, and give what the chain of events keeps of them.

    A second verdict on the same image and revision violates a constraint.
    """
    keys = {"job_id": job, "batch_id": batch, "revision": revision, "time": time, "rejudged_from": None}
    numbers = range(ids, ids + len(rows)) if isinstance(ids, int) else ids
    new = [vars(row) | keys | {"id": number} for number, row in zip(numbers, rows, strict=True)]
    if session.get_bind().dialect.name == "postgresql":
        _copy(session, new)
    elif new:
        session.execute(insert(_RESULTS), new)
    return sealed(new)


def sealed(rows: Iterable[Mapping[Any, Any]]) -> Sealed:
    """Of rows with every column, in the order of their ids."""
    digest = Digest()
    images = digest.add(_RESULTS.name, _SORTED, rows)
    return Sealed(images=images, digest=digest.hex)


def of_revision(session: Session, job: int, revision: int) -> Iterator[Mapping[Any, Any]]:
    """Every column of the verdicts of that revision, in the order of their ids. The session must stay open."""
    wanted = (_RESULTS.c.job_id == job, _RESULTS.c.revision == revision)
    query = select(_RESULTS).where(*wanted).order_by(_RESULTS.c.id)
    yield from session.execute(query.execution_options(yield_per=_FETCH_ROWS)).mappings()


def as_sealed(session: Session, job: int) -> Iterator[str]:
    """Every verdict ever given in the job, as JSON, in the order of the ids: digests are made of these."""
    query = select(_RESULTS).where(_RESULTS.c.job_id == job).order_by(_RESULTS.c.id)
    for row in session.execute(query.execution_options(yield_per=_FETCH_ROWS)).mappings():
        yield encoded(_SORTED, row)


def free_ids(dialect: str) -> ColumnElement[Any]:
    """What `add` takes as ids, to be returned by the UPDATE of the batch that it writes the verdicts of.

    The digest covers ids, too, so they must be known before the rows are written; a question of its own costs more
    than the digest does.
    """
    if dialect == "postgresql":
        return literal_column("ARRAY(SELECT nextval('inspection_result_id_seq') FROM generate_series(1, batch.images))")
    return literal_column("(SELECT coalesce(max(id), 0) + 1 FROM inspection_result)")  # nobody else writes meanwhile


_RESULTS = Base.metadata.tables["inspection_result"]  # the table, not the class: rows by the hundred, and no objects
_COLUMNS = tuple(_RESULTS.columns.keys())
_SORTED = tuple(sorted(_COLUMNS))
_COPY = f"COPY inspection_result ({', '.join(_COLUMNS)}) FROM STDIN"


def _copy(session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
    """Several times faster than INSERT, in the same transaction and under the same constraints."""
    connection = session.connection()
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("a connection that is checked out has a driver")
    try:
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                copy.write_row([row[name] for name in _COLUMNS])
    except Exception as error:
        dialect = connection.dialect
        if not isinstance(error, dialect.loaded_dbapi.Error):
            raise
        # As SQLAlchemy itself would raise it: what handles a database that is away, or a repeated verdict, knows those.
        wrapped = DBAPIError.instance(_COPY, None, error, dialect.loaded_dbapi.Error, dialect=dialect)
        raise wrapped from error


def of_job(
    session: Session, job: int, *, disposition: Disposition | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The verdicts that count, one dictionary with the keys of COLUMNS each, in the order of the paths.

    Streams: the session must stay open while the caller iterates.
    """
    query = select(_v_dispositions).where(_v_dispositions.c.job == job).order_by(_v_dispositions.c.path)
    if disposition is not None:
        query = query.where(_v_dispositions.c.disposition == disposition.value)
    if limit is not None:
        query = query.limit(limit)
    rows = session.execute(query.execution_options(yield_per=_FETCH_ROWS))
    for row in rows.mappings():
        yield dict(row)


def get(session: Session, result: int) -> InspectionResult:
    """One verdict. Raises NotFound."""
    found = session.get(InspectionResult, result)
    if found is None:
        raise NotFound(f"There is no verdict {result}.")
    return found


def of_file(session: Session, sha256: str, *, limit: int) -> Sequence[InspectionResult]:
    """The verdicts that files of these bytes got, in any job, newest first."""
    query = select(InspectionResult).where(InspectionResult.sha256 == sha256)
    return session.scalars(query.order_by(InspectionResult.id.desc()).limit(limit)).all()


def newest_of_job(job: int) -> Select[int]:
    """The ids of the verdicts of the job that count."""
    return select(_v_results.c.result).where(_v_results.c.job == job)


def unreadable_paths(session: Session, job: int) -> list[str]:
    """The images of the job that could not be read, in the order of the paths."""
    query = select(_v_results.c.path).where(_v_results.c.job == job, _v_results.c.disposition == "UNREADABLE")
    return list(session.scalars(query.order_by(_v_results.c.path)))


def scores(session: Session, job: int) -> Iterator[float]:
    """P(defective) of every image of the job that has one."""
    query = select(_v_results.c.score).where(_v_results.c.job == job, _v_results.c.score.is_not(None))
    yield from session.scalars(query.execution_options(yield_per=_FETCH_ROWS))


def newest_time(session: Session, job: int) -> datetime | None:
    """When the last verdict of the job was given."""
    return session.scalar(select(func.max(InspectionResult.time)).where(InspectionResult.job_id == job))


def operating_points(session: Session, job: int) -> list[int]:
    """By which any verdict of the job was judged, older revisions included."""
    used = select(InspectionResult.operating_point_id).where(InspectionResult.job_id == job).distinct()
    return list(session.scalars(used))


def ranked(session: Session, job: int, disposition: Disposition, *, limit: int) -> list[dict[str, Any]]:
    """The verdicts of one disposition with the keys of COLUMNS: the highest scores, then the order of the paths."""
    query = select(_v_dispositions).where(
        _v_dispositions.c.job == job, _v_dispositions.c.disposition == disposition.value
    )
    query = query.order_by(_v_dispositions.c.score.desc(), _v_dispositions.c.path).limit(limit)
    return [dict(row) for row in session.execute(query).mappings()]


def by_folder(session: Session, job: int, *, limit: int) -> list[FolderCounts]:
    """The folders with the most FAIL, then the order of their names."""
    verdict, folder = _v_folders.c.disposition, _v_folders.c.folder
    failed = func.sum(case((verdict == Disposition.FAIL.value, 1), else_=0))
    unreadable = func.sum(case((verdict == Disposition.UNREADABLE.value, 1), else_=0))
    query = select(folder, func.count(), failed, unreadable).where(_v_folders.c.job == job).group_by(folder)
    return [
        FolderCounts(folder=name, images=images, failed=fails, unreadable=lost)
        for name, images, fails, lost in session.execute(query.order_by(failed.desc(), folder).limit(limit))
    ]


def folders(session: Session, job: int) -> int:
    """In how many folders the images of the job lie."""
    return session.scalar(select(func.count(_v_folders.c.folder.distinct())).where(_v_folders.c.job == job)) or 0


def runtimes(session: Session, job: int) -> list[RuntimeCount]:
    """Which workers judged the images of the job, the busiest first, with which engine on which device."""
    view = _v_results.c
    keys = (view.engine, view.precision, view.device, view.worker)
    query = select(*keys, func.count()).where(view.job == job).group_by(*keys).order_by(func.count().desc(), *keys)
    return [
        RuntimeCount(engine=engine, precision=precision, device=device, worker=worker, images=images)
        for engine, precision, device, worker, images in session.execute(query)
    ]
