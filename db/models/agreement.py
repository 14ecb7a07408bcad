"""Do people agree with each other, with themselves, and with what is known? Studies, and what was answered in them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.clock import database_now
from db.models.base import Base, Id, enum_column


class Answer(StrEnum):
    """What a person says of an image in a study."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    UNSURE = "UNSURE"


class AgreementStudy(Base):
    """The same images of a job for several people, each of whom sees them `trials` times, in another order."""

    __tablename__ = "agreement_study"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"), index=True)
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"))  # by which the model judged then
    reviewers: Mapped[list[str]]
    trials: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class AgreementImage(Base):
    """One image of a study."""

    __tablename__ = "agreement_image"
    __table_args__ = (UniqueConstraint("study_id", "position"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("agreement_study.id"))
    position: Mapped[int]  # from 0
    result_id: Mapped[int] = mapped_column(ForeignKey("inspection_result.id"))  # the model's verdict then
    path: Mapped[str] = mapped_column(Text)
    reference: Mapped[Answer | None] = mapped_column(enum_column(Answer))  # what is known of it, where it is known


class AgreementAnswer(Base):
    """What one person said of one image in one trial. Only ever added."""

    __tablename__ = "agreement_answer"
    __table_args__ = (
        UniqueConstraint("image_id", "reviewer", "trial"),
        Index("ix_agreement_answer_reviewer", "study_id", "reviewer"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("agreement_study.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("agreement_image.id"))
    reviewer: Mapped[str] = mapped_column(String(200))
    account: Mapped[str] = mapped_column(String(200))  # that typed it
    trial: Mapped[int]  # from 1
    answer: Mapped[Answer] = mapped_column(enum_column(Answer))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
