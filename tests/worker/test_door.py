"""Does a worker survive whatever is put on its queue, count it, and go on with what the scheduler publishes?

The hostile messages are put on the list of a real Redis, and one real worker, started as a person starts it, meets
them all.
"""

import base64
import copy
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from celery import Celery
from click.testing import CliRunner

from console.commands.operate import health
from console.processes import Launch, LocalProcess
from console.servers import RedisServer, redis_programs
from db import heartbeats
from db.engine import Engine, reading, writing
from db.schema import open_database
from db.settings import settings
from worker.app import KEY_PREFIX, QUEUE, TASK, app
from worker.door import COMMANDS, Refusals, control_fault, task_fault

LIST = KEY_PREFIX + QUEUE
PIDBOX = f"{KEY_PREFIX}/0.{app.control.mailbox.exchange.name}"
DEADLINE_SECONDS = 90
FLOOD = 5_000
PUBLISH = (
    "from worker.app import publish; from db.batches import Message\n"
    "publish([Message(batch=7, attempt=2, job=3, images=64)])"
)


def body(*arguments: object, words: object = None, **followers: object) -> str:
    """A task's body as kombu encodes it: arguments, keyword arguments, what is to follow."""
    none = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return encoded([list(arguments), words or {}, none | followers])


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


FOLLOWER: list[dict[str, Any]] = [
    {"task": TASK, "args": [1, 1], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": True}
]
# What is changed in a message that `publish` wrote, by where it is changed.
FORGED: dict[str, dict[str, Any]] = {
    "another task": {"headers": {"task": "os.system"}},
    "a built-in task": {"headers": {"task": "celery.chord_unlock"}},
    "a name with a line break": {"headers": {"task": "x\r\n[CRITICAL] all is well\x1b[2J"}},
    "a task that is a list": {"headers": {"task": [TASK]}},
    "an id that is a list": {"headers": {"id": [1]}},
    "an id with a line break": {"headers": {"id": "1\n2"}},
    "eta": {"headers": {"eta": "2099-01-01T00:00:00+00:00"}},
    "eta that is no time": {"headers": {"eta": "soon"}},
    "expires": {"headers": {"expires": "1999-01-01T00:00:00+00:00"}},
    "retries": {"headers": {"retries": 3}},
    "time limits": {"headers": {"timelimit": [1e9, 1e9]}},
    "time limits of another kind": {"headers": {"timelimit": ["x", {}]}},
    "group": {"headers": {"group": "g", "group_index": 1}},
    "stamps": {"headers": {"stamped_headers": ["a"], "stamps": {"a": "b"}}},
    "another name for Flower": {"headers": {"shadow": "harmless"}},
    "control characters for Flower": {"headers": {"argsrepr": "\x1b[2J"}},
    "an unknown header": {"headers": {"please": "run"}},
    "unknown compression": {"headers": {"compression": "x"}},
    "compressed": {"headers": {"compression": "application/x-gzip"}},
    "headers that are a list": {"headers": None, "envelope": {"headers": ["task"]}},
    "strings": {"envelope": {"body": body("1", "1")}},
    "floats": {"envelope": {"body": body(1.0, 1.0)}},
    "booleans": {"envelope": {"body": body(True, True)}},
    "null": {"envelope": {"body": body(None, None)}},
    "a huge batch": {"envelope": {"body": body(2**63, 1)}},
    "a huge attempt": {"envelope": {"body": body(1, 2**31)}},
    "a number of 5,000 digits": {"envelope": {"body": base64.b64encode(b"[[" + b"9" * 2500 + b",1]]").decode()}},
    "zero": {"envelope": {"body": body(0, 1)}},
    "negative": {"envelope": {"body": body(-1, 1)}},
    "too few": {"envelope": {"body": body(1)}},
    "too many": {"envelope": {"body": body(1, 1, 1)}},
    "keyword arguments": {"envelope": {"body": body(words={"batch": 1, "attempt": 1})}},
    "callbacks": {"envelope": {"body": body(1, 1, callbacks=FOLLOWER)}},
    "errbacks": {"envelope": {"body": body(1, 1, errbacks=FOLLOWER)}},
    "a chain": {"envelope": {"body": body(1, 1, chain=FOLLOWER)}},
    "a chord": {"envelope": {"body": body(1, 1, chord=FOLLOWER[0])}},
    "something else to follow": {"envelope": {"body": body(1, 1, extra=1)}},
    "an old protocol": {"envelope": {"body": encoded({"task": TASK, "id": "1", "args": [1, 1], "kwargs": {}})}},
    "a body that is not base64": {"envelope": {"body": "!!!!"}},
    "a body that is not JSON": {"envelope": {"body": base64.b64encode(b"nope").decode()}},
    "a body that is null": {"envelope": {"body": None}},
    "a deep body": {"envelope": {"body": base64.b64encode(b"[" * 1500).decode()}},
    "pickle": {"envelope": {"content-type": "application/x-python-serialize"}},
    "yaml": {"envelope": {"content-type": "application/x-yaml"}},
    "another encoding": {"envelope": {"content-encoding": "rot13"}},
    "an unknown field": {"envelope": {"extra": 1}},
    "no delivery tag": {"properties": {"delivery_tag": None}},
    "another body encoding": {"properties": {"body_encoding": "rot13"}},
    "an answer elsewhere": {"properties": {"reply_to": "inspectq"}},
    "another queue": {"properties": {"delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}}},
    "a priority": {"properties": {"priority": 9}},
    "properties that are a list": {"properties": None, "envelope": {"properties": []}},
    "nearly as large as Redis takes": {"envelope": {"body": "A" * 1_000_000}},
}
GARBLED = [
    b"\x00\xff\x1b[31m\r\nroot: all is well\r\n",
    b"{}",
    b"[1,2]",
    b"null",
    b"1",
    b"",
    b'"',
    b"[" * 100_000,
    b"NaN",
]

QUESTION: dict[str, Any] = {"method": "ping", "arguments": {}, "destination": None, "pattern": None, "matcher": None}
FORBIDDEN: dict[str, dict[str, Any]] = {
    "shutdown": {"method": "shutdown"},
    "pool_shrink": {"method": "pool_shrink", "arguments": {"n": 1}},
    "pool_grow": {"method": "pool_grow", "arguments": {"n": 50}},
    "revoke": {"method": "revoke", "arguments": {"task_id": "x", "terminate": True, "signal": "KILL"}},
    "add_consumer": {"method": "add_consumer", "arguments": {"queue": "other"}},
    "cancel_consumer": {"method": "cancel_consumer", "arguments": {"queue": QUEUE}},
    "rate_limit": {"method": "rate_limit", "arguments": {"task_name": TASK, "rate_limit": "1/h"}},
    "time_limit": {"method": "time_limit", "arguments": {"task_name": TASK, "hard": 1}},
    "election": {"method": "election", "arguments": {"id": "1", "topic": "task", "action": FOLLOWER[0]}},
    "disable_events": {"method": "disable_events"},
    "hello": {"method": "hello", "arguments": {"from_node": "x", "revoked": ["1"]}},
    "memdump": {"method": "memdump"},
    "a method that is a list": {"method": ["ping"]},
    "a slow pattern": {"pattern": "(a+)+$", "matcher": "pcre"},
    "any attribute": {"method": "registered", "arguments": {"taskinfoitems": ["app"]}},
    "an unknown argument": {"arguments": {"x": 1}},
    "an answer to the queue": {"reply_to": {"exchange": "", "routing_key": QUEUE}, "ticket": str(uuid.uuid4())},
    "an answer to nobody": {"reply_to": {"exchange": app.control.mailbox.reply_exchange.name}},
    "an unknown field": {"extra": 1},
}


def forged(genuine: dict[str, Any], change: dict[str, Any]) -> bytes:
    """The genuine message, with ids of its own and the change."""
    message = copy.deepcopy(genuine)
    message["properties"]["delivery_tag"] = message["headers"]["id"] = str(uuid.uuid4())
    for place in ("headers", "properties"):
        message[place].update(change.get(place) or {})
    return json.dumps(message | change.get("envelope", {})).encode()


def control(**fields: object) -> bytes:
    """A control command as kombu publishes it."""
    properties = {"delivery_tag": str(uuid.uuid4()), "body_encoding": "base64", "delivery_mode": 1, "priority": 0}
    message = {
        "body": encoded(QUESTION | fields),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"clock": 1, "expires": 0},
        "properties": properties | {"delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}},
    }
    return json.dumps(message).encode()


@dataclass
class Site:
    """One Redis, one database and one worker; how many messages the worker should have refused so far."""

    server: RedisServer
    engine: Engine
    worker: LocalProcess
    genuine: dict[str, Any]
    refused: int = 0
    redis: Any = field(init=False)

    def __post_init__(self) -> None:
        self.redis = redis.Redis.from_url(self.server.url)

    @property
    def log(self) -> str:
        return self.worker.launch.log.read_text(encoding="utf-8", errors="strict")

    def push(self, *messages: bytes) -> None:
        with self.redis.pipeline() as pipe:
            for message in messages:
                pipe.lpush(LIST, message)
            pipe.execute()

    def eventually(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (seen := look()):
            assert self.worker.running, f"the worker ended:\n{self.worker.log_tail()}"
            assert time.monotonic() < deadline, f"{what} did not happen:\n{self.worker.log_tail()}"
            time.sleep(0.02)
        return seen

    def goes_on(self) -> None:
        """A good message is taken, inspected and acknowledged, after everything that was pushed before it."""
        self.push(good := forged(self.genuine, {}))
        task = json.loads(good)["headers"]["id"]
        self.eventually(lambda: f"[{task}] succeeded" in self.log, "the end of a good message")
        self.eventually(lambda: not self.redis.hlen(KEY_PREFIX + "unacked"), "its acknowledgement")
        assert not self.redis.llen(LIST)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that found a forged and a forgotten message among the unacknowledged ones when it started."""
    if not redis_programs():
        pytest.skip("neither redis-server nor valkey-server is installed")
    folder = tmp_path_factory.mktemp("door")
    url = f"sqlite:///{folder / 'inspectq.db'}"
    engine = open_database(url)
    with RedisServer(folder / "redis") as server:
        environment = os.environ | {
            "INSPECTQ_DATABASE_URL": url,
            "INSPECTQ_BROKER_URL": server.url,
            "INSPECTQ_HOME": str(folder),
            "INSPECTQ_DEVICE": "cpu",
        }
        subprocess.run([sys.executable, "-c", PUBLISH], env=environment, check=True)
        command = [sys.executable, "-m", "console.cli", "worker"]
        worker = LocalProcess(Launch(name="worker", command=command, log=folder / "log", environment=environment))
        made = Site(server, engine, worker, {})
        made.genuine = json.loads(made.redis.rpop(LIST))
        forgotten = json.loads(forged(made.genuine, {}))
        elsewhere = json.dumps([forgotten, "", "other"])
        for tag, noted in {"1": "garbage", "2": elsewhere, "3": json.dumps([forgotten, "", QUEUE])}.items():
            made.redis.hset(KEY_PREFIX + "unacked", tag, noted)
            made.redis.zadd(KEY_PREFIX + "unacked_index", {tag: 1})  # a second of 1970: long overdue
        made.refused = 2
        worker.start()
        try:
            made.eventually(lambda: f"[{forgotten['headers']['id']}] succeeded" in made.log, "the forgotten message")
            yield made
        finally:
            worker.stop()
            engine.dispose()


def test_what_publish_writes_is_let_in(site: Site) -> None:
    assert task_fault(json.dumps(site.genuine).encode()) is None
    back = copy.deepcopy(site.genuine)  # as kombu marks what a worker that ended gave back
    back["headers"]["redelivered"] = back["properties"]["delivery_info"]["redelivered"] = True
    assert task_fault(json.dumps(back).encode()) is None


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_is_refused_with_a_printable_reason(site: Site, name: str) -> None:
    reason = task_fault(forged(site.genuine, FORGED[name]))
    assert reason
    assert reason.isprintable()
    assert len(reason) < 200


@pytest.mark.parametrize("field", ["body", "headers", "properties", "content-type", "content-encoding"])
def test_a_message_without_a_part_is_refused(site: Site, field: str) -> None:
    assert task_fault(json.dumps({name: part for name, part in site.genuine.items() if name != field}).encode())


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_control_command_is_refused(name: str) -> None:
    assert control_fault(control()) is None
    assert control_fault(control(**FORBIDDEN[name]))


def test_a_flood_is_counted_and_not_logged_line_by_line(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for _ in range(1000):
        refusals.add("message", "not JSON", b"\x1b[2J" * 1000)
    assert refusals.count == 1000
    assert len(caplog.messages) <= 2 * (Refusals.LINES_A_MINUTE + 1)  # the minute may have changed in between
    assert all(line.isprintable() and len(line) < 500 for line in caplog.messages)


def test_a_worker_drops_counts_and_logs_what_is_forged_or_garbled_and_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which the worker meets them, so that the first are logged one by one."""
    before = len(site.log)
    site.push(*GARBLED, *(forged(site.genuine, change) for change in FORGED.values()), *[b"{}"] * FLOOD)
    site.refused += len(GARBLED) + len(FORGED) + FLOOD
    site.goes_on()
    log = site.log[before:]
    assert r"refused one message (not JSON): b'\x00\xff\x1b[31m\r\nroot: all is well\r\n'" in log
    assert not re.search(r"^root: all", log, flags=re.MULTILINE)
    assert all(line.isprintable() for line in log.splitlines())
    assert 0 < log.count("refused one") < 3 * Refusals.LINES_A_MINUTE
    assert log.count("Task ") == 2, "nothing but the good message may reach a task"

    def counted() -> bool:
        with reading(site.engine) as session:
            names = heartbeats.alive(session, role="worker")
            return heartbeats.refused_messages(session, names) == site.refused

    site.eventually(counted, f"a heartbeat that says {site.refused}")
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", str(site.engine.url))
    settings.cache_clear()
    try:
        said = CliRunner().invoke(health, ["worker"])
    finally:
        settings.cache_clear()
    assert said.exit_code == 0
    assert f"refused {site.refused} forged or garbled messages" in said.output


def test_a_list_that_is_no_list_does_not_end_the_worker(site: Site) -> None:
    site.redis.set(LIST, "not a list")
    site.eventually(lambda: "ResponseError" in site.log, "the refusal of Redis")
    site.redis.delete(LIST)
    site.goes_on()


def test_forbidden_commands_change_nothing_and_flowers_are_answered_without_a_password(site: Site) -> None:
    outside = Celery(broker=site.server.url)
    outside.conf.broker_transport_options = {"global_keyprefix": KEY_PREFIX}
    inspect = outside.control.inspect(timeout=DEADLINE_SECONDS, limit=1)
    site.eventually(lambda: site.redis.publish(PIDBOX, b"{}"), "the worker's ear for commands")
    for message in [*GARBLED, *(control(**fields) for fields in FORBIDDEN.values())]:
        site.redis.publish(PIDBOX, message)
    site.redis.publish(f"{KEY_PREFIX}/0.celeryev/worker.elect", control())
    answers = {name: getattr(inspect, name)() for name in COMMANDS}
    assert all(len(answer) == 1 for answer in answers.values())
    assert site.server.password not in json.dumps(answers)
    stats = next(iter(answers["stats"].values()))
    assert len(stats["pool"]["processes"]) == 1
    assert stats["pool"]["timeouts"] == [app.conf.task_soft_time_limit, app.conf.task_time_limit]
    assert [queue["name"] for queue in next(iter(answers["active_queues"].values()))] == [QUEUE]
    assert next(iter(answers["revoked"].values())) == []
    assert site.redis.pubsub_numpat() == 1, "a worker listens for commands, and to no other worker"
    site.goes_on()


def test_a_heartbeat_without_refusals_says_zero(site: Site) -> None:
    with writing(site.engine) as session:
        heartbeats.beat(session, name="quiet@host", role="scheduler")
        heartbeats.beat(session, name="quiet@host", role="scheduler")
    with reading(site.engine) as session:
        assert heartbeats.refused_messages(session, ["quiet@host"]) == 0
        assert heartbeats.refused_messages(session, []) == 0
