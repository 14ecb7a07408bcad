"""Does a record lie where its event says that it was made, and does an event come after the one before it?

Every time is the database's own clock. It may be put right by some seconds, and a large record takes a while to be
written before its event is; who dates a signature back wants days.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

SET_BACK = timedelta(minutes=1)  # as far as a clock may have been put right
WRITTEN_WITHIN = timedelta(hours=1)  # of the transaction: a job of ten million scores is judged anew in minutes


class Reports(Protocol):
    """An event, as far as its time goes."""

    @property
    def id(self) -> Any: ...
    @property
    def time(self) -> Any: ...


@dataclass(kw_only=True)
class Order:
    """Sees events in their order."""

    _last: tuple[int, datetime] | None = None

    def broken_by(self, event: int, time: datetime) -> str | None:
        """What is odd about the time of the next event; a sentence."""
        before, self._last = self._last, (event, time)
        if before is None or time >= before[1] - SET_BACK:
            return None
        return (
            f"Event {event} says {time.isoformat()}, although event {before[0]} of {before[1].isoformat()} came first."
        )


@dataclass(kw_only=True)
class Span:
    """The first and the last time of rows that pass by."""

    ends: list[datetime] = field(default_factory=list)

    def over(self, rows: Iterable[Mapping[Any, Any]]) -> Iterator[Mapping[Any, Any]]:
        """The rows, as they are."""
        for row in rows:
            self.ends = [min([*self.ends, row["time"]]), max([*self.ends, row["time"]])]
            yield row


def odd(times: Iterable[datetime], event: Reports) -> str | None:
    """What is said of times that do not lie at the event that reports what was made then; the end of a sentence."""
    for time in times:
        if not is_near(time, event.time):
            return f"says {time.isoformat()}, but event {event.id} reported it at {event.time.isoformat()}."
    return None


def is_near(time: datetime | None, event: datetime) -> bool:
    """Whether something that an event of then reports can have been made at that time."""
    return time is not None and event - WRITTEN_WITHIN <= time <= event + SET_BACK
