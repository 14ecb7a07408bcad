"""How does a worker keep a batch while it works on it, and learn that it has lost it?"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from db import batches
from db.batches import Claim
from db.engine import Engine, writing
from db.errors import ServiceAway

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3  # two may fail before the lease runs out


class LeaseLost(Exception):
    """The batch was cancelled or is somebody else's now; nothing of it may be saved."""


class Lease:
    """The hold on one batch."""

    def __init__(self) -> None:
        self._lost = threading.Event()

    def lose(self) -> None:
        """Called by the renewing thread."""
        self._lost.set()

    def check(self) -> None:
        """Raises LeaseLost once the batch is gone: call it between images, and stop."""
        if self._lost.is_set():
            raise LeaseLost


@contextmanager
def kept(engine: Engine, held: Claim, lease_seconds: float) -> Iterator[Lease]:
    """Renew the lease from a thread for as long as the block runs."""
    lease, stop = Lease(), threading.Event()

    def renew_until_stopped() -> None:
        while not stop.wait(lease_seconds / RENEWALS_PER_LEASE):
            try:
                with writing(engine) as session:
                    still_held = batches.renew(session, held, lease_seconds=lease_seconds)
            except ServiceAway as error:
                log.warning("batch %s: lease not renewed: %s", held.batch, error)
                continue  # the token, not the time, decides whether the batch may be saved
            if not still_held:
                lease.lose()
                return

    thread = threading.Thread(target=renew_until_stopped, name=f"lease-{held.batch}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
