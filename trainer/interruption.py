"""Where may Ctrl-C interrupt a training?

Between two batches. Raised anywhere else it would cut short the handing over of a batch from a worker process,
which then complains about its lost listener.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], None]]:
    """Within, Ctrl-C is raised by the function that is yielded, and at the end; a second Ctrl-C at once.

    Outside the main thread, where Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked = False

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, before)
