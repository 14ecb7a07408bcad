"""Does `inspectq web` say where it is, and does nothing that it began outlive it?"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from console.servers import free_port
from db.engine import Engine
from tests.console.conftest import Rows, Verdict, draw


@pytest.fixture
def server(tmp_path: Path, sqlite_with_tables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints."""
    environment = {
        "INSPECTQ_HOME": str(tmp_path),
        "INSPECTQ_DATABASE_URL": sqlite_with_tables,
        "INSPECTQ_WEB_PORT": str(free_port(8080)),
        "PATH": "",
    }
    command = [sys.executable, "-m", "console.cli", "web"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        found = re.search(r"http://\S+(?=/)", started.stderr.readline())
        assert found is not None
        yield started, found[0]
        started.kill()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_the_process_that_explains_ends_with_it(
    server: tuple[subprocess.Popen[str], str], engine: Engine, tmp_path: Path, number: int, status: int
) -> None:
    started, url = server
    rows = Rows(engine=engine)
    rows.add_model()
    digest = draw(tmp_path / "images", "a.png")
    rows.add_job(tmp_path / "images", [Verdict(path="a.png", score=0.5, sha256=digest)])
    client = httpx.Client(transport=httpx.HTTPTransport(retries=50))  # it listens a moment after it has said where
    answer = client.get(f"{url}/images/1/heat.png", timeout=120)
    assert "models" in answer.json()["detail"], "the made-up model has no file"
    began = psutil.Process(started.pid).children(recursive=True)
    assert began
    started.send_signal(number)
    assert started.wait(30) == status
    _, left = psutil.wait_procs(began, timeout=30)
    assert left == []
