"""Which processes does the storm blow through, and who restarts what it has ended?

Real ones: Redis, PostgreSQL, schedulers, Celery workers, each started as a person would start it.
Everything here happens in one thread, because a process started here ends with the thread that started it.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import redis

from console.postgres import PostgresServer
from console.processes import Launch, LocalProcess
from console.servers import RedisServer
from db.engine import Engine, connect
from db.schema import upgrade
from worker.app import KEY_PREFIX, QUEUE

SCHEDULERS = 2
RESTART_SECONDS = 1.0  # what a supervisor takes to notice a death
LEASE_SECONDS = 4
STOPPED_SECONDS = 7.0  # longer than a lease and a lead, but too short for the watchdog: who wakes up goes on
SETTINGS = {
    "INSPECTQ_DEVICE": "cpu",
    "INSPECTQ_LEASE_SECONDS": str(LEASE_SECONDS),
    "INSPECTQ_STALL_SECONDS": "9",
    "INSPECTQ_DECODE_SECONDS": "2",
    "INSPECTQ_WINDOW": "24",
    "INSPECTQ_MAX_ATTEMPTS": "12",
    "INSPECTQ_STORAGE_PATIENCE": "600",
    "INSPECTQ_DECODE_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
POISON_SITE = Path(__file__).parent / "poison"


class StormCluster:
    """Redis, a database, two schedulers and some workers in `folder`, running the code in `source`."""

    def __init__(self, folder: Path, source: Path, *, database: str, workers: int) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.redis = RedisServer(folder / "redis")
        self.postgres = PostgresServer(folder / "postgresql", fsync=False) if database == "postgresql" else None
        url = self.postgres.url if self.postgres else f"sqlite:///{folder / 'storm.db'}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("INSPECTQ_")},
            **SETTINGS,
            "INSPECTQ_HOME": str(self.home),
            "INSPECTQ_DATABASE_URL": url,
            "INSPECTQ_BROKER_URL": self.redis.url,
            "PYTHONPATH": os.pathsep.join((str(source), str(POISON_SITE))),
        }
        self.engine: Engine = connect(url)
        self.schedulers = [self._process(f"scheduler-{number}", "scheduler") for number in range(SCHEDULERS)]
        self.workers = [
            self._process(f"worker-{number}", "worker", "--name", f"w{number}") for number in range(workers)
        ]
        self._died_at: dict[str, float] = {}
        self.restarts = 0

    def start(self) -> None:
        """Servers, tables (made by the code under test), services."""
        self.redis.start()
        if self.postgres:
            self.postgres.start()
        tables = self._process("upgrade", "db", "upgrade")
        tables.start()
        if tables.wait(120) != 0:
            raise RuntimeError(tables.log_tail())
        upgrade(self.engine)  # the tables are there already; this says so
        for process in self.services:
            process.start()

    def stop(self) -> None:
        """End everything, stopped processes too."""
        for process in self.services:
            if process.running:
                self.signal_tree(process, signal.SIGCONT)
            process.ask_to_stop()
        for process in self.services:
            process.finish(30)
        self.engine.dispose()
        if self.postgres:
            self.postgres.stop()
        self.redis.stop()

    @property
    def services(self) -> list[LocalProcess]:
        """Schedulers and workers."""
        return [*self.schedulers, *self.workers]

    def supervise(self) -> None:
        """Start again what has been dead for a moment."""
        for process in self.services:
            if process.running:
                self._died_at.pop(process.launch.name, None)
            elif time.monotonic() - self._died_at.setdefault(process.launch.name, time.monotonic()) > RESTART_SECONDS:
                self.restarts += 1
                process.start()

    def pass_time(self, seconds: float, until: Callable[[], bool] = lambda: False, look_seconds: float = 0.05) -> None:
        """Let the storm's clock run, with the supervisor on duty."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self.supervise()
            time.sleep(look_seconds)

    def children(self, process: LocalProcess) -> list[psutil.Process]:
        """The pool's children of a worker: those that have loaded torch."""
        try:
            return [child for child in psutil.Process(process.pid).children() if _has_torch(child.pid)]
        except psutil.NoSuchProcess:
            return []

    @staticmethod
    def signal_tree(process: LocalProcess, number: signal.Signals) -> None:
        """A signal to a process and all that it has started."""
        try:
            whole = psutil.Process(process.pid)
            for member in (whole, *whole.children(recursive=True)):
                member.send_signal(number)
        except psutil.NoSuchProcess:
            return

    def redis_client(self) -> redis.Redis:
        """A client of the queue's server."""
        return redis.Redis.from_url(self.redis.url, socket_timeout=10)

    def messages_left(self) -> int:
        """How many messages wait on the queue."""
        with self.redis_client() as client:
            return int(client.llen(KEY_PREFIX + QUEUE))

    def log_lines(self, text: str) -> int:
        """How many lines of the services' logs hold `text`."""
        return sum(
            line.count(text)
            for process in self.services
            if process.launch.log.exists()
            for line in process.launch.log.read_text(encoding="utf-8", errors="replace").splitlines()
        )

    def tell(self) -> None:
        """What each service said last."""
        for process in self.services:
            print(f"--- {process.launch.name}\n{process.log_tail()}", file=sys.stderr)

    def _process(self, name: str, *arguments: str) -> LocalProcess:
        command = [sys.executable, "-m", "console.cli", *arguments]
        log = self.folder / f"{name}.log"
        return LocalProcess(
            Launch(name=name, command=command, log=log, environment=self.environment, folder=self.folder)
        )


def _has_torch(pid: int) -> bool:
    try:
        return "libtorch" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False
