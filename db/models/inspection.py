"""What was submitted, cut into batches and found?"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import database_now
from db.models.base import Base, Id, enum_column
from db.models.checkpoints import Checkpoint
from db.models.evaluations import OperatingPoint
from db.models.states import OPEN_BATCHES, BatchState, Disposition, JobState


class InspectionJob(Base):
    """One submitted folder."""

    __tablename__ = "inspection_job"
    __table_args__ = (
        Index(
            "ix_inspection_job_open",
            "state",
            postgresql_where=text("state IN ('pending', 'planning', 'running')"),
            sqlite_where=text("state IN ('pending', 'planning', 'running')"),
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    root: Mapped[str] = mapped_column(Text)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"))
    state: Mapped[JobState] = mapped_column(enum_column(JobState))
    state_reason: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(default=0)  # higher goes first
    revision: Mapped[int] = mapped_column(default=1)  # one more with each retry of the unreadable images
    batch_images: Mapped[int]
    reuse: Mapped[bool] = mapped_column(default=True)  # an identical file's verdict is taken over
    runtime: Mapped[str] = mapped_column(String(50), default="auto")  # auto: as each worker finds best
    # Share of the images that pass of which a random sample is drawn when the job is done; None: no sample.
    audit_rate: Mapped[float | None]
    submitted: Mapped[int] = mapped_column(default=0)  # images planned so far
    planned_batches: Mapped[int] = mapped_column(default=0)
    cursor: Mapped[str | None] = mapped_column(Text)  # the last path planned: where a killed planner goes on
    other_files: Mapped[int] = mapped_column(default=0)  # files without an image's extension
    linked_folders: Mapped[int] = mapped_column(default=0)  # symbolic links to folders: not entered
    submitted_by: Mapped[str] = mapped_column(String(200))
    submitted_at: Mapped[datetime] = mapped_column(default=database_now())
    planned_at: Mapped[datetime | None]  # when the walk through the folder was complete
    waiting_since: Mapped[datetime | None]  # when listing the folder began to fail, until it succeeds
    finished_at: Mapped[datetime | None]
    planner_token: Mapped[str | None] = mapped_column(String(32))
    planner_lease_until: Mapped[datetime | None]
    checkpoint: Mapped[Checkpoint] = relationship()
    operating_point: Mapped[OperatingPoint] = relationship()


class Batch(Base):
    """Some of a job's images: the unit of claiming, of the transaction and of the retry."""

    __tablename__ = "batch"
    __table_args__ = (
        UniqueConstraint("job_id", "sequence"),
        Index(
            "ix_batch_open",
            "state",
            "job_id",
            postgresql_where=text("state IN ('planned', 'dispatched', 'running')"),
            sqlite_where=text("state IN ('planned', 'dispatched', 'running')"),
        ),
        # What a scheduler asks for in every tick costs the same in a job of a thousand batches and of a million.
        Index(
            "ix_batch_planned",
            "job_id",
            "sequence",
            postgresql_where=text("state = 'planned'"),
            sqlite_where=text("state = 'planned'"),
        ),
        Index(
            "ix_batch_troubled",
            "job_id",
            postgresql_where=text("faults > 0 OR waiting_since IS NOT NULL"),
            sqlite_where=text("faults > 0 OR waiting_since IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    sequence: Mapped[int]  # from 0, in the order of the walk
    revision: Mapped[int]
    state: Mapped[BatchState] = mapped_column(enum_column(BatchState))
    images: Mapped[int]
    paths: Mapped[list[str]]  # relative to the job's root, as db.paths writes them
    attempt: Mapped[int] = mapped_column(default=1)  # one more each time it returns to planned with a reason
    expiries: Mapped[int] = mapped_column(default=0)  # of its leases, among the faults
    faults: Mapped[int] = mapped_column(default=0)  # attempts that failed it; from the first on, it is decoded guarded
    waiting_since: Mapped[datetime | None]  # when storage began to fail it, until an attempt gets through
    dispatched_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]  # given back because of a passing fault: not sent again until then
    note: Mapped[str | None] = mapped_column(Text)  # why it was given back last
    token: Mapped[str | None] = mapped_column(String(32))  # who holds the lease; nobody else may save
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None] = mapped_column(String(200))
    finished_at: Mapped[datetime | None]


def in_state(*states: BatchState) -> ColumnElement[bool]:
    """Whether a batch is in one of these states, all of them open.

    The words are those of the partial indexes, and stand in the statement itself: with bound parameters SQLite cannot
    see that an index holds the answer, and walks through all batches of a job that are done.
    """
    if states == (BatchState.PLANNED,):
        return Batch.state == bindparam(None, BatchState.PLANNED, literal_execute=True)
    is_open = Batch.state.in_(bindparam(None, OPEN_BATCHES, expanding=True, literal_execute=True))
    return is_open if set(states) == set(OPEN_BATCHES) else and_(is_open, Batch.state.in_(states))


class InspectionResult(Base):
    """The verdict on one image. (job, path, revision) is unique: no image is ever counted twice."""

    __tablename__ = "inspection_result"
    __table_args__ = (
        UniqueConstraint("job_id", "path", "revision"),
        Index(  # for `db.results.known`
            "ix_inspection_result_own",
            "sha256",
            "checkpoint_id",
            "operating_point_id",
            "engine",
            "precision",
            "job_id",
            "id",
            postgresql_where=text("reused_from IS NULL AND score IS NOT NULL"),
            sqlite_where=text("reused_from IS NULL AND score IS NOT NULL"),
        ),
        # A page of a job's images by their scores, and the next one for a person, cost the same in a large job.
        Index("ix_inspection_result_score", "job_id", "score", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"), index=True)
    path: Mapped[str] = mapped_column(Text)
    revision: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    size: Mapped[int | None] = mapped_column(BigInteger)  # bytes
    width: Mapped[int | None]  # pixels, after the EXIF orientation
    height: Mapped[int | None]
    score: Mapped[float | None]
    # Distance from the training images; 1: as far as the farthest one in a hundred. None: the model cannot tell.
    novelty: Mapped[float | None]
    # The tile that decided, in pixels of the upright image; None where the model looks at whole images.
    tile_x: Mapped[int | None]
    tile_y: Mapped[int | None]
    tile_width: Mapped[int | None]
    tile_height: Mapped[int | None]
    label: Mapped[str | None] = mapped_column(String(200))
    disposition: Mapped[Disposition] = mapped_column(enum_column(Disposition))
    reason_code: Mapped[str | None] = mapped_column(String(50))
    detail: Mapped[str | None] = mapped_column(Text)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"))
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"))
    engine: Mapped[str] = mapped_column(String(50))
    precision: Mapped[str] = mapped_column(String(20))
    device: Mapped[str] = mapped_column(String(100))
    worker: Mapped[str] = mapped_column(String(200))
    time: Mapped[datetime] = mapped_column(default=database_now())
    # The verdict on an identical file that was taken over, with its score, limits and runtime: no network was asked.
    reused_from: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("inspection_result.id"))
    # The verdict whose score was judged anew by other limits: no image was read.
    rejudged_from: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("inspection_result.id"))


class JobDrift(Base):
    """How a finished job's scores and novelties compare with those of its model's evaluation. Never changed."""

    __tablename__ = "job_drift"
    __table_args__ = (UniqueConstraint("job_id", "revision"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    revision: Mapped[int]  # of the job, whose verdicts were compared
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("evaluation.id"))  # None: there was none
    likeness: Mapped[str] = mapped_column(String(20))  # as scheduler/drift.py names it
    sentence: Mapped[str] = mapped_column(Text)
    images: Mapped[int]  # of the job, with a score
    reference_images: Mapped[int | None]  # here and below, None where there is no evaluation
    prevalence: Mapped[float | None]  # share of defective images of the mixture that fits best
    plain_psi: Mapped[float | None]  # population stability index of the scores as they are
    psi: Mapped[float | None]  # and against the mixture
    psi_limit: Mapped[float | None]
    ks: Mapped[float | None]  # distance of Kolmogorov and Smirnov, against the mixture
    ks_limit: Mapped[float | None]
    far: Mapped[float | None]  # share of images far from anything seen in training; None where no novelty is known
    reference_far: Mapped[float | None]
    defect_rate: Mapped[float | None]  # share of FAIL; None of no images
    sensitivity: Mapped[float | None]  # at the job's limits; None where the evaluation has no image of the class
    specificity: Mapped[float | None]
    # The defect rate corrected by them, with its 95% bounds; None where it cannot be told.
    corrected_rate: Mapped[float | None]
    corrected_rate_lcl: Mapped[float | None]
    corrected_rate_ucl: Mapped[float | None]
    histograms: Mapped[dict[str, Any] | None]  # edges of scores; images of job, defective and good, by cell
    created_at: Mapped[datetime] = mapped_column(default=database_now())
