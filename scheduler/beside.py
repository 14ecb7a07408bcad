"""How is what takes long done beside the scheduler's loop, without holding it up?"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from db.errors import ServiceAway

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


class Beside(ABC):
    """Looks for work in a thread of its own, while `leads` answers true. Use it as a context."""

    def __init__(self, name: str, leads: Callable[[], bool], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._name = name
        self._leads = leads
        self._look_seconds = look_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def work(self) -> bool:
        """A piece of it. False: there is none now. A piece that is cut off anywhere is found again."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(self._look_seconds)  # work that takes longer is not waited for: nothing is lost by its end

    def _run(self) -> None:
        while not self._over.wait(self._look_seconds):
            try:
                while self._leads() and not self._over.is_set() and self.work():
                    pass
            except ServiceAway as error:
                log.warning("%s: %s", self._name, error)
            except Exception:  # a thread that ends would never work again, nor say why
                log.exception("%s", self._name)
