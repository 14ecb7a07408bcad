"""Who is alive, who leads, and what was done?"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.clock import database_now
from db.models.base import Base, Id, enum_column
from db.models.states import JobState


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

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    time: Mapped[datetime] = mapped_column(default=database_now())
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(50))
    subject: Mapped[str] = mapped_column(String(200), index=True)
    details: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))  # db/audit.py says of what


class SubmissionKey(Base):
    """By which a program knows its own submission again."""

    __tablename__ = "submission_key"
    __table_args__ = (UniqueConstraint("account", "key"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account: Mapped[str] = mapped_column(String(200))  # a key is its own
    key: Mapped[str] = mapped_column(String(200))
    asked: Mapped[str] = mapped_column(String(64))  # sha256 of what was asked
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"))
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class Webhook(Base):
    """An address that wants to be told when a job has ended, and how far telling it is."""

    __tablename__ = "webhook"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("inspection_job.id"), unique=True)
    url: Mapped[str] = mapped_column(Text)
    told_state: Mapped[JobState | None] = mapped_column(enum_column(JobState))  # which end it was told of last
    told_revision: Mapped[int | None]  # of the job, then: a job that is retried ends once more
    told_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)  # to tell of the job's last end; 0 once it was told
    next_at: Mapped[datetime | None] = mapped_column(index=True)  # None: nothing to tell, or given up
    problem: Mapped[str | None] = mapped_column(Text)  # of the last attempt
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class StageTime(Base):
    """Where the time of images went on one host, since its first batch: a stage's seconds, over all its threads."""

    __tablename__ = "stage_time"

    host: Mapped[str] = mapped_column(String(200), primary_key=True)
    stage: Mapped[str] = mapped_column(String(20), primary_key=True)
    seconds: Mapped[float]
