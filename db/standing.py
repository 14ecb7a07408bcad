"""By which limits is each job judged, how did it end and with how many images, as the events tell it?

What changes in a job's row is covered by no digest; but each change of it is an event, and so is its end. Events of
before these figures were in them tell less, and are believed as far as they go.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from db import audit, moments
from db.ledgers import WORDS, Counted
from db.models import OPEN_JOBS, JobState

ENDS = {"job.done": JobState.DONE, "job.cancel": JobState.CANCELLED, "job.failed": JobState.FAILED}
_STATES = tuple(JobState)
_OPEN = "open"  # pending, planning or running: what comes between submission and end is no event
_MOVES = ("pass", "fail", "review")  # where another limit puts an image


class Event(Protocol):
    """An event of the chain."""

    @property
    def id(self) -> Any: ...
    @property
    def time(self) -> Any: ...
    @property
    def actor(self) -> Any: ...
    @property
    def action(self) -> Any: ...
    @property
    def subject(self) -> Any: ...
    @property
    def details(self) -> Any: ...


@dataclass(kw_only=True)
class Told:
    """What the events say of one job; None is what they do not say."""

    operating_point: int | None = None
    revision: int | None = None
    state: str | None = None
    ledger: dict[str, int] = field(default_factory=dict)  # at its end; fewer words from older events
    ended_at: datetime | None = None
    reason: str | None = None  # why it ended so
    event: int | None = None  # the newest that says something of it


@dataclass(kw_only=True)
class Standing:
    """Hears the events in their order, and is then asked of each job. As large as there are jobs."""

    told: dict[int, Told] = field(default_factory=dict)

    def hear(self, event: Event) -> None:
        """Raises ValueError, KeyError or TypeError where the event does not say what it should."""
        action, details = event.action, event.details
        if action not in (*ENDS, "job.submit", "job.retry", audit.RESULTS_REJUDGED):
            return
        job = self.told.setdefault(int(event.subject.removeprefix("job:")), Told())
        job.event = event.id
        if action == "job.submit":
            job.operating_point, job.revision, job.state = details.get("operating_point"), 1, _OPEN
        elif action == "job.retry":
            job.revision, job.state, job.ledger = details.get("revision", job.revision), _OPEN, {}
            job.ended_at = job.reason = None
        elif action == audit.RESULTS_REJUDGED:
            job.operating_point, job.revision = details["operating_point"], details["revision"]
            kept = {word: number for word, number in job.ledger.items() if word not in _MOVES}
            job.ledger = kept | _ledger(details)
        else:
            job.state, job.ledger, job.ended_at = ENDS[action].value, _ledger(details), event.time
            job.reason = f"cancelled by {event.actor}" if action == "job.cancel" else details.get("reason")

    def differences(self, found: Counted, *, older: bool) -> Iterator[str]:
        """What of the job's rows is not as the events say; a sentence each.

        `older`: the job was there before the digests, when not every end was an event.
        """
        job = f"Job {found.job}"
        told = self.told.get(found.job, Told())
        if found.state not in _STATES:
            yield f"{job} is {found.state!r}, and there is no such state."
        elif told.state is not None and told.state != _plain(found.state) and not (older and told.state == _OPEN):
            yield f"{job} is {found.state}, but by the events {_ended(told.state)}."
        if told.operating_point not in (None, found.operating_point):
            yield (
                f"{job} says that it is judged by operating point {found.operating_point}, but by the events it is "
                f"by {told.operating_point}."
            )
        if told.revision not in (None, found.revision) and not (older and told.revision == 1):
            yield f"{job} is at revision {found.revision}, but by the events at {told.revision}."
        if found.otherwise:
            says = f"{job} says that it is judged by operating point {found.operating_point}"
            yield f"{says}, but {found.otherwise} of its verdicts are by another."
        if told.reason not in (None, found.reason):
            yield f"{job} says of its end {found.reason!r}, but the event of it {told.reason!r}."
        if told.ended_at is not None and not moments.is_near(found.finished_at, told.ended_at):
            says = found.finished_at.isoformat() if found.finished_at else "no time"
            yield f"{job} says that it ended at {says}, but its event is of {told.ended_at.isoformat()}."
        if words := list(_moved(found, told)):
            yield f"{job}: the event of its end counts other images than there are: {', '.join(words)}."


def _ledger(details: dict[str, Any]) -> dict[str, int]:
    return {word: int(details[word]) for word in WORDS if word in details}


def _plain(state: str) -> str:
    return _OPEN if state in OPEN_JOBS else state


def _ended(state: str) -> str:
    return "it has not ended" if state == _OPEN else f"it is {state}"


def _moved(found: Counted, told: Told) -> Iterator[str]:
    """A batch that a worker held when its job failed may still be saved: then some verdicts are more, or better."""
    if _plain(found.state) == _OPEN:
        return
    late = told.state == JobState.FAILED
    for word, number in told.ledger.items():
        if found.ledger[word] != number and not (late and word not in ("submitted", "cancelled")):
            yield f"{number} {word}, not {found.ledger[word]}"
