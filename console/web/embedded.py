"""Who inspects, where no cluster does? This server's child: one job after the other, each in a process of its own.

An image that ends the process that decodes it, or a model that takes all the memory, does not end the pages then. The
child is the command that a person would type to go on with an interrupted job.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from db.display import shown_lines

_END_SECONDS = 30.0  # a child gives the batch in hand back, and is ended where it does not


class Embedded:
    """A queue of jobs. Use it as a context: at its end the child stops, and its job can be gone on with."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: variables that the child has beside those of this process."""
        self._environment = {**os.environ, **(environment or {})}
        self._changed = threading.Condition()
        self._waiting: deque[int] = deque()
        self._job: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name="embedded", daemon=True)

    def __enter__(self) -> "Embedded":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
            child = self._child
        if child is not None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        self._thread.join(_END_SECONDS)

    def inspect(self, job: int) -> None:
        """Go on with this job when those before it have ended; nothing where it is waiting or running already."""
        with self._changed:
            if job != self._job and job not in self._waiting:
                self._waiting.append(job)
                self._changed.notify()

    def has(self, job: int) -> bool:
        """Whether the job is waiting or running here."""
        with self._changed:
            return job == self._job or job in self._waiting

    def _run(self) -> None:
        while True:
            with self._changed:
                self._job = self._child = None
                self._changed.wait_for(lambda: self._waiting or self._over)
                if self._over:
                    return
                self._job = self._waiting.popleft()
                self._child = subprocess.Popen(  # noqa: S603 - our own program, with the number of a job
                    [sys.executable, "-m", "console.cli", "jobs", "retry", str(self._job)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=self._environment,
                )
                job, child = self._job, self._child
            _, said = child.communicate()
            if child.returncode and not self._over:
                print(f"job {job}: {shown_lines(said.decode(errors='replace').strip())}", file=sys.stderr, flush=True)
