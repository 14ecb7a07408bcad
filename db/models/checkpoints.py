"""What was a model made of, and what is it?"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import database_now
from db.models.base import Base, Id, enum_column
from db.models.states import ModelStatus


class DatasetSnapshot(Base):
    """What a model was trained or judged on: the files by digest, not by folder name."""

    __tablename__ = "dataset_snapshot"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
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

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    dataset_snapshot_id: Mapped[int] = mapped_column(ForeignKey("dataset_snapshot.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    image_group: Mapped[str | None] = mapped_column(Text)  # by the group rule
    signature: Mapped[bytes]  # as vision.signature makes it


class TrainingRun(Base):
    """How a checkpoint came about. Written when it is finished: an interrupted run leaves no row."""

    __tablename__ = "training_run"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
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

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    status: Mapped[ModelStatus] = mapped_column(enum_column(ModelStatus))
    architecture: Mapped[str] = mapped_column(String(100))
    positive_class: Mapped[str] = mapped_column(String(200))
    negative_class: Mapped[str] = mapped_column(String(200))
    preprocessing: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    training_run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    training_run: Mapped[TrainingRun] = relationship()
