"""Which messages does a worker let in?

Redis is not trusted: whoever may write to it can put any bytes on the queue. A worker lets in what
`worker.app.publish` writes and the questions that Flower asks. Everything else is dropped where its bytes arrive,
counted, and said in one line of the log.

That place is the Redis client, below kombu, because the layers above take a message for what it claims to be: one
that was not JSON, no object, or compressed in an unknown way ended the main process of a worker (kombu 5.7), and
Celery has no hook before that. `worker.app` puts this module's transport behind redis:// and rediss://, so that
worker, scheduler and Flower all pass through the same door.
"""

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import Any

from celery.worker import consumer
from celery.worker.control import Panel
from kombu.transport import redis

from worker.app import BATCH_SECONDS, QUEUE, TASK, app

log = logging.getLogger(__name__)

TASK_BYTES = 4096  # publish writes about 1,100
OTHER_BYTES = 2**20  # answers to Flower, and events, which Celery sends in bundles

Check = Callable[[Any], bool]


def _one_of(*allowed: object) -> Check:
    return lambda value: value in allowed


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 300 and value.isprintable()


def _uuid(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def _number(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63  # type: ignore[operator]


def _whole(most: int) -> Check:
    return lambda value: type(value) is int and 1 <= value <= most


# The inspections that Flower's pages ask for, and `celery inspect ping`; with their arguments. Nothing here changes
# a worker. It is stopped by SIGTERM, and what it works on is decided in the database.
COMMANDS: Mapping[str, Mapping[str, Check]] = {
    "ping": {},
    "stats": {},
    "active_queues": {},
    "registered": {"taskinfoitems": _one_of([])},
    "scheduled": {},
    "active": {"safe": _one_of(None, False, True)},
    "reserved": {},
    "revoked": {},
    "conf": {"with_defaults": _one_of(False, True)},
}


class Refusals:
    """How many messages this process has refused since it started."""

    LINES_A_MINUTE = 20  # a flood of forged messages must not become a flood of log lines

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._minute, self._lines = 0, 0

    def add(self, what: str, reason: str, raw: bytes) -> None:
        """Count one and say why, with the start of `raw` as a Python literal: no control character gets through."""
        with self._lock:
            self.count += 1
            minute = int(time.monotonic() // 60)
            if minute != self._minute:
                self._minute, self._lines = minute, 0
            self._lines += 1
            lines = self._lines
        if lines <= self.LINES_A_MINUTE:
            log.warning("refused one %s (%s): %r", what, reason, raw[:80])
        if lines == self.LINES_A_MINUTE:
            log.warning("refused %d in this minute; more are only counted: inspectq health worker", lines)


refusals = Refusals()


class _Refused(Exception):
    """The message is not let in; says why, in printable characters."""


def task_fault(raw: bytes) -> str | None:
    """Why this is not a message that `publish` writes; None if it is one."""
    return _fault(_check_task, raw, TASK_BYTES)


def control_fault(raw: bytes) -> str | None:
    """Why this is not a question that a worker answers; None if it is one."""
    return _fault(_check_control, raw, TASK_BYTES)


def envelope_fault(raw: bytes) -> str | None:
    """Why kombu could not read this as a message; None if it could. For what is meant for Flower."""
    return _fault(lambda *_: None, raw, OTHER_BYTES)


def _fault(check: Callable[[Any, Any, Any], None], raw: bytes, most: int) -> str | None:
    try:
        check(*_envelope(raw, most))
    except _Refused as refused:
        return str(refused)
    return None


def _envelope(raw: bytes, most: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Headers, properties and decoded body. Raises _Refused where kombu would stumble over any of them."""
    if len(raw) > most:
        raise _Refused(f"{len(raw)} bytes, at most {most} are allowed")
    message = _object("envelope", _json(raw))
    encoded, properties, headers = message.get("body"), message.get("properties"), message.get("headers")
    parts: dict[str, Check] = {
        "body": lambda value: isinstance(value, str),
        "content-type": _one_of("application/json"),
        "content-encoding": _one_of("utf-8"),
        "headers": lambda value: isinstance(value, dict),
        "properties": lambda value: isinstance(value, dict),
    }
    _check_fields("envelope field", message, parts, required=parts)
    properties, headers = _object("properties", properties), _object("headers", headers)
    for name, check in {"delivery_tag": _uuid, "body_encoding": _one_of("base64")}.items():
        if not check(properties.get(name)):
            raise _Refused(f"no valid property {name}")
    if "compression" in headers:
        raise _Refused("compressed")
    try:
        body = base64.b64decode(str(encoded), validate=True)
    except ValueError:
        raise _Refused("body is not base64") from None
    return headers, properties, _json(body)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):
        raise _Refused("not JSON") from None


def _object(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Refused(f"{what} is not an object")
    return value


def _check_fields(what: str, given: Mapping[str, Any], checks: Mapping[str, Check], required: Collection[str]) -> None:
    for name, value in given.items():
        if name not in checks:
            raise _Refused(f"unknown {what} {name[:40]!a}")
        if not checks[name](value):
            raise _Refused(f"{what} {name} is {str(value)[:40]!a}")
    if missing := [name for name in required if name not in given]:
        raise _Refused(f"no {what} {missing[0]}")


@cache
def _written() -> Any:
    """A task message as the installed Celery writes it: a field that another release adds needs no change here."""
    message = app.amqp.as_task_v2("", TASK, (1, 1))
    return json.loads(json.dumps({"headers": message.headers, "body": message.body}))


@cache
def _task_headers() -> dict[str, Check]:
    """Every header that Celery writes. Those not named here (eta, expires, retries, stamps, …) stay empty."""
    fixed = {name: _one_of(value) for name, value in _written()["headers"].items()}
    return fixed | {
        "id": _uuid,
        "root_id": _uuid,
        "argsrepr": _text,
        "origin": _text,
        "ignore_result": _one_of(None, False, True),
        "timelimit": _one_of([None, None], [BATCH_SECONDS, BATCH_SECONDS - 60]),  # a publisher with or without the task
        "redelivered": _one_of(True),  # a worker that ended gave it back
    }


_DELIVERY = {"exchange": "", "routing_key": QUEUE}
_TASK_PROPERTIES: Mapping[str, Check] = {
    "correlation_id": _uuid,
    "reply_to": lambda value: value in (None, "") or _uuid(value),
    "argsrepr": _text,
    "delivery_mode": _one_of(2),
    "delivery_info": _one_of(_DELIVERY, _DELIVERY | {"redelivered": True}),
    "priority": _one_of(0),
    "body_encoding": _one_of("base64"),
    "delivery_tag": _uuid,
}


def _check_task(headers: dict[str, Any], properties: dict[str, Any], body: Any) -> None:
    _check_fields("header", headers, _task_headers(), required=("task", "id"))
    _check_fields("property", properties, _TASK_PROPERTIES, required=("delivery_info", "delivery_tag"))
    _, no_words, no_followers = _written()["body"]
    if not isinstance(body, list) or len(body) != 3 or body[1:] != [no_words, no_followers]:
        raise _Refused("keyword arguments, callbacks or another form of body")
    ids = body[0]
    limits = (_whole(2**63 - 1), _whole(2**31 - 1))  # batch.id, batch.attempt
    if (
        not isinstance(ids, list)
        or len(ids) != 2
        or not all(fits(part) for fits, part in zip(limits, ids, strict=True))
    ):
        raise _Refused("arguments are not the numbers of a batch and an attempt")


def _check_control(headers: dict[str, Any], _: dict[str, Any], body: Any) -> None:
    reply = app.control.mailbox.reply_exchange.name
    _check_fields("header", headers, {"clock": _number, "expires": _number}, required=())
    question: dict[str, Check] = {
        "method": lambda value: isinstance(value, str),
        "arguments": lambda value: value is None or isinstance(value, dict),
        "destination": lambda value: value is None or isinstance(value, list),
        "pattern": _one_of(None),  # a regular expression could keep a worker busy for ever
        "matcher": _one_of(None),
        "ticket": _uuid,
        "reply_to": lambda to: (
            isinstance(to, dict)
            and to == {"exchange": reply, "routing_key": to.get("routing_key")}
            and _uuid(to["routing_key"])
        ),
    }
    body = _object("body", body)
    _check_fields("field", body, question, required=("method",))
    if body["method"] not in COMMANDS:
        raise _Refused(f"command {body['method'][:40]!a}")
    _check_fields("argument", body.get("arguments") or {}, COMMANDS[body["method"]], required=())


def _admit(what: str, fault: Callable[[bytes], str | None], raw: bytes) -> bool:
    reason = fault(raw)
    if reason is not None:
        refusals.add(what, reason, raw)
    return reason is None


class _Client(redis.PrefixedStrictRedis):
    """What kombu pops from a list. A refused message is gone: it never reaches the unacknowledged ones."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        reply = super().parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not reply:
            return reply
        key, raw = reply
        queue = key.decode().split(Channel.sep)[0]  # without the priority
        fault, what = (task_fault, "message") if queue == QUEUE else (envelope_fault, "reply")
        return reply if _admit(what, fault, raw) else None  # None: as if nothing had come

    def pubsub(self, **options: Any) -> "_Listener":
        return _Listener(self.connection_pool, global_keyprefix=self.global_keyprefix, **options)


class _Listener(redis.PrefixedRedisPubSub):
    """What kombu hears on a channel: control commands in a worker, events in Flower."""

    def parse_response(self, *args: Any, **options: Any) -> Any:
        heard = super().parse_response(*args, **options)
        if not heard or heard[0] not in (b"message", b"pmessage"):
            return heard
        channel, raw = heard[-2:]
        control = channel.endswith(app.control.mailbox.exchange.name.encode())
        fault, what = (control_fault, "control command") if control else (envelope_fault, "event")
        return heard if _admit(what, fault, raw) else None


class _QoS(redis.QoS):
    """The unacknowledged messages, which lie in Redis, too, and go back to the queue when their worker is gone."""

    def restore_visible(self, *args: Any, **options: Any) -> None:
        consumed = self.channel.active_queues
        if not consumed or QUEUE in consumed:  # a worker; Flower, with a queue for answers, has no business here
            super().restore_visible(*args, **options)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        with self.channel.conn_or_acquire(client) as connection:
            noted = connection.hget(self.unacked_key, tag)
            if noted is None or _admit("unacknowledged message", _noted_fault, noted):
                super().restore_by_tag(tag, connection, leftmost)
            else:
                self._remove_from_indices(tag, connection.pipeline()).execute()


def _noted_fault(raw: bytes) -> str | None:
    if len(raw) > 2 * TASK_BYTES:  # the message and, once more escaped, its quotation marks
        return f"{len(raw)} bytes"
    try:
        noted = _json(raw)
    except _Refused as refused:
        return str(refused)
    if not isinstance(noted, list) or noted[1:] != ["", QUEUE]:
        return "not a message and its queue"
    return task_fault(json.dumps(noted[0]).encode())


class Channel(redis.Channel):
    """kombu's, with the door in its clients."""

    QoS = _QoS

    def _get_client(self) -> Any:
        super()._get_client()  # raises where redis-py is too old
        return partial(_Client, global_keyprefix=self.global_keyprefix)


class Transport(redis.Transport):
    """kombu's, with our channel."""

    Channel = Channel


class Consumer(consumer.Consumer):
    """A worker's side of the queue: it obeys no other command, and neither listens to nor greets other workers.

    With gossip a forged `worker-elect` event makes Celery publish whatever task it names; with mingle a worker
    takes over the revoked task ids that anybody answers with.
    """

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        for name in set(Panel.data) - set(COMMANDS):
            del Panel.data[name]
        alone = {"without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options=(worker_options or {}) | alone, **kwargs)
