"""What can go wrong in a storm? One function per kind, each lifted before it returns."""

import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from sqlalchemy import select, text

from console.processes import LocalProcess
from db import jobs
from db.engine import reading, writing
from db.errors import InspectqError, ServiceAway
from db.models import Batch, BatchState, Leadership
from db.settings import Settings
from scheduler.submission import Submission, submit
from tests.storm.cluster import STOPPED_SECONDS, StormCluster
from worker.app import KEY_PREFIX, QUEUE

MESSAGES = KEY_PREFIX + QUEUE
AT_WORK_SECONDS = 10.0


class Storm:
    """The wind: picks victims with its own random numbers, and remembers whose batch it took."""

    def __init__(self, cluster: StormCluster, images: Path, side: Path, chance: random.Random) -> None:
        self.cluster = cluster
        self.images = images
        self.side = side
        self.chance = chance
        self.cancelled: list[int] = []
        self.victims: list[int] = []  # batches that were in hand when the last fault struck

    def strike(self, kind: str) -> None:
        """One fault of this kind, begun and lifted."""
        self.victims = []
        FAULTS[kind](self)

    def kill_child(self) -> None:
        """The process that inspects dies; its parent lives."""
        worker = self._worker()
        for child in self.cluster.children(worker):
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def kill_worker(self) -> None:
        """A worker with all its processes dies, as a lost machine would."""
        self._worker().kill()

    def stop_worker(self) -> None:
        """A worker stands still for longer than its lease, and then goes on as if nothing had been."""
        worker = self._worker()
        self.cluster.signal_tree(worker, signal.SIGSTOP)
        self.cluster.pass_time(STOPPED_SECONDS)
        self.cluster.signal_tree(worker, signal.SIGCONT)

    def kill_scheduler(self) -> None:
        """The leader dies."""
        self._leader().kill()

    def stop_scheduler(self) -> None:
        """The leader stands still for longer than its lead, and then goes on as if it still led."""
        leader = self._leader()
        self.cluster.signal_tree(leader, signal.SIGSTOP)
        self.cluster.pass_time(STOPPED_SECONDS)
        self.cluster.signal_tree(leader, signal.SIGCONT)

    def redis_restart(self) -> None:
        """Redis is stopped in good order and started again."""
        self.cluster.redis.stop()
        self.cluster.pass_time(self.chance.uniform(0.5, 3))
        self.cluster.redis.start()

    def redis_kill(self) -> None:
        """Redis is killed and comes back without what it held."""
        self.cluster.redis.kill()
        for file in (self.cluster.redis.folder / "redis").rglob("*"):
            if file.is_file():
                file.unlink()
        self.cluster.redis.start()

    def redis_flush(self) -> None:
        """Somebody empties Redis while everybody works."""
        with self.cluster.redis_client() as client:
            client.flushall()

    def redis_freeze(self) -> None:
        """Redis takes connections and does not answer."""
        process = self.cluster.redis.process
        assert process is not None
        self.cluster.signal_tree(process, signal.SIGSTOP)
        self.cluster.pass_time(self.chance.uniform(2, 5))
        self.cluster.signal_tree(process, signal.SIGCONT)

    def double_messages(self) -> None:
        """Every message that waits is there twice, in another order."""
        with self.cluster.redis_client() as client:
            waiting = client.lrange(MESSAGES, 0, -1)
            if waiting:
                shuffled = [*waiting, *waiting]
                self.chance.shuffle(shuffled)
                client.rpush(MESSAGES, *shuffled)

    def garble_messages(self) -> None:
        """Somebody with access to Redis writes what comes to mind."""
        with self.cluster.redis_client() as client:
            client.lpush(MESSAGES, b"garbage", b"{}", b'{"body": 1}', bytes(self.chance.randbytes(200)))

    def pg_restart(self) -> None:
        """PostgreSQL dies at once and comes back after some seconds."""
        assert self.cluster.postgres is not None
        self.cluster.postgres.kill()
        self.cluster.pass_time(self.chance.uniform(1, 5))
        self.cluster.postgres.start()

    def pg_cut(self) -> None:
        """Every connection to PostgreSQL is cut, in the middle of whatever it does."""
        with suppress(ServiceAway), writing(self.cluster.engine) as session:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            session.execute(text(cut + "AND application_name = 'inspectq'"))

    def sqlite_lock(self) -> None:
        """Somebody else holds SQLite's write lock for a while."""
        with writing(self.cluster.engine):
            self.cluster.pass_time(self.chance.uniform(2, 5))

    def folder_vanishes(self) -> None:
        """The disk's folder is gone, and returns."""
        away = self.images.with_name("unmounted")
        self.images.rename(away)
        self.cluster.pass_time(self.chance.uniform(2, 4))
        away.rename(self.images)

    def folder_empty(self) -> None:
        """The disk is not mounted: an empty folder stands in its place."""
        away = self.images.with_name("unmounted")
        self.images.rename(away)
        self.images.mkdir()
        self.cluster.pass_time(self.chance.uniform(2, 4))
        self.images.rmdir()
        away.rename(self.images)

    def cancel_job(self) -> None:
        """Another job of higher priority is submitted, and cancelled while it runs."""
        with suppress(InspectqError):
            job = submit(
                self.cluster.engine,
                Submission(folder=self.side, model="storm", priority=5),
                Settings(batch_images=16),
            )
            self.cluster.pass_time(self.chance.uniform(1, 3))
            with writing(self.cluster.engine) as session:
                jobs.cancel(session, job, actor="storm")
            self.cancelled.append(job)

    def _worker(self) -> LocalProcess:
        """One that has a batch in hand, if one has within some seconds."""
        self.cluster.pass_time(AT_WORK_SECONDS, until=lambda: bool(self._at_work()), look_seconds=0.002)
        at_work = self._at_work()
        if not at_work:
            return self._any(self.cluster.workers)
        victim, batch = self.chance.choice(at_work)
        self.victims = [batch]
        return victim

    def _at_work(self) -> list[tuple[LocalProcess, int]]:
        """Workers, and the batches they hold."""
        busy: dict[str | None, int] = {}
        with suppress(ServiceAway), reading(self.cluster.engine) as session:
            held = select(Batch.worker, Batch.id).where(Batch.state == BatchState.RUNNING)
            busy = {row.worker: row.id for row in session.execute(held)}
        by_name = {process.launch.name.replace("worker-", "w"): process for process in self.cluster.workers}
        named = sorted((name.partition("@")[0], batch) for name, batch in busy.items() if name)
        return [(by_name[name], batch) for name, batch in named if name in by_name and by_name[name].running]

    def _leader(self) -> LocalProcess:
        with suppress(ServiceAway), reading(self.cluster.engine) as session:
            holder = session.scalar(select(Leadership.holder)) or ""
            for process in self.cluster.schedulers:
                if process.running and holder.startswith(f"scheduler-{process.pid}@"):
                    return process
        return self._any(self.cluster.schedulers)

    def _any(self, processes: list[LocalProcess]) -> LocalProcess:
        self.cluster.pass_time(30, until=lambda: any(process.running for process in processes))
        return self.chance.choice([process for process in processes if process.running])


ANYWHERE = (
    "kill_child",
    "kill_worker",
    "stop_worker",
    "kill_scheduler",
    "stop_scheduler",
    "redis_restart",
    "redis_kill",
    "redis_flush",
    "redis_freeze",
    "double_messages",
    "garble_messages",
    "folder_vanishes",
    "folder_empty",
    "cancel_job",
)
KINDS = {"postgresql": (*ANYWHERE, "pg_restart", "pg_cut"), "sqlite": (*ANYWHERE, "sqlite_lock")}
FAULTS: dict[str, Callable[[Storm], None]] = {
    kind: getattr(Storm, kind) for kind in {*KINDS["postgresql"], *KINDS["sqlite"]}
}
