"""Are the users and the TLS settings of docs/redis.md enough for the whole cluster, and for nothing more?"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from console.processes import Launch, LocalProcess
from console.servers import LOOPBACK, RedisServer, free_port, redis_programs
from db import jobs
from db.engine import reading
from db.models import JobState
from db.schema import open_database
from db.settings import Settings
from scheduler.submission import Submission, submit
from tests.networks import add_random_model

DEADLINE_SECONDS = 90
IMAGES = 4
LIST = "inspectq:inspectq"
PUBLISH = (
    "from worker.app import publish; from db.batches import Message; from db.errors import BrokerAway\n"
    "try: publish([Message(batch=7, attempt=2, job=3, images=64)])\n"
    "except BrokerAway as away: print(away)\n"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ours.crt and theirs.crt, two authorities, and server.crt, which ours has signed for 127.0.0.1 alone."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        try:
            subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)  # noqa: S607 - from the PATH
        except FileNotFoundError:
            pytest.skip("openssl is not installed")

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ours", "theirs"):
        openssl("req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=redis")
    (folder / "names").write_text(f"subjectAltName=IP:{LOOPBACK}\n")
    signer = ("-CA", "ours.crt", "-CAkey", "ours.key", "-CAcreateserial", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signer, "-out", "server.crt")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the users of docs/redis.md; `default` stays, for the test to look around as."""
    program = redis_programs().get("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis"), program=program) as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: RedisServer, repository_root: Path) -> Iterator[Any]:
    client: Any = redis.Redis.from_url(server.url)
    users = re.findall(r"^user (inspectq|flower) (.*)$", (repository_root / "docs/redis.md").read_text(), re.MULTILINE)
    assert len(users) == 2
    for name, rules in users:
        client.execute_command("ACL", "SETUSER", name, *rules.split())
    yield client
    client.close()


@pytest.fixture(scope="module")
def tls_port(server: RedisServer, admin: Any, certificates: Path) -> int:
    port = free_port()
    files = {"ca-cert": "ours.crt", "cert": "server.crt", "key": "server.key"}
    words = [word for name, file in files.items() for word in (f"tls-{name}-file", str(certificates / file))]
    try:
        admin.execute_command("CONFIG", "SET", *words, "tls-auth-clients", "no", "tls-port", port)
    except redis.ResponseError as error:
        pytest.skip(f"this Redis was built without TLS: {error}")
    return port


def url(user: str, port: int, host: str = LOOPBACK, ca: Path | None = None) -> str:
    password = {"inspectq": "PASSWORD-1", "flower": "PASSWORD-2"}[user]
    return f"rediss://{user}:{password}@{host}:{port}/0" + (f"?ssl_ca_certs={ca}" if ca else "")


def test_only_a_server_with_our_certificate_for_its_address_is_spoken_to(
    admin: Any, tls_port: int, certificates: Path
) -> None:
    ours, theirs = certificates / "ours.crt", certificates / "theirs.crt"
    plain = url("inspectq", tls_port, ca=ours)
    urls = {
        "ours": plain,
        "theirs": url("inspectq", tls_port, ca=theirs),
        "no authority": url("inspectq", tls_port),
        "another name": url("inspectq", tls_port, host="localhost", ca=ours),
        "asked not to look": url("inspectq", tls_port) + "?ssl_cert_reqs=none",
    }
    command = [sys.executable, "-c", PUBLISH]
    running = {
        name: subprocess.Popen(
            command,
            env=os.environ | {"INSPECTQ_BROKER_URL": broker},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, broker in urls.items()
    }
    said = {name: process.communicate()[0].strip() for name, process in running.items()}
    sent = {name for name, words in said.items() if not words}
    assert sent == {"ours", "asked not to look"}, said
    for name in urls.keys() - sent:
        assert re.fullmatch(r"The broker rediss?://\S+ does not answer \(.*\)\. Start Redis, or .*", said[name]), said
        assert "PASSWORD" not in said[name]
    assert "certificate verify failed" in said["theirs"].replace("_", " ").lower()
    assert admin.llen(LIST) == 2
    admin.delete(LIST)


def test_a_batch_is_inspected_and_shown_under_the_users_of_the_documentation(
    server: RedisServer, admin: Any, tls_port: int, certificates: Path, tmp_path: Path
) -> None:
    database, ca, web = f"sqlite:///{tmp_path / 'inspectq.db'}", certificates / "ours.crt", free_port()
    engine = open_database(database)
    add_random_model(engine, tmp_path / "models")
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(IMAGES):
        Image.fromarray(np.full((16, 16, 3), 40 * number, dtype=np.uint8)).save(folder / f"{number}.png")
    common = os.environ | {"INSPECTQ_DATABASE_URL": database, "INSPECTQ_HOME": str(tmp_path), "INSPECTQ_DEVICE": "cpu"}
    common |= {"INSPECTQ_FLOWER_AUTH": "a:b", "INSPECTQ_FLOWER_PORT": str(web)}
    started = []
    for role in ("flower", "worker", "scheduler"):
        broker = url("flower" if role == "flower" else "inspectq", tls_port, ca=ca)
        launch = Launch(
            name=role,
            command=[sys.executable, "-m", "console.cli", role],
            log=tmp_path / f"{role}.log",
            environment=common | {"INSPECTQ_BROKER_URL": broker},
        )
        started.append(LocalProcess(launch))
        started[-1].start()

    def eventually(look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (seen := look()):
            logs = "\n".join(process.log_tail() for process in started)
            assert time.monotonic() < deadline, f"{what} did not happen:\n{logs}"
            time.sleep(0.1)
        return seen

    def ask_flower(path: str) -> Any:
        login = {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{LOOPBACK}:{web}{path}", headers=login), timeout=30
        ) as answer:
            return answer.read().decode()

    try:
        # Flower listens for events, the worker for commands: what happens from here on is shown.
        eventually(lambda: admin.pubsub_numpat() == 2, "Flower's and the worker's subscription")
        job = submit(engine, Submission(folder=folder, model="tiny"), Settings(batch_images=IMAGES))

        def ended() -> bool:
            with reading(engine) as session:
                return jobs.get(session, job).state is JobState.DONE

        eventually(ended, "the end of the job")
        tasks = eventually(
            lambda: [task for task in json.loads(ask_flower("/api/tasks")).values() if task["state"] == "SUCCESS"],
            "the task in Flower",
        )
        assert f"(job {job}, " in tasks[0]["args"]
        workers = json.loads(ask_flower("/api/workers?refresh=1"))
        assert [set(shown) & {"stats", "active_queues", "registered", "conf"} for shown in workers.values()] == [
            {"stats", "active_queues", "registered", "conf"}
        ]
        page = ask_flower(f"/worker/{next(iter(workers))}")
        assert "inspectq.inspect_batch" in page
        assert "Shut down" not in page, "no button that would do nothing"
        assert "PASSWORD" not in json.dumps(workers) + page
        assert LIST.partition(":")[2] in ask_flower("/api/queues/length")
    finally:
        for process in started:
            process.stop()
        engine.dispose()
    denied = {
        (entry[b"username"], entry[b"object"])
        for entry in admin.execute_command("ACL", "LOG")
        if not entry[b"object"].startswith(b"client|")
    }
    assert denied == set(), "everything that was needed is allowed"


@pytest.mark.parametrize("user", ["inspectq", "flower"])
@pytest.mark.parametrize(
    "words",
    [
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("CONFIG", "GET", "requirepass"),
        ("CONFIG", "SET", "dir", "/tmp"),  # noqa: S108 - refused
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("EVAL", "return 1", "0"),
        ("SHUTDOWN",),
        ("REPLICAOF", "NO", "ONE"),
        ("MONITOR",),
        ("GET", "another"),
        ("LPUSH", "another", "x"),
        ("PUBLISH", "another", "x"),
    ],
    ids=" ".join,
)
def test_a_user_can_do_nothing_else(server: RedisServer, admin: Any, user: str, words: tuple[str, ...]) -> None:
    with _client(server, user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*words)


def test_flower_cannot_put_a_message_on_the_queue_nor_take_one(server: RedisServer, admin: Any) -> None:
    with _client(server, "flower") as client:
        for words in (
            ("LPUSH", LIST, "x"),
            ("BRPOP", LIST, "1"),
            ("DEL", LIST),
            ("HSET", "inspectq:unacked", "1", "x"),
        ):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
        assert client.llen(LIST) == 0


def _client(server: RedisServer, user: str) -> Any:
    password = {"inspectq": "PASSWORD-1", "flower": "PASSWORD-2"}[user]
    return redis.Redis(
        host=LOOPBACK, port=server.port, username=user, password=password, retry=Retry(NoBackoff(), 0), driver_info=None
    )
