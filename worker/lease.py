"""How does a worker keep its batches while it works on them, and learn that it has to let one go?

A thread renews the leases, but only while images get through: a call that never returns, in a
driver or on a dead mount, must not keep its batches for ever.
"""

import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable

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


class Leases:
    """The hold on the batches of one claim token, renewed for as long as the block runs and images get through."""

    def __init__(
        self,
        engine: Engine,
        token: str,
        *,
        lease_seconds: float,
        stall_seconds: float,
        stopping: Callable[[], bool],
        on_stall: Callable[[], None],
    ) -> None:
        """`on_stall` is called in the renewing thread, once, when no image got through for `stall_seconds`."""
        self._engine = engine
        self._token = token
        self._lease_seconds = lease_seconds
        self._stall_seconds = stall_seconds
        self._stopping = stopping
        self._on_stall = on_stall
        self._held: set[int] = set()
        self._unscored: set[int] = set()
        self._lost: set[int] = set()
        self._lock = threading.Lock()
        self._moved_at = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_ended, name="leases", daemon=True)

    def __enter__(self) -> "Leases":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def add(self, held: Claim) -> None:
        """One more batch, just claimed."""
        with self._lock:
            self._held.add(held.batch)
            self._unscored.add(held.batch)
        self._moved_at = time.monotonic()

    def check(self, held: Claim) -> None:
        """An image got through; call it often. Raises LeaseLost or WorkerStopping where it was the last."""
        if held.batch in self._lost:
            raise LeaseLost
        if self._stopping():
            raise WorkerStopping
        self._moved_at = time.monotonic()

    def scored(self, held: Claim) -> None:
        """Only the database is waited for now, and that is waited for elsewhere."""
        with self._lock:
            self._unscored.discard(held.batch)
        self._moved_at = time.monotonic()

    def remove(self, held: Claim) -> None:
        """The batch is saved, or let go."""
        with self._lock:
            self._held.discard(held.batch)
            self._unscored.discard(held.batch)

    @property
    def still_seconds(self) -> float:
        """Since an image got through last, or there was none to wait for."""
        return time.monotonic() - self._moved_at if self._unscored else 0.0

    def _renew_until_ended(self) -> None:
        renew_every = self._lease_seconds / RENEWALS_PER_LEASE
        look_every = min(renew_every, self._stall_seconds / LOOKS_PER_STALL)
        renewed_at = time.monotonic()
        _arm(self._stall_seconds)
        while not self._end.wait(look_every):
            if self.still_seconds > self._stall_seconds:
                self._on_stall()
                return
            _arm(self._stall_seconds)
            if time.monotonic() - renewed_at >= renew_every - look_every / 2 and self._renewed():
                renewed_at = time.monotonic()

    def _renewed(self) -> bool:
        with self._lock:
            asked = set(self._held)
        try:
            with writing(self._engine) as session:
                kept = batches.renew(session, self._token, asked, lease_seconds=self._lease_seconds)
        except ServiceAway as error:
            log.warning("leases not renewed: %s", error)
            return False  # the token, not the time, decides whether a batch may be saved
        with self._lock:
            self._lost |= (asked - kept) & self._held  # what was saved meanwhile is not lost
        return True


def _arm(stall_seconds: float) -> None:
    """End the process if this is not called again in time.

    A call that keeps the interpreter lock stops every Python thread, the watching one too; this
    timer needs no lock.
    """
    faulthandler.dump_traceback_later(2 * stall_seconds, exit=True, file=sys.__stderr__ or sys.stderr)
