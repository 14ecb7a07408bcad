"""Does a real worker let go of its batch at once, when its child is killed and when it is told to stop?"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import pytest
from PIL import Image
from sqlalchemy import select

from console.processes import Launch, LocalProcess
from console.servers import RedisServer
from db import jobs
from db.engine import Engine, connect, reading
from db.models import OPEN_JOBS, Batch, BatchState, InspectionResult, JobState
from db.schema import upgrade
from db.settings import Settings
from scheduler.submission import Submission, submit
from tests.networks import add_random_model
from worker.lifecycle import STOP

IMAGES = 24
EDGE = 1000  # pixels: large enough that a batch of all takes a second, and can be met while it runs
DEADLINE_SECONDS = 120

T = TypeVar("T")


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    made = connect(postgres_url)
    upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "00.png", compress_level=1)
    for number in range(1, IMAGES):
        os.link(root / "00.png", root / f"{number:02}.png")
    return root


@pytest.fixture
def services(
    engine: Engine, postgres_url: str, redis_server: RedisServer, tmp_path: Path
) -> Iterator[dict[str, LocalProcess]]:
    """A scheduler and one worker, as a person starts them."""
    environment = os.environ | {
        "INSPECTQ_DATABASE_URL": postgres_url,
        "INSPECTQ_BROKER_URL": redis_server.url,
        "INSPECTQ_HOME": str(tmp_path),
        "INSPECTQ_DEVICE": "cpu",
        "INSPECTQ_LEASE_SECONDS": "600",  # nothing here may have to wait for it
    }
    started = {}
    for role in ("scheduler", "worker"):
        command = [sys.executable, "-m", "console.cli", role]
        launch = Launch(name=role, command=command, log=tmp_path / f"{role}.log", environment=environment)
        started[role] = LocalProcess(launch)
        started[role].start()
    yield started
    for process in started.values():
        process.stop()


def eventually(look: Callable[[], T], what: str, services: dict[str, LocalProcess]) -> T:
    """What `look` returns once it is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (seen := look()):
        logs = "\n".join(process.log_tail() for process in services.values())
        assert time.monotonic() < deadline, f"{what} did not happen:\n{logs}"
        time.sleep(0.05)
    return seen


def ignores(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) >> (number - 1) & 1)


def loaded_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def test_a_worker_whose_child_is_killed_or_that_is_told_to_stop_lets_go_at_once(
    engine: Engine, folder: Path, services: dict[str, LocalProcess], tmp_path: Path
) -> None:
    """One story, because each start of these services takes seconds."""
    add_random_model(engine, tmp_path / "models")
    worker = psutil.Process(services["worker"].pid)

    def running() -> bool:
        with reading(engine) as session:
            return BatchState.RUNNING in session.scalars(select(Batch.state)).all()

    def child_at_work() -> psutil.Process | None:
        return next((child for child in worker.children() if loaded_torch(child.pid)), None) if running() else None

    def ended() -> bool:
        with reading(engine) as session:
            return jobs.get(session, job).state not in OPEN_JOBS

    job = submit(engine, Submission(folder=folder, model="tiny"), Settings(batch_images=12))
    child = eventually(child_at_work, "a child with a loaded model and a claimed batch", services)
    assert not loaded_torch(worker.pid), "the parent must never load torch"
    assert ignores(worker.pid, STOP), "a child that is still starting inherits this, and survives being told to stop"
    assert not ignores(child.pid, STOP)
    os.kill(child.pid, signal.SIGKILL)
    eventually(ended, "the end of the job", services)
    with reading(engine) as session:
        row, ledger = jobs.get(session, job), jobs.ledger(session, job)
        batches = session.scalars(select(Batch).order_by(Batch.faults)).all()
        paths = session.scalars(select(InspectionResult.path)).all()
    assert row.state is JobState.DONE, row.state_reason
    assert (ledger.submitted, ledger.passed + ledger.failed, ledger.closed) == (IMAGES, IMAGES, True)
    assert len(set(paths)) == len(paths) == IMAGES
    assert [(batch.attempt, batch.faults) for batch in batches] == [(1, 0), (2, 1)]
    assert "died" in (batches[1].note or "")
    assert worker.is_running()
    assert child.pid not in {other.pid for other in worker.children()}
    assert not loaded_torch(worker.pid)

    job = submit(engine, Submission(folder=folder, model="tiny"), Settings(batch_images=IMAGES))
    eventually(running, "a claimed batch", services)
    services["scheduler"].kill()  # so that what is given back stays where it is
    services["worker"].ask_to_stop()
    assert services["worker"].wait(DEADLINE_SECONDS) == 0
    with reading(engine) as session:
        given_back = session.scalars(select(Batch).where(Batch.job_id == job)).one()
        verdicts = session.scalars(select(InspectionResult.path).where(InspectionResult.job_id == job)).all()
    assert (given_back.state, given_back.attempt, given_back.faults) == (BatchState.PLANNED, 1, 0)
    assert (len(given_back.paths), verdicts) == (IMAGES, [])
