"""Which processes make a cluster for a benchmark? Redis, PostgreSQL, a scheduler and workers, and nothing else.

`console.cluster` would start Flower, too, and takes no settings for its workers; a benchmark needs both otherwise.
"""

import time
from pathlib import Path

import redis

from benchmarks.homes import Home, inspectq
from console.postgres import PostgresServer
from console.processes import Launch, LocalProcess
from console.servers import RedisServer
from db import heartbeats
from db.engine import connect, reading
from db.schema import upgrade
from vision.cores import usable_cores
from worker.app import KEY_PREFIX, QUEUE

READY_SECONDS = 120.0


class Services:
    """A cluster whose data lies in `folder`, from `with` to the end of its block; models lie in `home`."""

    def __init__(
        self,
        folder: Path,
        home: Path,
        *,
        workers: int = 1,
        site: Path | None = None,
    ) -> None:
        """`site`: a folder whose sitecustomize.py every worker runs."""
        self._folder = folder
        self._redis = RedisServer(folder / "redis")
        self._postgres = PostgresServer(folder / "postgresql")
        self.home = Home(folder=home, database=self._postgres.url, broker=self._redis.url)
        common = self.home.environment
        its_own = common | {
            "INSPECTQ_DECODE_THREADS": str(max(1, usable_cores() // workers))
        }  # as console.cluster does
        if site is not None:
            its_own["PYTHONPATH"] = f"{site}:{common['PYTHONPATH']}"
        self.scheduler = self._process("scheduler", common, "scheduler")
        # One more name each time: a heartbeat of an earlier worker must not be taken for that of the new one.
        self._names = [f"w{number}-{time.time_ns()}" for number in range(workers)]
        self.workers = [self._process(name, its_own, "worker", "--name", name) for name in self._names]

    def __enter__(self) -> "Services":
        try:
            self._redis.start()
            self._postgres.start()
            upgrade(connect(self._postgres.url))
            for process in (self.scheduler, *self.workers):
                process.start()
            for name, process in zip(self._names, self.workers, strict=True):
                process.wait_until(lambda name=name: self._is_up(name), READY_SECONDS)  # type: ignore[misc]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """The last started first."""
        for process in (*self.workers, self.scheduler):
            process.ask_to_stop()
        for process in (*self.workers, self.scheduler):
            process.finish(30)
        self._postgres.stop()
        self._redis.stop()

    def waiting(self) -> int:
        """Messages on the queue now."""
        with redis.Redis.from_url(self._redis.url, socket_timeout=10) as client:
            return int(client.llen(KEY_PREFIX + QUEUE))

    def _is_up(self, name: str) -> bool:
        with reading(connect(self._postgres.url)) as session:
            return any(alive.startswith(f"{name}@") for alive in heartbeats.alive(session, role="worker"))

    def _process(self, name: str, environment: dict[str, str], *words: str) -> LocalProcess:
        log = self._folder / "logs" / f"{name}.log"
        command = [str(word) for word in inspectq(*words)]
        return LocalProcess(Launch(name=name, command=command, log=log, environment=environment, folder=self._folder))
