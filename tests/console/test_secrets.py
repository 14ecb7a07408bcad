"""Does a password that somebody has set turn up anywhere: on a screen, in a log, in Flower, in a report, in `ps`?

Each planted password holds the marker in every part into which a careless split could cut it.
"""

import base64
import os
import re
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from console.processes import Launch, LocalProcess
from console.servers import RedisServer, free_port
from db.engine import connect
from db.errors import SettingInvalid
from db.grants import grant, make_login
from db.schema import open_database, upgrade
from db.settings import Settings, settings_with
from tests.rows import add_job, inspect_all

MARKER = "PLANTED"
RAW = f"{MARKER}1/{MARKER}2@{MARKER}3#{MARKER}4?{MARKER}5:{MARKER}6%{MARKER}7"
PASSWORD = quote(RAW, safe="")
FLOWER_USER = "watch"
DEADLINE_SECONDS = 60

# How a service says that it has met what is wrong, or that it runs.
WAITS = re.compile(
    r"Cannot connect|Trying again|waiting:|does not answer|Connection refused|ready\.|begins|Visit me at"
)


def environment(home: Path, **settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INSPECTQ_")}
    return inherited | {"INSPECTQ_HOME": str(home), "INSPECTQ_FLOWER_AUTH": f"{FLOWER_USER}:{RAW}"} | settings


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "console.cli", *words]


def said(words: tuple[str, ...], settings: Mapping[str, str]) -> str:
    """Everything that a command which ends has printed."""
    done = subprocess.run(command(*words), env=dict(settings), capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout + done.stderr, f"{words} said nothing, so nothing is shown by its silence"
    return f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"


def said_by_all(runs: list[tuple[tuple[str, ...], Mapping[str, str]]]) -> list[str]:
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda run: said(*run), runs))


def assert_clean(*texts: str) -> None:
    for text in texts:
        assert MARKER not in text, text


def eventually(look: Callable[[], bool], process: LocalProcess) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not look():
        assert time.monotonic() < deadline, process.log_tail(50)
        time.sleep(0.05)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Callable[..., LocalProcess]]:
    """Starts `inspectq ROLE` and keeps its log; all are stopped at the end."""
    started: list[LocalProcess] = []

    def start(name: str, settings: Mapping[str, str], *words: str) -> LocalProcess:
        process = LocalProcess(
            Launch(name=name, command=command(*words), log=tmp_path / f"{name}.log", environment=settings)
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def log_of(process: LocalProcess) -> str:
    return process.launch.log.read_text(encoding="utf-8", errors="replace")


def test_no_command_shows_a_password_while_the_services_are_away(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    settings = environment(
        tmp_path,
        INSPECTQ_DATABASE_URL=f"postgresql+psycopg://inspectq:{PASSWORD}@{away}/inspectq",
        INSPECTQ_BROKER_URL=f"redis://user:{PASSWORD}@{away}/0",
        INSPECTQ_SERVICE_PASSWORD=RAW,
    )
    runs = (
        ("db", "upgrade"),
        ("db", "grants", "--service-login", "line"),
        ("worker",),
        ("scheduler", "--log-level", "debug"),
    )
    texts = said_by_all([(words, settings) for words in runs])
    assert_clean(*texts)
    assert sum("does not answer" in text for text in texts) == len(runs), texts
    assert not any("Traceback" in text for text in texts)


WRONG = {
    "database: not encoded": ("DATABASE", f"postgresql://inspectq:{RAW}@host/db", "percent-encoded"),
    "database: no URL": ("DATABASE", RAW, "not a database URL"),
    "database: port": ("DATABASE", f"postgresql://inspectq@host:{MARKER}/db", "not a database URL"),
    "database: another": ("DATABASE", f"mysql://inspectq:{PASSWORD}@host/db", "not in mysql"),
    "broker: not encoded": ("BROKER", f"redis://:{RAW}@host:6379/0", "percent-encoded"),
    "broker: another": ("BROKER", f"amqp://guest:{PASSWORD}@host//", "redis"),
    "broker: no URL": ("BROKER", RAW, "redis"),
    "broker: port": ("BROKER", f"redis://:{PASSWORD}@host:{MARKER}/0", "percent-encoded"),
}


@pytest.mark.parametrize(("of", "value", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_url_is_named_and_not_shown(
    of: str, value: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"INSPECTQ_{of}_URL", value)
    with pytest.raises(SettingInvalid, match=sentence) as refusal:
        connect(settings_with(home=tmp_path).effective_database_url)
    assert_clean(str(refusal.value), repr(refusal.value))
    traced = traceback.format_exception(refusal.value)
    assert_clean(*(line for line in traced if "monkeypatch" not in line))


def test_a_wrong_setting_shows_no_password_on_the_command_line(tmp_path: Path) -> None:
    ok = environment(tmp_path, INSPECTQ_BROKER_URL=f"redis://:{PASSWORD}@127.0.0.1:1/0")
    texts = said_by_all(
        [
            (("worker",), ok | {"INSPECTQ_BROKER_URL": f"amqp://guest:{PASSWORD}@host//"}),
            (("db", "upgrade"), ok | {"INSPECTQ_DATABASE_URL": f"postgresql://inspectq:{RAW}@host/db"}),
            (("flower",), ok | {"INSPECTQ_FLOWER_AUTH": f"a:{RAW},b:{RAW}"}),
        ]
    )
    assert_clean(*texts)
    assert all("ended with 2" in text and "INSPECTQ_" in text for text in texts), texts


def test_the_settings_can_be_printed() -> None:
    url = f"redis://:{PASSWORD}@host/0"
    made = Settings(database_url=url, broker_url=url, flower_auth=RAW, service_password=RAW)
    assert_clean(repr(made), str(made))
    assert "batch_images=64" in repr(made)


def test_no_service_logs_the_password_that_its_broker_does_not_take(
    redis_server: RedisServer, services: Callable[..., LocalProcess], tmp_path: Path
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'inspectq.db'}")
    add_job(engine, [["a.png"]])  # something to send
    engine.dispose()
    refusing = environment(tmp_path, INSPECTQ_BROKER_URL=f"redis://:{PASSWORD}@127.0.0.1:{redis_server.port}/0")
    away = environment(
        tmp_path,
        INSPECTQ_BROKER_URL=f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0",
        INSPECTQ_FLOWER_PORT=str(free_port()),
    )
    started = [
        services("worker", refusing, "worker", "--log-level", "debug"),
        services("scheduler", refusing, "scheduler", "--log-level", "debug"),
        services("flower", away, "flower"),
    ]
    met = re.compile(r"Cannot connect|does not answer|refused|invalid username-password|WRONGPASS|invalid password")
    for process in started:
        eventually(lambda p=process: bool(met.search(log_of(p))) or not p.running, process)  # type: ignore[misc]
    assert_clean(*(log_of(process) for process in started))
    assert all(met.search(log_of(process)) for process in started), [log_of(process) for process in started]


PAGES = ("/", "/workers", "/worker/{}", "/tasks", "/broker", "/metrics", "/healthcheck")
ANSWERS = ("/api/workers?refresh=1", "/api/tasks", "/api/queues/length", "/api/task/types")


def fetched(port: int, path: str) -> str:
    login = base64.b64encode(f"{FLOWER_USER}:{RAW}".encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode("utf-8"))
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise
        return str(error.read().decode("utf-8"))


def test_a_running_cluster_shows_its_passwords_nowhere(
    postgres_url: str, services: Callable[..., LocalProcess], tmp_path: Path
) -> None:
    owner = connect(postgres_url)
    upgrade(owner)
    add_job(owner, [["a.png"]])
    inspect_all(owner)
    at = postgres_url.partition("@")[2]
    name = f"planted_{os.getpid()}"
    grant(owner)
    make_login(owner, name, RAW)
    settings = environment(
        tmp_path,
        INSPECTQ_FLOWER_PORT=str(free_port()),
    )
    texts = []
    settings["INSPECTQ_DATABASE_URL"] = f"postgresql+psycopg://{name}:{PASSWORD}@{at}"
    try:
        with RedisServer(tmp_path / "redis", password=RAW) as broker:
            settings["INSPECTQ_BROKER_URL"] = f"redis://:{PASSWORD}@127.0.0.1:{broker.port}/0"
            started = {role: services(role, settings, role) for role in ("worker", "scheduler", "flower")}
            for role, sign in (("worker", "ready."), ("scheduler", "begins")):
                eventually(lambda r=role, s=sign: s in log_of(started[r]), started[role])
            port = int(settings["INSPECTQ_FLOWER_PORT"])

            def watching() -> bool:
                try:
                    return "@" in fetched(port, ANSWERS[0])
                except urllib.error.URLError:
                    return False

            eventually(watching, started["flower"])
            worker = re.search(r'"([^"]+@[^"]+)"', fetched(port, ANSWERS[0]))
            assert worker
            texts += [fetched(port, path.format(worker[1])) for path in (*PAGES, *ANSWERS)]
            texts += [Path(f"/proc/{process.pid}/cmdline").read_text() for process in started.values()]
            texts.append(said(("report", "1", "--out", str(tmp_path / "r.html")), settings))
            texts += [log_of(process) for process in started.values()]
            texts.append(broker.log.read_text(encoding="utf-8", errors="replace"))
        texts.append((tmp_path / "r.html").read_text(encoding="utf-8"))
        assert any("celery" in text for text in texts)
        assert_clean(*texts)
    finally:
        owner.dispose()
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
