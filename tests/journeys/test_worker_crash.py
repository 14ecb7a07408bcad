"""Is the pool in which batches run safe with a real model: loaded only in the child, and a crash costs one child?"""

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
from db.models import Batch, BatchState, InspectionResult, JobState
from db.schema import upgrade
from scheduler.submission import submit
from tests.networks import add_random_model

IMAGES = 24
EDGE = 1600  # pixels: large enough that a batch takes seconds, and can be met while it runs
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
        "INSPECTQ_LEASE_SECONDS": "6",
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


def loaded_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def test_a_killed_child_costs_neither_the_worker_nor_an_image(
    engine: Engine, folder: Path, services: dict[str, LocalProcess], tmp_path: Path
) -> None:
    add_random_model(engine, tmp_path / "models")
    job = submit(engine, folder, model="tiny", priority=0, batch_images=12)
    worker = psutil.Process(services["worker"].pid)

    def child_at_work() -> psutil.Process | None:
        with reading(engine) as session:
            if BatchState.RUNNING not in session.scalars(select(Batch.state)).all():
                return None
        return next((child for child in worker.children() if loaded_torch(child.pid)), None)

    child = eventually(child_at_work, "a child with a loaded model and a claimed batch", services)
    assert not loaded_torch(worker.pid), "the parent must never load torch"
    os.kill(child.pid, signal.SIGKILL)

    def ended() -> bool:
        with reading(engine) as session:
            return jobs.get(session, job).state not in (JobState.PENDING, JobState.PLANNING, JobState.RUNNING)

    eventually(ended, "the end of the job", services)
    with reading(engine) as session:
        row, ledger = jobs.get(session, job), jobs.ledger(session, job)
        attempts = session.scalars(select(Batch.attempt)).all()
        paths = session.scalars(select(InspectionResult.path)).all()
    assert row.state is JobState.DONE, row.state_reason
    assert (ledger.submitted, ledger.passed + ledger.failed, ledger.closed) == (IMAGES, IMAGES, True)
    assert len(set(paths)) == len(paths) == IMAGES
    assert max(attempts) == 2
    assert worker.is_running()
    assert child.pid not in {other.pid for other in worker.children()}


def test_sigterm_lets_the_batch_in_hand_end(
    engine: Engine, folder: Path, services: dict[str, LocalProcess], tmp_path: Path
) -> None:
    add_random_model(engine, tmp_path / "models")
    submit(engine, folder, model="tiny", priority=0, batch_images=12)

    def running() -> bool:
        with reading(engine) as session:
            return BatchState.RUNNING in session.scalars(select(Batch.state)).all()

    eventually(running, "a claimed batch", services)
    services["worker"].ask_to_stop()
    assert services["worker"].wait(DEADLINE_SECONDS) == 0
    with reading(engine) as session:
        states = session.scalars(select(Batch.state)).all()
        attempts = session.scalars(select(Batch.attempt)).all()
    assert BatchState.DONE in states
    assert BatchState.RUNNING not in states
    assert set(attempts) == {1}
