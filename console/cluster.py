"""How does the cluster of docker-compose.yml run on a machine without docker?

Redis and PostgreSQL are local servers; every other service is the compose file's own command as a
local process. Everything lies in one folder, `inspectq-cluster` unless another is named.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from console.compose import COMPLETED, HEALTHY, Service, find_compose_file, load_services, start_order
from console.passwords import cluster_variables
from console.postgres import PostgresServer
from console.processes import Launch, LocalProcess, ProcessFailed
from console.servers import LOOPBACK, RedisServer, Server, free_port
from vision.cores import usable_cores

FOLDER = Path("inspectq-cluster")
READY_SECONDS = 120  # for a worker on a busy 2-core machine; it loads no model before its first batch
HEALTH_SECONDS = 20  # the compose file's own limit for one health check
HEALTH_PAUSE_SECONDS = 0.5  # a health check starts a Python, so not as fast as one can
STOP_SECONDS = 60  # a worker finishes the images it is decoding
WATCH_SECONDS = 0.5
_CLIENT = ("INSPECTQ_DATABASE_URL", "INSPECTQ_BROKER_URL", "INSPECTQ_HOME")


class LocalCluster:
    """The compose services as processes, from `with` to the end of its block.

    `workers`: how many of the service `worker`. `database_url`, `broker_url`: use that server instead of
    starting one. `say` is told what is being started. Start it from the main thread (see LocalProcess).
    """

    def __init__(
        self,
        folder: Path = FOLDER,
        workers: int = 1,
        *,
        compose_file: Path | None = None,
        database_url: str = "",
        broker_url: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder.absolute()
        self.workers = workers
        self.processes: dict[str, LocalProcess] = {}  # by name: scheduler, worker-1, worker-2, flower, …
        self.servers: dict[str, Server] = {}  # by service name: redis, postgres
        self._say = say
        self._given = {"INSPECTQ_DATABASE_URL": database_url, "INSPECTQ_BROKER_URL": broker_url}
        self._stack = ExitStack()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._variables = cluster_variables(self.folder)
        services = load_services(compose_file or find_compose_file(), self._variables)
        self._services = {s.name: s for s in start_order(s for s in services if not s.profiles)}
        self._ports: dict[str, int] = {}  # of each service that publishes one

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every service in order and return once all of them are healthy.

        Raises ProcessFailed, with the end of the log, for the first that is not; the rest is stopped.
        """
        self._ports = {s.name: free_port(s.ports[0].published) for s in self._services.values() if s.ports}
        try:
            for service in self._services.values():
                for needed, condition in service.depends_on.items():
                    self._await(self._services[needed], condition)
                self._say(f"starting {service.name}")
                self._start(service)
            for service in self._services.values():
                self._await(service, COMPLETED if service.runs_once else HEALTHY)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, the last started first."""
        self._stack.close()

    def watch(self) -> NoReturn:
        """Return never; raise ProcessFailed when a service that should stay has ended."""
        while True:
            for process in self._lasting():
                if not process.running:
                    raise ProcessFailed(process, f"ended with status {process.returncode}")
            time.sleep(WATCH_SECONDS)

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to use this cluster: the variables of database, broker and home folder."""
        # The console's, where there is one: its login can also let people in, which whoever started all of this may.
        complete = self._environment(self._services.get("web") or self._services["scheduler"])
        return {name: complete[name] for name in _CLIENT}

    @property
    def flower_url(self) -> str:
        """Where Flower listens."""
        return f"http://{LOOPBACK}:{self._ports['flower']}"

    @property
    def web_url(self) -> str:
        """Where the console listens."""
        return f"http://{LOOPBACK}:{self._ports['web']}"

    @property
    def flower_login(self) -> tuple[str, str]:
        """User and password that Flower asks for."""
        user, _, password = self._variables["INSPECTQ_FLOWER_AUTH"].partition(":")
        return user, password

    def describe(self) -> str:
        """What is where, for the person who started it."""
        exports = [f"  export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        lines = [f"Running: {', '.join(process.launch.name for process in self._lasting())}"]
        if "web" in self._ports:
            lines.append(f"Console: {self.web_url}   who may sign in: inspectq users add NAME --role admin")
        if "flower" in self._ports:
            user, password = self.flower_login
            lines.append(f"Flower:  {self.flower_url}   user {user}, password {password}")
        lines += [
            f"Logs:    {self.folder / 'logs'}",
            "To use it, in another terminal:",
            *exports,
            "  inspectq scan FOLDER --wait",
            "Ctrl-C stops it; what it knows stays in the folder.",
        ]
        return "\n".join(lines)

    def _start(self, service: Service) -> None:
        server = self._server(service)
        if server:
            self.servers[service.name] = server
            self._stack.callback(server.stop)
            server.start()
            return
        if _kind(service):  # a server that was given by its URL
            return
        self._stack.callback(self._stop, service)
        for name in self._names(service):
            process = LocalProcess(self._launch(name, service))
            self.processes[name] = process
            process.start()

    def _stop(self, service: Service) -> None:
        """Stop every process of a service at the same time."""
        processes = self._processes_of(service)
        for process in processes:
            process.ask_to_stop()
        with ExitStack() as stack:  # an interrupt in the middle still reaches the others
            for process in processes:
                stack.callback(process.finish, STOP_SECONDS)

    def _server(self, service: Service) -> Server | None:
        folder, variables = self.folder / "servers", self._variables
        if _kind(service) == "redis" and not self._given["INSPECTQ_BROKER_URL"]:
            return RedisServer(folder, password=variables["REDIS_PASSWORD"])
        if _kind(service) == "postgres" and not self._given["INSPECTQ_DATABASE_URL"]:
            return PostgresServer(folder, password=variables["POSTGRES_PASSWORD"])
        return None

    def _launch(self, name: str, service: Service) -> Launch:
        return Launch(
            name=name,
            command=_local(service.command),
            log=self.folder / "logs" / f"{name}.log",
            environment=self._environment(service),
            folder=self.folder,
        )

    def _environment(self, service: Service) -> dict[str, str]:
        """Our environment, less our own INSPECTQ_ settings, plus the service's, mapped to this machine."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("INSPECTQ_")}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        if service.name == "worker":  # each of them would use every core
            environment.setdefault("INSPECTQ_DECODE_THREADS", str(max(1, usable_cores() // self.workers)))
        environment |= {key: self._mapped(value, service) for key, value in service.environment.items()}
        environment |= {key: url for key, url in self._given.items() if url and key in service.environment}
        if not os.environ.get("INSPECTQ_IMAGES"):  # nobody has said where images lie: what a person names is scanned
            environment.pop("INSPECTQ_ROOTS", None)
            if service.name == "web":  # which wants to be told that whoever signs in may name any folder
                environment["INSPECTQ_ROOTS"] = "/"
        for name, port in self._ports.items():  # where it listens, or for whom leads there
            address, number = f"INSPECTQ_{name.upper()}_ADDRESS", f"INSPECTQ_{name.upper()}_PORT"
            if number in environment:
                environment |= {address: LOOPBACK, number: str(port)}
        return environment

    def _mapped(self, value: str, service: Service) -> str:
        """`value` with containers' host names and folders replaced by what stands for them here."""
        for name, server in self.servers.items():
            value = re.sub(rf"(?<=[@/]){re.escape(name)}:\d+(?=/|$)", f"{LOOPBACK}:{server.port}", value)
        for mount in service.mounts:
            if value == mount.target or value.startswith(mount.target + "/"):
                folder = self.folder / mount.source if mount.named else Path(mount.source).absolute()
                folder.mkdir(parents=True, exist_ok=True)
                return str(folder) + value.removeprefix(mount.target)
        return value

    def _await(self, service: Service, condition: str) -> None:
        """Return once `condition` holds for the service. A server that started is healthy."""
        processes = self._processes_of(service)
        if condition == COMPLETED:
            for process in processes:
                if process.wait(READY_SECONDS) != 0:
                    raise ProcessFailed(process, f"ended with status {process.returncode}")
        elif condition == HEALTHY and service.healthcheck and processes:
            processes[0].wait_until(lambda: self._is_healthy(service), READY_SECONDS, HEALTH_PAUSE_SECONDS)

    def _is_healthy(self, service: Service) -> bool:
        """Run the service's own health check once; what it says is in its log."""
        log = self.folder / "logs" / f"{service.name}.health.log"
        with log.open("ab") as output:
            try:
                probe = subprocess.run(  # noqa: S603  # the compose file's own command, no shell
                    _local(service.healthcheck),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment(service),
                    timeout=HEALTH_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return False
        return probe.returncode == 0

    def _names(self, service: Service) -> list[str]:
        if service.name != "worker":
            return [service.name]
        return [f"worker-{number}" for number in range(1, self.workers + 1)]

    def _processes_of(self, service: Service) -> list[LocalProcess]:
        return [self.processes[name] for name in self._names(service) if name in self.processes]

    def _lasting(self) -> list[LocalProcess]:
        """Every process that should run now, servers first."""
        servers = [server.process for server in self.servers.values() if server.process]
        services = [s for s in self._services.values() if not s.runs_once]
        return servers + [process for service in services for process in self._processes_of(service)]


def run_cluster(cluster: LocalCluster, show: Callable[[str], None]) -> None:
    """`inspectq up`: run until Ctrl-C or SIGTERM, then stop all. Raises ProcessFailed if a service dies."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with cluster:
            show(cluster.describe())
            cluster.watch()
    except KeyboardInterrupt:
        show("Stopped.")
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _kind(service: Service) -> str:
    """`redis` or `postgres` where the service's image is such a server, else nothing."""
    image = service.image.rpartition("/")[2].partition(":")[0]
    return {"redis": "redis", "valkey": "redis", "postgres": "postgres"}.get(image, "")


def _local(command: tuple[str, ...]) -> list[str]:
    """`command` with Python and our own programs as they are in the environment that runs this."""
    name, *arguments = command
    beside = Path(sys.executable).parent / name
    if name == "python":
        name = sys.executable
    elif beside.exists():
        name = str(beside)
    return [name, *arguments]
