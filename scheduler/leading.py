"""How does a scheduler know that it leads, while it is busy?

A thread beats and renews the lead, so that listing one huge folder costs neither. A process that is
dead or stopped renews nothing, and another takes over within the lease.
"""

import logging
import threading
from types import TracebackType

from db import heartbeats, leadership
from db.engine import Engine, writing
from db.errors import ServiceAway

log = logging.getLogger(__name__)

RENEW_SECONDS = leadership.LEASE_SECONDS / 3


class Leading:
    """Use it as a context: the thread runs inside, and at the end another may lead at once."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._over = threading.Event()
        self._term = 0
        self._leads = False
        self._decided = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leading", daemon=True)

    @property
    def term(self) -> int | None:
        """Which time in a row this scheduler leads, from 1; None while another does."""
        return self._term if self._leads else None

    def __enter__(self) -> "Leading":
        self._thread.start()
        self._decided.wait(RENEW_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        try:
            with writing(self._engine) as session:
                leadership.resign(session, self._name)
        except ServiceAway as away:
            log.warning("another scheduler waits for the lead to run out: %s", away)

    def _renew(self) -> None:
        while True:
            try:
                with writing(self._engine) as session:
                    heartbeats.beat(session, name=self._name, role="scheduler")
                    leads = leadership.lead(session, self._name)
            except ServiceAway as error:
                log.warning("waiting: %s", error)
                leads = False  # whether another has it by now, nobody can say
            except Exception:  # a thread that ends would leave a scheduler that never leads, nor says why
                log.exception("leading")
                leads = False
            if leads and not self._leads:
                self._term += 1
                log.info("%s leads", self._name)
            self._leads = leads
            self._decided.set()
            if self._over.wait(RENEW_SECONDS):
                return
