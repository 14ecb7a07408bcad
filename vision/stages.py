"""Where does the time of an image go?

Seconds per stage, added up over all threads of this process since it began. Always on: a stage costs a
microsecond, an image takes a thousand.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("read", "hash", "decode", "resize", "infer", "write")  # in the order in which an image meets them

_lock = threading.Lock()
_seconds = dict.fromkeys(STAGES, 0.0)
_times = dict.fromkeys(STAGES, 0)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the block's seconds, also where it raises."""
    began = time.perf_counter()
    try:
        yield
    finally:
        spent = time.perf_counter() - began
        with _lock:
            _seconds[name] += spent
            _times[name] += 1


def seconds_by_stage() -> dict[str, float]:
    """Thread-seconds of each stage so far."""
    with _lock:
        return dict(_seconds)


def images_read() -> int:
    """How many files were opened so far, or tried to."""
    with _lock:
        return _times["read"]
