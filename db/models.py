"""Which rows are kept? One class per table, in the words of ARCHITECTURE.md.

Positive = defective, score = P(defective), everywhere. Nothing here decides anything: the
modules named after the aggregates do (jobs, batches, results, checkpoints, evaluations, audit).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from db.clock import UtcDateTime, database_now

# SQLite numbers rows by itself only where the key is spelled INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Named constraints, so that a migration can find them on every engine."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[str]: JSON(),
        list[Any]: JSON(),
    }

    def values(self) -> dict[str, Any]:
        """Every column by its name, as JSON holds it: what is stored of the row, whole."""
        return {attribute.key: _plain(getattr(self, attribute.key)) for attribute in self.__mapper__.column_attrs}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, StrEnum) else value


def _enum(kind: type[StrEnum]) -> Enum:
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=16,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


class ModelStatus(StrEnum):
    """May a scan use this checkpoint without naming it?"""

    CANDIDATE = "candidate"
    APPROVED = "approved"
    RETIRED = "retired"


class JobState(StrEnum):
    """pending -> planning -> running -> done | cancelled | failed. Arrows: db/jobs.py."""

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class BatchState(StrEnum):
    """planned -> dispatched -> running -> done. Arrows: db/batches.py."""

    PLANNED = "planned"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Disposition(StrEnum):
    """What happens to the part."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    REVIEW = "REVIEW"
    UNREADABLE = "UNREADABLE"

    @classmethod
    def of(cls, score: float, pass_below: float, fail_from: float) -> "Disposition":
        """The verdict on an image with that score, by these limits."""
        if score < pass_below:
            return cls.PASS
        return cls.FAIL if score >= fail_from else cls.REVIEW


OPEN_JOBS = (JobState.PENDING, JobState.PLANNING, JobState.RUNNING)
OPEN_BATCHES = (BatchState.PLANNED, BatchState.DISPATCHED, BatchState.RUNNING)


class DatasetSnapshot(Base):
    """What a model was trained or judged on: the files by digest, not by folder name."""

    __tablename__ = "dataset_snapshot"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    root: Mapped[str] = mapped_column(Text)
    layout: Mapped[str] = mapped_column(String(50))  # "split folders", "class folders" or "labels file"
    split_seed: Mapped[int | None] = mapped_column(BigInteger)  # None where the folder came with its split
    test_share: Mapped[float | None]
    positive_class: Mapped[str] = mapped_column(String(200))
    class_names: Mapped[list[str]]
    counts: Mapped[dict[str, Any]]  # {"train": {"defective": 120, "ok": 300}, "test": ...}
    skipped: Mapped[list[Any]]  # [[path, reason], ...]: the files that could not be read
    twins_across_splits: Mapped[int]  # test files whose very bytes are in train, too
    near_twins_across_splits: Mapped[int | None]  # test images with a near twin in train; None: nobody looked
    group_rule: Mapped[str | None] = mapped_column(Text)  # as trainer.grouping writes it; None: no groups
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class TrainingImage(Base):
    """One image that a model of this data set has learned from, or that its limits are read off."""

    __tablename__ = "training_image"
    __table_args__ = (UniqueConstraint("dataset_snapshot_id", "path"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    dataset_snapshot_id: Mapped[int] = mapped_column(ForeignKey("dataset_snapshot.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    image_group: Mapped[str | None] = mapped_column(Text)  # by the group rule
    signature: Mapped[bytes]  # as vision.signature makes it


class TrainingRun(Base):
    """How a checkpoint came about. Written when it is finished: an interrupted run leaves no row."""

    __tablename__ = "training_run"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    dataset_snapshot_id: Mapped[int] = mapped_column(ForeignKey("dataset_snapshot.id"))
    recipe: Mapped[dict[str, Any]]
    history: Mapped[list[Any]]  # one object per epoch
    best_epoch: Mapped[int | None]  # whose weights were kept; None: the last one's
    calibration: Mapped[dict[str, Any] | None]  # as trainer.calibration names it; None without validation images
    device: Mapped[str] = mapped_column(String(100))
    code_version: Mapped[str] = mapped_column(String(100))
    library_versions: Mapped[dict[str, Any]]
    resumed: Mapped[bool]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    dataset: Mapped[DatasetSnapshot] = relationship()


class Checkpoint(Base):
    """A model file, known by the sha256 of its bytes."""

    __tablename__ = "checkpoint"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    status: Mapped[ModelStatus] = mapped_column(_enum(ModelStatus))
    architecture: Mapped[str] = mapped_column(String(100))
    positive_class: Mapped[str] = mapped_column(String(200))
    negative_class: Mapped[str] = mapped_column(String(200))
    preprocessing: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    training_run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    training_run: Mapped[TrainingRun] = relationship()


class OperatingPoint(Base):
    """The limits a score is judged by: below `pass_below` PASS, from `fail_from` on FAIL, REVIEW between.

    Never changed: other limits are another version.
    """

    __tablename__ = "operating_point"
    __table_args__ = (
        UniqueConstraint("checkpoint_id", "version"),
        CheckConstraint("0 <= pass_below AND pass_below <= fail_from AND fail_from <= 1", name="limits"),
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"))
    version: Mapped[int]
    pass_below: Mapped[float]
    fail_from: Mapped[float]
    origin: Mapped[str] = mapped_column(String(100))  # "default", "targets" or "by hand"
    targets: Mapped[dict[str, Any] | None]  # what they were to keep, as trainer.operating_point names it
    evaluation_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("evaluation.id"))  # whose scores were read
    proposed_by: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    checkpoint: Mapped["Checkpoint"] = relationship()
    approval: Mapped["OperatingPointApproval | None"] = relationship()


class OperatingPointApproval(Base):
    """Who answers for an operating point, and why. Without such a row it is UNAPPROVED."""

    __tablename__ = "operating_point_approval"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"), unique=True)
    approved_by: Mapped[str] = mapped_column(String(200))  # as they signed
    reason: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(String(200))  # that typed it
    approved_at: Mapped[datetime] = mapped_column(default=database_now())


class Evaluation(Base):
    """A checkpoint judged on labelled images, by the code that the workers run."""

    __tablename__ = "evaluation"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    dataset_snapshot_id: Mapped[int] = mapped_column(ForeignKey("dataset_snapshot.id"))
    split: Mapped[str] = mapped_column(String(50))
    threshold: Mapped[float]  # score >= threshold is predicted defective
    engine: Mapped[str] = mapped_column(String(50))
    precision: Mapped[str] = mapped_column(String(20))
    device: Mapped[str] = mapped_column(String(100))
    images: Mapped[int]
    unreadable: Mapped[int]
    # Images with a twin, or one of their group, among those that the model was trained on. None: that was not told.
    leaking: Mapped[int | None]
    leaks: Mapped[list[Any] | None]  # the first of them: {"path", "sha256", "training_path", …} as trainer.leakage says
    # Each figure with its 95% bounds, two-sided; no bounds where there is no figure, or from before there were any.
    accuracy: Mapped[float]
    accuracy_lcl: Mapped[float | None]
    accuracy_ucl: Mapped[float | None]
    miss_rate: Mapped[float | None]  # FN / defective
    miss_rate_lcl: Mapped[float | None]
    miss_rate_ucl: Mapped[float | None]
    false_alarm_rate: Mapped[float | None]  # FP / good
    false_alarm_rate_lcl: Mapped[float | None]
    false_alarm_rate_ucl: Mapped[float | None]
    escapes_ppm: Mapped[float | None]  # FN per million passed
    escapes_ppm_lcl: Mapped[float | None]
    escapes_ppm_ucl: Mapped[float | None]
    auroc: Mapped[float | None]
    auroc_lcl: Mapped[float | None]
    auroc_ucl: Mapped[float | None]
    average_precision: Mapped[float | None]
    average_precision_lcl: Mapped[float | None]
    average_precision_ucl: Mapped[float | None]
    ece: Mapped[float | None]  # expected calibration error
    code_version: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    checkpoint: Mapped[Checkpoint] = relationship()
    dataset: Mapped[DatasetSnapshot] = relationship()
    class_metrics: Mapped[list["ClassMetric"]] = relationship(order_by="ClassMetric.position")
    cells: Mapped[list["ConfusionCell"]] = relationship(order_by="ConfusionCell.id")


class ClassMetric(Base):
    """One line of a classification report: a class, or the macro or weighted average."""

    __tablename__ = "class_metric"
    __table_args__ = (UniqueConstraint("evaluation_id", "position"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    position: Mapped[int]  # line of the report, from 0, the positive class first
    name: Mapped[str] = mapped_column(String(200))
    is_average: Mapped[bool]
    precision: Mapped[float]
    precision_lcl: Mapped[float | None]
    precision_ucl: Mapped[float | None]
    recall: Mapped[float]
    recall_lcl: Mapped[float | None]
    recall_ucl: Mapped[float | None]
    f1: Mapped[float]
    f1_lcl: Mapped[float | None]
    f1_ucl: Mapped[float | None]
    support: Mapped[int]


class ConfusionCell(Base):
    """How many images of one true class were predicted as one class."""

    __tablename__ = "confusion_cell"
    __table_args__ = (UniqueConstraint("evaluation_id", "actual", "predicted"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    actual: Mapped[str] = mapped_column(String(200))
    predicted: Mapped[str] = mapped_column(String(200))
    images: Mapped[int]


class EvaluationScore(Base):
    """One image of an evaluation; without a score where it could not be read."""

    __tablename__ = "evaluation_score"
    __table_args__ = (UniqueConstraint("evaluation_id", "path"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(String(64))
    actual: Mapped[str] = mapped_column(String(200))
    score: Mapped[float | None]
    novelty: Mapped[float | None]  # as an InspectionResult's
    reason_code: Mapped[str | None] = mapped_column(String(50))


class RuntimeParity(Base):
    """How a runtime of a checkpoint compares with the reference. The newest row of a name counts."""

    __tablename__ = "runtime_parity"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    name: Mapped[str] = mapped_column(String(50))  # as vision/runtimes.py lists them
    file_digest: Mapped[str | None] = mapped_column(String(64))  # of an exported file
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    reference_evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("evaluation.id"))  # None: the reference
    images: Mapped[int]  # that both gave a score
    largest_difference: Mapped[float]
    mean_difference: Mapped[float]
    flipped: Mapped[int]  # verdicts at the evaluation's threshold
    accepted: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=database_now())


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

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    root: Mapped[str] = mapped_column(Text)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"))
    state: Mapped[JobState] = mapped_column(_enum(JobState))
    state_reason: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(default=0)  # higher goes first
    revision: Mapped[int] = mapped_column(default=1)  # one more with each retry of the unreadable images
    batch_images: Mapped[int]
    reuse: Mapped[bool] = mapped_column(default=True)  # an identical file's verdict is taken over
    runtime: Mapped[str] = mapped_column(String(50), default="auto")  # auto: as each worker finds best
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

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    sequence: Mapped[int]  # from 0, in the order of the walk
    revision: Mapped[int]
    state: Mapped[BatchState] = mapped_column(_enum(BatchState))
    images: Mapped[int]
    paths: Mapped[list[str]]  # relative to the job's root, as db.paths writes them
    attempt: Mapped[int] = mapped_column(default=1)  # one more each time it returns to planned with a reason
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
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
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
    disposition: Mapped[Disposition] = mapped_column(_enum(Disposition))
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


class ServiceHeartbeat(Base):
    """When a scheduler or worker last said that it is alive."""

    __tablename__ = "service_heartbeat"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    seen_at: Mapped[datetime]
    refused_messages: Mapped[int] = mapped_column(default=0)  # forged or garbled ones, since the service started


class Leadership(Base):
    """Which scheduler leads. One row; the others wait for its lease to run out."""

    __tablename__ = "leadership"

    role: Mapped[str] = mapped_column(String(20), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    lease_until: Mapped[datetime]


class AuditEvent(Base):
    """Who did what to which record, and when. Only ever added to; each row's digest covers the row before it."""

    __tablename__ = "audit_event"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    time: Mapped[datetime] = mapped_column(default=database_now())
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(50))
    subject: Mapped[str] = mapped_column(String(200), index=True)
    details: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))  # db/audit.py says of what


class JobDrift(Base):
    """How a finished job's scores and novelties compare with those of its model's evaluation. Never changed."""

    __tablename__ = "job_drift"
    __table_args__ = (UniqueConstraint("job_id", "revision"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
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
