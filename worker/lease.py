"""How does a worker keep a batch while it works on it, and learn that it has to let go?

A thread renews the lease, but only while images get through: a call that never returns, in a
driver or on a dead mount, must not keep its batch for ever.
"""

import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db import batches
from db.batches import Claim
from db.engine import Engine, writing
from db.errors import ServiceAway

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3  # two may fail before the lease runs out
LOOKS_PER_STALL = 4


class LeaseLost(Exception):
    """The batch was cancelled or is somebody else's now; nothing of it may be saved."""


class WorkerStopping(Exception):
    """This worker was told to stop; the batch goes back."""


class Lease:
    """The hold on one batch."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._lost = threading.Event()
        self._moved_at: float | None = time.monotonic()

    def lose(self) -> None:
        """Called by the renewing thread."""
        self._lost.set()

    def check(self) -> None:
        """An image got through. Raises LeaseLost or WorkerStopping where it was the last: call it between images."""
        if self._lost.is_set():
            raise LeaseLost
        if self._stopping():
            raise WorkerStopping
        self._moved_at = time.monotonic()

    def all_scored(self) -> None:
        """Only the database is waited for now, and that is waited for elsewhere."""
        self._moved_at = None

    @property
    def still_seconds(self) -> float:
        """Since an image got through last."""
        return 0.0 if self._moved_at is None else time.monotonic() - self._moved_at


@contextmanager
def kept(
    engine: Engine,
    held: Claim,
    *,
    lease_seconds: float,
    stall_seconds: float,
    stopping: Callable[[], bool],
    on_stall: Callable[[], None],
) -> Iterator[Lease]:
    """Renew the lease from a thread for as long as the block runs and images get through.

    `on_stall` is called in that thread, once, when none got through for `stall_seconds`.
    """
    lease, stop = Lease(stopping), threading.Event()
    renew_every = lease_seconds / RENEWALS_PER_LEASE

    def renew_until_stopped() -> None:
        renewed_at = time.monotonic()
        _arm(stall_seconds)
        look_every = min(renew_every, stall_seconds / LOOKS_PER_STALL)
        while not stop.wait(look_every):
            if lease.still_seconds > stall_seconds:
                on_stall()
                return
            _arm(stall_seconds)
            if time.monotonic() - renewed_at < renew_every - look_every / 2:
                continue
            try:
                with writing(engine) as session:
                    still_held = batches.renew(session, held, lease_seconds=lease_seconds)
            except ServiceAway as error:
                log.warning("batch %s: lease not renewed: %s", held.batch, error)
                continue  # the token, not the time, decides whether the batch may be saved
            if not still_held:
                lease.lose()
                return
            renewed_at = time.monotonic()

    thread = threading.Thread(target=renew_until_stopped, name=f"lease-{held.batch}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()


def _arm(stall_seconds: float) -> None:
    """End the process if this is not called again in time.

    A call that keeps the interpreter lock stops every Python thread, the watching one too; this
    timer needs no lock.
    """
    faulthandler.dump_traceback_later(2 * stall_seconds, exit=True, file=sys.__stderr__ or sys.stderr)
