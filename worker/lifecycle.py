"""What passes between a worker's parent process and the child that inspects?

Down: "we were told to stop", so that the child gives its batch back instead of being waited for.
Up: the child's death, so that its batch need not wait for the lease to run out.
"""

import logging
import os
import signal
import threading
from functools import cache
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import signals

from db import batches
from db.engine import Engine, writing
from db.errors import ServiceAway
from db.schema import open_database
from db.settings import settings

log = logging.getLogger(__name__)

STOP = signal.SIGUSR2  # Celery uses SIGUSR1 itself, and its children ignore SIGTERM


class _Child:
    # Not threading.Event: its lock may be held by the very thread that the signal interrupts.
    told_to_stop = False


class _Parent:
    consumer: Any = None


def told_to_stop() -> bool:
    """In the child: whether the worker was told to stop."""
    return _Child.told_to_stop


@cache
def own_database() -> Engine:
    """The parent's engine; the child makes its own."""
    return open_database(settings().effective_database_url)


@signals.worker_init.connect
def _spare_the_young(**_: Any) -> None:
    """A child inherits this until it listens; by default the signal would end one that is still starting."""
    signal.signal(STOP, signal.SIG_IGN)


@signals.worker_process_init.connect
def _listen(**_: Any) -> None:
    def stop(*_: Any) -> None:
        _Child.told_to_stop = True

    signal.signal(STOP, stop)


@signals.worker_ready.connect
def _remember(sender: Any, **_: Any) -> None:
    _Parent.consumer = sender


@signals.worker_shutting_down.connect
def _tell_children(**_: Any) -> None:
    pool = getattr(_Parent.consumer, "pool", None)
    for pid in (pool.info or {}).get("processes", []) if pool is not None else []:
        try:
            os.kill(pid, STOP)
        except ProcessLookupError:  # it has just ended by itself
            continue


@signals.task_failure.connect
def _release(exception: BaseException, args: Any, **_: Any) -> None:
    """Runs in the parent when a child is gone; in the child, for its own exceptions, which it has seen to."""
    if not isinstance(exception, WorkerLostError) or _Parent.consumer is None:
        return
    note = f"the process that inspected it died ({exception})"
    # In a thread: the parent has to go on talking to Redis while the database is slow.
    threading.Thread(target=_lost, args=(*args, _Parent.consumer.hostname, note), name="lost").start()


def _lost(batch: int, attempt: int, worker: str, note: str) -> None:
    try:
        with writing(own_database()) as session:
            released = batches.lost(session, batch, attempt, worker=worker, note=note)
    except ServiceAway as error:
        log.warning("batch %s waits for its lease to run out: %s", batch, error)
        return
    if released:
        log.warning("batch %s and what was held beside it (%d in all) go back: %s", batch, released, note)
