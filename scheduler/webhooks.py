"""How is somebody told that a job has ended?

By a POST of a few facts, signed as https://www.standardwebhooks.com has it: receivers find a library for that in their
own language. Where it does not arrive it is sent again, later and later. No redirect is followed, and of what the
receiver answers only the status is read.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from db import jobs, tally, webhooks
from db.engine import Engine, Session, writing
from db.errors import Refused
from db.models import OPEN_JOBS, JobState
from db.webhooks import Due
from scheduler.beside import LOOK_SECONDS, Beside
from scheduler.receivers import Receivers

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0  # from the first packet to the status
LEASE_SECONDS = 60.0  # nobody else calls the address meanwhile; looking up its name may take longer than an answer
SHORTEST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0  # seconds, before jitter
MOST_ATTEMPTS = 36  # 26 of them an hour apart: about a day, so that a receiver that failed overnight is told
_GONE = 410  # the receiver's own word that it is not to be called again
_FACTS = (  # of a job, as /api/v1 names them
    "job",
    "state",
    "reason",
    "root",
    "model",
    "checkpoint_digest",
    "operating_point",
    "limits",
    "priority",
    "revision",
    "submitted_by",
    "submitted_at",
    "finished_at",
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One end of a job, the same in every attempt to tell it."""

    id: str
    body: bytes
    state: JobState
    revision: int


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of an attempt."""

    problem: str | None = None  # None: it was told
    final: bool = False  # no further attempt


class Delivering(Beside):
    """Tells of ends in a thread of its own, while `leads` answers true."""

    def __init__(
        self, engine: Engine, to: Receivers, leads: Callable[[], bool], *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        super().__init__("delivering", leads, look_seconds=look_seconds)
        self._engine = engine
        self._to = to

    def work(self) -> bool:
        """One attempt."""
        return deliver(self._engine, self._to) is not None


def deliver(engine: Engine, to: Receivers) -> bool | None:
    """Tell the latest end that is due. False: in vain, for now; None: nothing is due. Raises ServiceAway."""
    with writing(engine) as session:
        due = webhooks.claim(session, lease_seconds=LEASE_SECONDS)
        message = None if due is None else of_end(session, due.job)
    if due is None or message is None:
        return None
    outcome = _tried(due.url, message, to)
    with writing(engine) as session:
        if outcome.problem is None:
            webhooks.told(session, due, message.state, message.revision)
            return True
        log.warning("job %d: %s is not told: %s", due.job, due.url, outcome.problem)
        webhooks.failed(session, due, outcome.problem, again_in=None if outcome.final else pause(due))
        return False


def of_end(session: Session, job: int) -> Message | None:
    """What is told of the job's last end; None where it goes on. The id names the event, of which each end has one."""
    row = jobs.get(session, job)
    if row.state in OPEN_JOBS:
        return None
    event, summary = tally.end(session, job), jobs.summary(row)
    said = {
        "type": f"job.{row.state.value}",
        "timestamp": event.time.isoformat(),
        "data": {
            **{name: summary[name] for name in _FACTS},
            "ledger": jobs.Ledger.from_dict(event.details).to_dict(),
        },
    }
    return Message(
        id=f"job-{job}-{row.state.value}-{event.id}",
        body=json.dumps(said, separators=(",", ":")).encode(),
        state=row.state,
        revision=row.revision,
    )


def headers(message: Message, key: bytes, now: int) -> dict[str, str]:
    """By which the receiver knows who has sent it, when, and whether it has had it before. `now`: seconds of Unix."""
    signed = b".".join((message.id.encode(), str(now).encode(), message.body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "user-agent": "inspectq",
        "webhook-id": message.id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{signature}",
    }


def pause(due: Due) -> float | None:
    """Seconds before the next attempt; None: there is none. Receivers that fail together are not called together."""
    if due.attempt >= MOST_ATTEMPTS:
        return None
    longest = min(SHORTEST_PAUSE * 2.0 ** (due.attempt - 1), LONGEST_PAUSE)
    return longest * random.uniform(0.75, 1)  # noqa: S311 - spreads calls, guards nothing


def _tried(url: str, message: Message, to: Receivers) -> _Outcome:
    import httpx  # here: a scheduler that tells nobody does without

    try:
        to.check(url)  # the hosts may be others than when the job was submitted
        sent = _post(url, message.body, headers(message, to.key, int(time.time())))
        with ThreadPoolExecutor(1) as thread:  # whoever calls may have a loop of their own, beside which none begins
            status = thread.submit(asyncio.run, sent).result()
    except Refused as refused:
        return _Outcome(problem=str(refused))
    except TimeoutError:
        return _Outcome(problem=f"It did not answer within {ANSWER_SECONDS:g} seconds.")
    except (httpx.HTTPError, OSError) as error:  # or the certificates that SSL_CERT_FILE names
        return _Outcome(problem=f"It could not be reached ({str(error) or type(error).__name__}).")
    except Exception as error:  # a setting of a proxy, say: the next attempt comes later, and the reason is shown
        log.exception("%s is not told", url)
        return _Outcome(problem=f"It could not be called ({type(error).__name__}; the log says more).")
    if 200 <= status < 300:
        return _Outcome()
    if 300 <= status < 400:
        return _Outcome(problem=f"It answered {status}, and no redirect is followed.")
    return _Outcome(problem=f"It answered {status}.", final=status == _GONE)


async def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status. Asynchronous because only so a receiver that trickles its answer is cut off in time."""
    import httpx

    async with (
        asyncio.timeout(ANSWER_SECONDS),
        httpx.AsyncClient(timeout=None, follow_redirects=False) as client,  # noqa: S113 - the line above has one
        client.stream("POST", url, content=body, headers=headers) as answer,
    ):
        return answer.status_code
