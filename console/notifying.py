"""How is it said whom a job tells of its end, and how far that is?"""

from datetime import datetime
from typing import Any

from db.models import OPEN_JOBS, InspectionJob, Webhook


def notify_words(job: InspectionJob, row: Webhook | None) -> str | None:
    """One or two sentences; None where nobody is told."""
    if row is None:
        return None
    if job.state in OPEN_JOBS:
        return f"{row.url} is told when the job has ended."
    if row.problem is None:
        if row.next_at is None and row.told_state is not None:
            return f"{row.url} was told at {_at(row.told_at)} that it is {row.told_state.value}."
        return f"{row.url} is about to be told."
    times = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
    then = "This was given up" if row.next_at is None else f"The next attempt is at {_at(row.next_at)}"
    return f"{row.url} is not told, after {times}: {row.problem} {then}."


def notify_fields(job: InspectionJob, row: Webhook | None) -> dict[str, Any] | None:
    """The same for programs."""
    if row is None:
        return None
    return {
        "url": row.url,
        "told_state": row.told_state,
        "told_revision": row.told_revision,
        "told_at": _at(row.told_at),
        "attempts": row.attempts,
        "problem": row.problem,
        "next_at": None if job.state in OPEN_JOBS else _at(row.next_at),
    }


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
