"""Is Celery set up so that nothing is unpickled, prefetched or loaded where it must not be?"""

import subprocess
import sys
from pathlib import Path

import pytest

from console.servers import free_port
from db.batches import Message
from worker.app import app, readable, worker_name


def test_only_json_is_accepted_and_nothing_is_kept() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.result_backend is None


def test_the_pool_is_the_one_in_which_a_crash_costs_one_child() -> None:
    conf = app.conf
    assert (conf.worker_pool, conf.worker_pool_start_method, conf.worker_concurrency) == ("prefork", "spawn", 1)
    assert (conf.task_acks_late, conf.task_reject_on_worker_lost) == (True, False)
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_time_limit > conf.task_soft_time_limit


@pytest.mark.parametrize("module", ["worker.app", "worker.tasks", "scheduler.loop", "console.commands.inspect"])
def test_torch_is_not_loaded_by(module: str, repository_root: Path) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=repository_root, check=False).returncode == 0


def test_flower_shows_what_a_message_is_about() -> None:
    assert readable(Message(batch=7, attempt=2, job=3, images=64)) == "(job 3, batch 7, attempt 2, 64 images)"
    assert readable(Message(batch=7, attempt=2, job=3, images=1)).endswith("1 image)")


def test_a_worker_is_named_after_its_device_and_host() -> None:
    import socket

    assert worker_name("cuda:1").startswith("cuda1-")
    assert worker_name("cpu").endswith(f"@{socket.gethostname()}")


def test_a_broker_that_is_away_is_one_sentence_without_its_password(repository_root: Path) -> None:
    code = (
        "from db.batches import Message; from db.errors import BrokerAway\n"
        "from worker.app import publish, messages_waiting\n"
        "for ask in (messages_waiting, lambda: publish([Message(batch=1, attempt=1, job=1, images=1)])):\n"
        "    try: ask()\n"
        "    except BrokerAway as away: print(away)\n"
    )
    url = f"redis://:s3cret@127.0.0.1:{free_port()}/0"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository_root,
        env={"INSPECTQ_BROKER_URL": url, "PATH": "", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    sentences = done.stdout.strip().splitlines()
    assert len(sentences) == 2
    assert all("does not answer" in sentence and "INSPECTQ_BROKER_URL" in sentence for sentence in sentences)
    assert "s3cret" not in done.stdout + done.stderr


def test_what_waits_on_the_queue_is_known_by_batch_and_attempt(repository_root: Path, redis_url: str) -> None:
    code = (
        "from db.batches import Message\n"
        "from worker.app import KEY_PREFIX, QUEUE, app, messages_waiting, publish\n"
        "with app.connection_for_write() as connection, connection.channel() as channel:\n"
        "    channel.client.delete(KEY_PREFIX + QUEUE)\n"
        "    assert messages_waiting() == set()\n"
        "    for batch, attempt in ((7, 2), (2**40, 1)):\n"
        "        publish([Message(batch=batch, attempt=attempt, job=1, images=1)])\n"
        "    channel.client.lpush(KEY_PREFIX + QUEUE, b'garbage', b'{\"headers\": {\"id\": 7}}', b'[' * 5000)\n"
        "    print(sorted(messages_waiting()))\n"
        "    channel.client.delete(KEY_PREFIX + QUEUE)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository_root,
        env={"INSPECTQ_BROKER_URL": redis_url, "PATH": "", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[0] == f"[(7, 2), ({2**40}, 1)]", done.stderr
