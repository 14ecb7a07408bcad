"""Does an embedded scan stop cleanly, and go on where it stopped?"""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from console.exits import ExitCode
from db.engine import Engine, reading
from db.models import Batch, BatchState, InspectionResult
from db.schema import open_database
from tests.console.shell import Said, type_here
from tests.networks import add_random_model
from vision.pipeline import score_groups

IMAGES = 24
DEADLINE_SECONDS = 120


@pytest.fixture
def engine(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DEVICE", "cpu")
    made = open_database(sqlite_url)
    add_random_model(made, tmp_path / "models")
    yield made
    made.dispose()


def pictures(folder: Path, edge: int) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "00.png", compress_level=1)
    for number in range(1, IMAGES):
        os.link(folder / "00.png", folder / f"{number:02}.png")
    return folder


def test_sigterm_gives_the_batch_in_hand_back_at_once(engine: Engine, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 1600)
    scan = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "scan", str(folder)], stderr=subprocess.PIPE, text=True
    )
    descriptors = Path(f"/proc/{scan.pid}/fd")

    def at_work() -> bool:
        """A batch's folder is held open as long as its images are read."""
        return any(entry.readlink() == folder for entry in descriptors.iterdir() if entry.is_symlink())

    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (claimed(engine) and at_work()):
        assert scan.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    scan.send_signal(signal.SIGTERM)
    _, said = scan.communicate(timeout=DEADLINE_SECONDS)
    assert scan.returncode == ExitCode.INTERRUPTED
    assert "nothing is lost" in said
    assert "inspectq jobs retry 1" in said
    with reading(engine) as session:
        batch = session.scalars(select(Batch)).one()
    # A round of the scheduler between giving back and the end may have sent it again, as any planned batch: the next
    # process finds that nobody holds it.
    assert batch.state in (BatchState.PLANNED, BatchState.DISPATCHED), "given back"
    assert (batch.attempt, batch.faults) == (1, 0), "for the next attempt, as nobody's fault"


def claimed(engine: Engine) -> bool:
    with reading(engine) as session:
        return BatchState.RUNNING in session.scalars(select(Batch.state)).all()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def no_room(database: Path) -> Iterator[None]:
    """No file can grow beyond what the database's files have by now, as on a full disk."""
    largest = max(file.stat().st_size for file in database.parent.glob(f"{database.name}*"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_database_that_cannot_be_written_stops_the_job_and_it_goes_on_after(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, database = pictures(tmp_path / "images", 20), tmp_path / "inspectq.db"
    monkeypatch.setenv("INSPECTQ_LEASE_SECONDS", "1")
    monkeypatch.setenv("INSPECTQ_BATCH_IMAGES", "8")

    def stopped(trouble: Callable[[Path], AbstractContextManager[None]], *words: object) -> Said:
        """What the command says to trouble that begins in the midst of a batch and lasts."""
        with ExitStack() as lasting, monkeypatch.context() as patch:

            def in_trouble(*arguments: Any, **options: Any) -> Any:
                lasting.enter_context(trouble(database))
                return score_groups(*arguments, **options)

            patch.setattr("worker.shift.score_groups", in_trouble)
            # Given up soon; what goes on afterwards has the patience that it ships with.
            patch.setattr("db.engine.SQLITE_BUSY_MILLISECONDS", 1000)
            patch.setattr("worker.inspection.DATABASE_PATIENCE_SECONDS", 0.5)
            return type_here(capsys, *words)

    said = stopped(locked, "scan", folder)
    assert_one_sentence(said, "is locked")
    assert said.out == "1\n"
    assert_one_sentence(stopped(no_room, "jobs", "retry", 1), "disk I/O error")
    with monkeypatch.context() as patch:
        patch.setenv("INSPECTQ_DATABASE_URL", f"sqlite:///file:{database}?mode=ro&uri=true")
        assert_one_sentence(type_here(capsys, "jobs", "retry", 1), "is read-only")

    assert type_here(capsys, "jobs", "retry", 1).code == ExitCode.DONE
    with reading(engine) as session:
        paths = session.scalars(select(InspectionResult.path)).all()
    assert sorted(paths) == [f"{number:02}.png" for number in range(IMAGES)]
    assert type_here(capsys, "audit", "verify").code == ExitCode.DONE


def assert_one_sentence(said: Said, words: str) -> None:
    assert said.code == ExitCode.SERVICE_AWAY
    *_, last = said.err.strip().splitlines()
    assert last.startswith("inspectq: The database")
    assert words in last
    assert "Traceback" not in said.err
