"""Does a compose file run as local processes: in order, mapped to this machine, and stopped as a whole?

The services here are small scripts; tests/journeys/test_cluster.py runs the real ones.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from console.cluster import LocalCluster
from console.compose import ComposeError
from console.processes import ProcessFailed
from console.servers import redis_programs

# Writes its environment to the shared volume, then waits to be stopped.
STAYS = """
import json, os, pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
folder = pathlib.Path(os.environ["INSPECTQ_HOME"])
pathlib.Path(f"{folder}/{sys.argv[1]}-{os.getpid()}.json").write_text(json.dumps(dict(os.environ)))
signal.sigwait([signal.SIGTERM])
"""
LOOKS = "import os, pathlib, sys; sys.exit(not [*pathlib.Path(os.environ['INSPECTQ_HOME']).glob(sys.argv[1])])"


def settled(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "image": "inspectq",
        "command": ["python", "-c", STAYS, name],
        "environment": {
            "INSPECTQ_HOME": "/data",
            "INSPECTQ_BROKER_URL": "redis://:${REDIS_PASSWORD:?}@redis:6379/0",
            "INSPECTQ_DATABASE_URL": "sqlite:////data/inspectq.db",
        },
        "volumes": ["data:/data"],
        "healthcheck": {"test": ["CMD", "python", "-c", LOOKS, f"{name}-*"]},
        "restart": "unless-stopped",
        **changes,
    }


def compose(folder: Path, **services: Any) -> Path:
    """A compose file with redis, a migration, a scheduler, a worker, and what is given."""
    after = {"migrate": {"condition": "service_completed_successfully"}, "redis": {"condition": "service_healthy"}}
    migration = "import os, pathlib; pathlib.Path(os.environ['INSPECTQ_HOME'], 'tables').touch()"
    entries = {
        "scheduler": settled("scheduler", depends_on=after),
        "worker": settled("worker", depends_on={"scheduler": {"condition": "service_healthy"}}),
        "worker-gpu": settled("worker-gpu", profiles=["gpu"]),
        "redis": {"image": "redis:8"},
        "migrate": settled("migrate", command=["python", "-c", migration], restart="no", healthcheck={}),
        **services,
    }
    path = folder / "docker-compose.yml"
    path.write_text(yaml.safe_dump({"services": entries, "volumes": {"data": {}}}))
    return path


def notes(folder: Path, name: str) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "data").glob(f"{name}-*.json"))]


@pytest.fixture(autouse=True)
def _needs_redis() -> None:
    if not redis_programs():
        pytest.skip("neither redis-server nor valkey-server is installed")


def test_services_run_in_order_and_are_healthy_when_the_cluster_is(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "cluster"
    with LocalCluster(folder, workers=2, compose_file=compose(tmp_path), say=said.append) as cluster:
        assert set(cluster.processes) == {"migrate", "scheduler", "worker-1", "worker-2"}
        order = [line.removeprefix("starting ") for line in said]
        assert order.index("migrate") < order.index("scheduler") < order.index("worker")
        assert (folder / "data" / "tables").exists()
        assert len(notes(folder, "worker")) >= 1, "the health check saw one"
        assert notes(folder, "worker-gpu") == [], "a profile that nobody asked for"


def test_a_service_sees_local_servers_and_folders_instead_of_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECTQ_DEVICE", "cuda:9")  # of a terminal in which the last cluster was used
    folder = tmp_path / "cluster"
    with LocalCluster(folder, compose_file=compose(tmp_path)) as cluster:
        (seen,) = notes(folder, "scheduler")
        assert seen["INSPECTQ_HOME"] == str(folder / "data")
        assert redis.Redis.from_url(seen["INSPECTQ_BROKER_URL"]).ping()
        assert "127.0.0.1" in seen["INSPECTQ_BROKER_URL"]
        assert "INSPECTQ_DEVICE" not in seen
        assert cluster.environment.items() <= seen.items(), "a client uses what the services use"


def test_everything_is_stopped_at_the_end(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "cluster", workers=2, compose_file=compose(tmp_path)) as cluster:
        processes = list(cluster.processes.values())
        server = cluster.servers["redis"].process
    assert server is not None
    assert [process.returncode for process in [server, *processes]] == [0] * 5


def test_a_second_run_keeps_passwords_and_ports(tmp_path: Path) -> None:
    path = compose(tmp_path)
    with LocalCluster(tmp_path / "cluster", compose_file=path) as cluster:
        first = cluster.environment
    with LocalCluster(tmp_path / "cluster", compose_file=path) as cluster:
        assert cluster.environment == first
    assert (tmp_path / "cluster" / ".env").stat().st_mode & 0o777 == 0o600


def test_a_password_that_would_break_a_url_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "a/b@c")
    with pytest.raises(ComposeError, match="REDIS_PASSWORD stands inside URLs"):
        LocalCluster(tmp_path / "cluster", compose_file=compose(tmp_path))


def test_a_given_server_is_used_instead_of_a_new_one(tmp_path: Path, redis_url: str) -> None:
    folder = tmp_path / "cluster"
    with LocalCluster(folder, compose_file=compose(tmp_path), broker_url=redis_url) as cluster:
        assert cluster.servers == {}
        assert notes(folder, "scheduler")[0]["INSPECTQ_BROKER_URL"] == redis_url


def test_a_migration_that_fails_is_reported_and_nothing_is_left_running(tmp_path: Path) -> None:
    broken = settled("migrate", command=["python", "-c", "raise SystemExit('disk full')"], restart="no")
    cluster = LocalCluster(tmp_path / "cluster", compose_file=compose(tmp_path, migrate=broken))
    with pytest.raises(ProcessFailed, match=r"(?s)migrate ended with status 1.*disk full"):
        cluster.start()
    assert "scheduler" not in cluster.processes
    server = cluster.servers["redis"].process
    assert server is not None
    assert not server.running


def test_a_service_that_dies_is_named_with_its_status_and_log(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "cluster", compose_file=compose(tmp_path)) as cluster:
        cluster.processes["worker-1"].kill()
        with pytest.raises(ProcessFailed, match="worker-1 ended with status -9"):
            cluster.watch()


def test_a_server_that_dies_is_named_too(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "cluster", compose_file=compose(tmp_path)) as cluster:
        cluster.servers["redis"].kill()
        with pytest.raises(ProcessFailed, match="redis ended with status -9"):
            cluster.watch()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_whole_cluster_in_good_order(tmp_path: Path, ending: signal.Signals) -> None:
    script = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "from console.cluster import LocalCluster, run_cluster\n"
        "cluster = LocalCluster(pathlib.Path(sys.argv[1]), compose_file=pathlib.Path(sys.argv[2]))\n"
        "run_cluster(cluster, lambda text: print(cluster.processes['worker-1'].pid, text, flush=True))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cluster"), str(compose(tmp_path))]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    worker = os.pidfd_open(int(runner.stdout.readline().split()[0]))
    runner.send_signal(ending)
    shown, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0
    assert shown.rstrip().endswith("Stopped.")
    assert select.select([worker], [], [], 0)[0], "the worker outlived the cluster"
    os.close(worker)


def test_the_description_says_how_to_use_the_cluster(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "cluster", compose_file=compose(tmp_path)) as cluster:
        text = cluster.describe()
    assert f"export INSPECTQ_BROKER_URL={cluster.environment['INSPECTQ_BROKER_URL']}" in text
    assert "inspectq scan FOLDER --wait" in text
    assert str(tmp_path / "cluster" / "logs") in text
