"""Which Celery app carries the batches, and with which settings? (Why each: ARCHITECTURE.md, "The queue".)

`inspectq worker` and `celery -A worker.app worker` start the same worker, the latter under Celery's own name
(add `-n NAME@%h` where two run on one host). This module and the
pool's parent process never import torch: the model is loaded in the pool's child, so a crash
costs one child, time limits work, and CUDA is never carried over a fork.
"""

import json
import logging
import os
import secrets
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery, signals
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url

from db import heartbeats
from db.batches import Message
from db.display import log_single_lines
from db.engine import writing
from db.errors import BrokerAway, ServiceAway, SettingInvalid
from db.schema import open_database
from db.settings import settings

log = logging.getLogger(__name__)

TASK = "inspectq.inspect_batch"
QUEUE = "inspectq"
KEY_PREFIX = "inspectq:"  # every key in Redis begins with it

# Longer than any batch. Recovery comes from the lease in the database; Redis handing a message
# out a second time while the first is being worked on would only cost a refused claim.
VISIBILITY_SECONDS = 6 * 3600
LOOKED_AT = 20_000  # messages: twice the largest window; more can only be somebody else's
BATCH_SECONDS = 1800  # a batch that takes longer is wedged: its child is killed, its lease runs out

TRANSPORT_ALIASES.update(redis="worker.door:Transport", rediss="worker.door:Transport")


def _tls(url: str) -> dict[str, Any] | None:
    """The URL's ssl_ parameters for rediss://. Without them kombu would accept any certificate."""
    if not url.startswith("rediss://"):
        return None
    try:
        named = parse_url(url).get("ssl", {})
    except KeyError as unknown:
        raise SettingInvalid(
            f"INSPECTQ_BROKER_URL: ssl_cert_reqs={unknown} is none of required, optional and none."
        ) from None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **named}


app = Celery("inspectq", broker=settings().broker_url or "memory://", include=["worker.tasks"])
app.conf.update(
    task_default_queue=QUEUE,
    task_serializer="json",
    accept_content=["json"],
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=False,  # the lease decides: Celery would restart a crashing task for ever
    task_soft_time_limit=BATCH_SECONDS - 60,
    task_time_limit=BATCH_SECONDS,
    task_track_started=True,
    worker_pool="prefork",
    worker_pool_start_method="spawn",
    worker_concurrency=1,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_proc_alive_timeout=120,
    worker_lost_wait=0.5,  # seconds until a dead child's batch is released; Celery's own are 10
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_consumer="worker.door:Consumer",
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,  # a Redis that refuses a command, for once or for a while, ends no worker
    broker_use_ssl=_tls(settings().broker_url),
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "socket_timeout": 10,  # without it a frozen Redis hangs a publisher for ever
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "global_keyprefix": KEY_PREFIX,
    },
)


def publish(messages: list[Message]) -> None:
    """Put messages on the queue. Raises BrokerAway; what was not published is found by `db.batches.resend`."""
    try:
        with app.connection_for_write() as connection:
            for message in messages:
                app.send_task(
                    TASK,
                    task_id=_name(message),
                    args=(message.batch, message.attempt),
                    argsrepr=readable(message),
                    connection=connection,
                    retry=False,
                )
    except (OperationalError, OSError) as error:
        raise BrokerAway(broker_sentence(error)) from error


def readable(message: Message) -> str:
    """What Flower shows as the task's arguments."""
    return (
        f"(job {message.job}, batch {message.batch}, attempt {message.attempt}, "
        f"{message.images} image{'' if message.images == 1 else 's'})"
    )


def messages_waiting() -> set[tuple[int, int]]:
    """(batch, attempt) of the messages that wait for a worker, of the first `LOOKED_AT` on the queue.

    Those that a worker has taken do not count: a dead one's linger for hours. Raises BrokerAway.
    """
    try:
        with app.connection_for_write() as connection, connection.channel() as channel:
            waiting: list[bytes] = channel.client.lrange(KEY_PREFIX + QUEUE, 0, LOOKED_AT - 1)
    except (OperationalError, OSError) as error:
        raise BrokerAway(broker_sentence(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "redis":
            raise BrokerAway(broker_sentence(error)) from error
        raise
    return {ids for message in waiting if (ids := _ids(message)) is not None}


def _name(message: Message) -> str:
    """A new UUID from which batch (its first half) and attempt (the next quarter) can be read."""
    return str(UUID(int=message.batch << 64 | message.attempt << 32 | secrets.randbits(32)))


def _ids(message: bytes) -> tuple[int, int] | None:
    """Which batch and attempt a message on the queue is about, by the id that `publish` gave it."""
    try:
        number = UUID(json.loads(message)["headers"]["id"]).int
        return number >> 64, number >> 32 & 0xFFFFFFFF
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):  # none of ours
        return None


def broker_sentence(error: BaseException) -> str:
    """Which broker is away, why, and what to do, without its password."""
    place = app.connection_for_write().as_uri()  # kombu masks the password
    cause = " ".join(str(error).split())[:200]
    return f"The broker {place} does not answer ({cause}). Start Redis, or correct INSPECTQ_BROKER_URL."


def worker_name(device: str) -> str:
    """`cpu-4711@host`: the device it runs on and the process, so that several on one host differ."""
    if device == "auto":
        device = "cuda" if Path("/dev/nvidia0").exists() else "cpu"  # torch decides later, in the child
    return f"{device.replace(':', '')}-{os.getpid()}@{socket.gethostname()}"


_stopping = threading.Event()


@signals.worker_init.connect
def _refuse_without_broker(**_: Any) -> None:
    if not settings().broker_url:
        raise SystemExit("No broker is set, so there is nothing to work on. Set INSPECTQ_BROKER_URL=redis://…")


@signals.worker_ready.connect
def _begin_beating(sender: Any, **_: Any) -> None:
    threading.Thread(target=_beat, args=(sender.hostname,), name="heartbeat", daemon=True).start()


@signals.worker_shutting_down.connect
def _stop_beating(**_: Any) -> None:
    _stopping.set()


def _beat(name: str) -> None:
    """Write the heartbeat row until the worker stops; a database that is away for a while is no reason to end."""
    from worker.door import refusals  # which imports this module

    engine = None
    while True:
        try:
            engine = engine or open_database(settings().effective_database_url)
            with writing(engine) as session:
                heartbeats.beat(session, name=name, role="worker", refused_messages=refusals.count)
        except ServiceAway:
            pass
        except Exception:  # a heartbeat that ends while its worker goes on would be a false alarm for ever
            log.exception("heartbeat")
        if _stopping.wait(heartbeats.BEAT_SECONDS):
            return


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _log_single_lines(logger: logging.Logger, **_: Any) -> None:
    """No file name and no message may split or colour the log; neither in what the pool itself says."""
    log_single_lines(logger)
    log_single_lines(logging.getLogger("multiprocessing"))
