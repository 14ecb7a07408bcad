"""What did people decide about images, and which images were drawn for them to look at?"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.clock import database_now
from db.models.base import Base, Id, enum_column
from db.models.states import Disposition


class ReviewDecision(StrEnum):
    """What a person says of an image, or that they take back what they said."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    UNSURE = "UNSURE"
    UNDONE = "UNDONE"


class Review(Base):
    """One decision of a person about one image. Never changed: who thinks better of it adds another, or takes it back.

    It holds for the image, not for the verdict: it stands when the job is judged by other limits, and falls when a
    retry finds other bytes in the file.
    """

    __tablename__ = "review"
    __table_args__ = (
        Index("ix_review_image", "job_id", "path"),
        CheckConstraint("(decision = 'UNDONE') = (undoes IS NOT NULL)", name="undoing"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("inspection_result.id"))  # the verdict that counted then
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(String(64))  # of the bytes that were shown; None where there were none
    reviewer: Mapped[str] = mapped_column(String(200))
    account: Mapped[str] = mapped_column(String(200))  # that typed it
    decision: Mapped[ReviewDecision] = mapped_column(enum_column(ReviewDecision))
    undoes: Mapped[int | None] = mapped_column(ForeignKey("review.id"), unique=True)
    reason_code: Mapped[str | None] = mapped_column(String(50))
    note: Mapped[str | None] = mapped_column(Text)
    previous_disposition: Mapped[Disposition] = mapped_column(enum_column(Disposition))  # the final one until then
    blind: Mapped[bool]  # neither score nor verdict were shown
    drawn: Mapped[bool]  # it came from a random sample of passed images
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class ReviewLease(Base):
    """Who has an image before them just now. Until it runs out nobody else gets it."""

    __tablename__ = "review_lease"
    __table_args__ = (UniqueConstraint("job_id", "path"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    path: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(String(200))
    lease_until: Mapped[datetime]


class SampleDraw(Base):
    """A random sample of the images of a job that passed, for people to look at without being told so."""

    __tablename__ = "sample_draw"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"), index=True)
    operating_point_id: Mapped[int] = mapped_column(ForeignKey("operating_point.id"))  # by which they passed
    revision: Mapped[int]  # of the job, then
    passed: Mapped[int]  # images of the job that passed, then
    images: Mapped[int]  # drawn, beside those that had been drawn before
    drawn_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class SampledImage(Base):
    """One image of a sample."""

    __tablename__ = "sampled_image"
    __table_args__ = (UniqueConstraint("draw_id", "position"), Index("ix_sampled_image_image", "job_id", "path"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    draw_id: Mapped[int] = mapped_column(ForeignKey("sample_draw.id"))
    position: Mapped[int]  # from 0, in random order: whoever stops anywhere has seen a random sample
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(String(64))
