"""How was a model judged, and by which limits does it judge?"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import database_now
from db.models.base import Base, Id
from db.models.checkpoints import Checkpoint, DatasetSnapshot


class OperatingPoint(Base):
    """The limits a score is judged by: below `pass_below` PASS, from `fail_from` on FAIL, REVIEW between.

    Never changed: other limits are another version.
    """

    __tablename__ = "operating_point"
    __table_args__ = (
        UniqueConstraint("checkpoint_id", "version"),
        CheckConstraint("0 <= pass_below AND pass_below <= fail_from AND fail_from <= 1", name="limits"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"))
    version: Mapped[int]
    pass_below: Mapped[float]
    fail_from: Mapped[float]
    origin: Mapped[str] = mapped_column(String(100))  # "default", "targets" or "by hand"
    targets: Mapped[dict[str, Any] | None]  # what they were to keep, as trainer.operating_point names it
    evaluation_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("evaluation.id"))  # whose scores were read
    proposed_by: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    checkpoint: Mapped[Checkpoint] = relationship()
    approval: Mapped["OperatingPointApproval | None"] = relationship()


class OperatingPointApproval(Base):
    """Who answers for an operating point, and why. Without such a row it is UNAPPROVED."""

    __tablename__ = "operating_point_approval"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"), unique=True)
    approved_by: Mapped[str] = mapped_column(String(200))  # as they signed
    reason: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(String(200))  # that typed it
    approved_at: Mapped[datetime] = mapped_column(default=database_now())


class Evaluation(Base):
    """A checkpoint judged on labelled images, by the code that the workers run."""

    __tablename__ = "evaluation"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
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

    id: Mapped[int] = mapped_column(Id, primary_key=True)
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

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    actual: Mapped[str] = mapped_column(String(200))
    predicted: Mapped[str] = mapped_column(String(200))
    images: Mapped[int]


class EvaluationScore(Base):
    """One image of an evaluation; without a score where it could not be read."""

    __tablename__ = "evaluation_score"
    __table_args__ = (UniqueConstraint("evaluation_id", "path"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
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

    id: Mapped[int] = mapped_column(Id, primary_key=True)
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
