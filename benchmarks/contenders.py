"""Who runs side by side, and how is each of them run once?

Each run is a fresh process, or a fresh cluster whose start is not counted, on the same files, the same weights and the
same cores.
"""

import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.homes import Failed, Home, copy_models, environment, run_fresh, scan_words, told
from benchmarks.services import Services
from db import checkpoints
from db.engine import connect, reading
from db.schema import open_database

LONGEST_RUN = 900.0  # seconds
PLAIN = "plain PyTorch"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One inspection of a folder."""

    images: int
    seconds: float  # the whole: interpreter, imports, loading, inspection, results on disk
    steady: float | None  # images per second once the first batch is through
    scores: dict[str, float]  # by path

    @property
    def rate(self) -> float:
        """Images per second of the whole."""
        return self.images / self.seconds


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Somebody who can inspect a folder."""

    name: str
    ours: bool
    inspect: Callable[[Path], Run]  # raises Failed


def embedded(home: Home, runtime: str) -> Contender:
    """`inspectq scan` without services."""

    def inspect(images: Path) -> Run:
        return _scanned(home, images, runtime)

    return Contender(name=f"inspectq, {runtime}", ours=True, inspect=inspect)


def cluster(home: Home, folder: Path, runtime: str, workers: int) -> Contender:
    """`inspectq scan --wait` with a scheduler, Redis, PostgreSQL and workers that were started just before."""

    def inspect(images: Path) -> Run:
        with Services(folder, home.folder, workers=workers) as services:
            _share_models(home, services.home)
            return _scanned(services.home, images, runtime)

    return Contender(name=f"inspectq cluster, {runtime}", ours=True, inspect=inspect)


def rival(python: Path, module: str, checkpoint: Path, folder: Path, *options: str, name: str) -> Contender:
    """A script in benchmarks/rivals, with the Python of its own environment."""
    out = folder / f"{module}.db"

    def inspect(images: Path) -> Run:
        words: list[str | Path] = [
            python,
            "-m",
            f"benchmarks.rivals.{module}",
            "--images",
            images,
            "--checkpoint",
            checkpoint,
        ]
        done = run_fresh([*words, "--out", out, *options], environment(), LONGEST_RUN)
        line = json.loads(done.output.splitlines()[-1])
        with sqlite3.connect(out) as database:
            scores = dict(database.execute("SELECT path, score FROM result"))
        database.close()
        if line["images"] != _files(images):
            raise Failed(f"{line['images']} of {_files(images)} images inspected")
        # Its own clock, from its start to its results on disk: it need not pay for what it takes to end.
        return Run(
            images=line["images"], seconds=line["seconds"], steady=line["steady_images_per_second"], scores=scores
        )

    return Contender(name=name, ours=False, inspect=inspect)


def rivals(python: Path, checkpoint: Path, folder: Path, workers: list[int], cores: int) -> list[Contender]:
    """The plain script with and without channels_last, by each number of loading processes; timm; Ray Data."""
    found = []
    for number in workers:
        for last in (False, True):
            options = ["--workers", str(number), *(["--channels-last"] if last else [])]
            suffix = ", channels_last" if last else ""
            suffix += f", {number} workers" if len(workers) > 1 else ""
            found.append(rival(python, "plain_script", checkpoint, folder, *options, name=PLAIN + suffix))
    options = ["--workers", str(cores), "--channels-last"]
    found.append(rival(python, "timm_folder", checkpoint, folder, *options, name="timm"))
    found.append(rival(python, "ray_batch", checkpoint, folder, *options, name="Ray Data"))
    return found


def rival_versions(python: Path) -> dict[str, str]:
    """What the rivals' environment holds. Raises Failed where it is not there."""
    ask = "import json; from benchmarks.machine import versions; print(json.dumps(versions(('timm', 'ray'))))"
    found: dict[str, str] = json.loads(run_fresh([python, "-c", ask], environment()).output)
    return found


def model_only(home: Home, runtime: str, cores: int) -> float:
    """Images per second of a runtime that is handed the same pixels again and again, by as many threads as cores."""
    checkpoint = home.checkpoint()
    words: list[str | Path] = ["-m", "benchmarks.model_only", checkpoint, "--runtime", runtime, "--threads", str(cores)]
    return float(run_fresh([sys.executable, *words], environment()).output)


def _scanned(home: Home, images: Path, runtime: str) -> Run:
    done = home.run(*scan_words(images, runtime=runtime))
    found = told(home.engine, int(done.output.split()[0]))
    if found.images != _files(images):
        raise Failed(f"{found.images} of {_files(images)} images inspected")
    return Run(images=found.images, seconds=done.seconds, steady=found.steady, scores=found.scores)


def _share_models(source: Home, target: Home) -> None:
    with reading(connect(target.database)) as session:
        empty = not checkpoints.every(session)
    if empty:
        copy_models(source.engine, open_database(target.database))


def _files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())
