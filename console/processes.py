"""How does a process started here stay ours: logged, stopped in order, never left behind?"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db.errors import ServiceAway

POLL_SECONDS = 0.05  # how often a starting or stopping process is looked at
LOCK_SECONDS = 10  # how long what is left of a killed process may take to notice
LOG_LINES = 15  # what an error quotes: a traceback's end or a server's refusal fits in it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ClusterError(ServiceAway):
    """A service cannot be run on this machine."""


class ProcessFailed(ClusterError):
    """A process ended, or did not become ready, although it should have."""

    def __init__(self, process: LocalProcess, what: str) -> None:
        self.name = process.launch.name
        self.returncode = process.returncode
        super().__init__(f"{self.name} {what}. Its log, {process.launch.log}, ends:\n{process.log_tail()}")


@dataclass(frozen=True, kw_only=True)
class Account:
    """An operating system account that a server runs under instead of root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to start and where its output goes."""

    name: str  # how a person knows it: worker-2
    command: Sequence[str]
    log: Path  # appended to, so that a restart keeps the reason for it
    environment: Mapping[str, str] | None = None  # None: ours
    folder: Path | None = None  # its working directory; None: ours
    account: Account | None = None  # None: ours
    stop_signal: signal.Signals = signal.SIGTERM  # what it takes as "finish and leave"
    lock: Path | None = None  # held by the process and its children: no two run on the same data


class LocalProcess:
    """One child process in a session of its own, so that Ctrl-C reaches only us and we stop it in order.

    On Linux the kernel sends it its stop signal when the thread that started it dies, even of SIGKILL:
    start it from a thread that lives as long as it should (the main one). Elsewhere atexit stops it.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the last start. Raises ClusterError before the first."""
        if self._child is None:
            raise ClusterError(f"{self.launch.name} has not been started.")
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Exit status of the last run (negative: ended by that signal), None while it runs."""
        return self._child.poll() if self._child else None

    @property
    def running(self) -> bool:
        """Whether the process lives now."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the process; what it prints is appended to the log. Raises ClusterError if its data is in use."""
        launch, account = self.launch, self.launch.account
        self._child = None
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        with launch.log.open("ab") as log, _locked(launch) as lock:
            self._child = subprocess.Popen(  # noqa: S603  # the commands are the caller's, no shell
                list(launch.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=launch.folder,
                env=dict(launch.environment) if launch.environment is not None else None,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,
                pass_fds=lock,
                preexec_fn=_die_with_parent(launch.stop_signal),
            )
        atexit.register(self.kill)

    def wait_until(self, ready: Callable[[], bool], timeout: float, pause: float = POLL_SECONDS) -> None:
        """Return once `ready()`, asked every `pause` s, holds.

        Raises ProcessFailed if the process ends first or `timeout` s pass.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise ProcessFailed(self, f"ended with status {self.returncode} while starting")
            if time.monotonic() > deadline:
                raise ProcessFailed(self, f"was not ready within {timeout:.0f} s")
            time.sleep(pause)

    def wait(self, timeout: float) -> int:
        """The exit status, once it has ended. Raises ProcessFailed when it runs longer than `timeout` s."""
        if self._child is None:
            raise ClusterError(f"{self.launch.name} has not been started.")
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(self, f"did not end within {timeout:.0f} s") from None

    def ask_to_stop(self) -> None:
        """Send the stop signal and do not wait."""
        if self._child is not None and self.running:
            self._child.send_signal(self.launch.stop_signal)

    def stop(self, timeout: float = 30) -> None:
        """Ask it to finish; after `timeout` s, or when we are interrupted ourselves, kill it."""
        self.ask_to_stop()
        self.finish(timeout)

    def finish(self, timeout: float) -> None:
        """Wait for one that was asked to stop; after `timeout` s, or when we are interrupted, kill it."""
        if self._child is None:
            return
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and to every child that stayed in its process group, as a lost machine would."""
        atexit.unregister(self.kill)
        if self._child is None or not self.running:  # a reaped leader's group number may be another's by now
            return
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """The last lines of the log, indented."""
        if not self.launch.log.exists():
            return "  (it printed nothing)"
        text = self.launch.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in text[-lines:]) or "  (it printed nothing)"


@contextmanager
def _locked(launch: Launch) -> Iterator[tuple[int, ...]]:
    """The lock's descriptor, for the child to inherit: the lock is free once nobody has it open any more.

    What is left of a killed run, sessions of PostgreSQL say, is waited for.
    """
    if launch.lock is None:
        yield ()
        return
    descriptor = os.open(launch.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise ClusterError(f"Another {launch.name} runs on the data in {launch.lock.parent}. Stop that one.")
            time.sleep(POLL_SECONDS)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _die_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """A hook for the child between fork and exec; None where the kernel cannot do it.

    It runs after the change of account, which would clear the setting. The library is loaded before the
    fork: the child only makes two system calls, so a lock held by another of our threads cannot stop it.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def hook() -> None:
        prctl(_PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # we died between the fork and the call
            os._exit(1)

    return hook
