"""Between which states do rows move, and what may a verdict be?"""

from enum import StrEnum


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
