"""What does a benchmark need before it can scan? A home folder with an approved model, and commands that use it.

Every command is the one a person types, in a fresh process; how long it took is told from outside, with its start.
Databases are only read, for what commands do not print: when batches were done, which image has which score.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, insert, select

from db.engine import Engine, reading, writing
from db.models import (
    Base,
    Batch,
    Checkpoint,
    ClassMetric,
    ConfusionCell,
    DatasetSnapshot,
    Evaluation,
    EvaluationScore,
    InspectionJob,
    InspectionResult,
    OperatingPoint,
    RuntimeParity,
    TrainingRun,
)
from db.schema import open_database

ROOT = Path(__file__).resolve().parents[1]
MODEL = "benchmark"
LONGEST_SECONDS = 3600.0
# Each after those that it refers to.
OF_MODELS = (
    DatasetSnapshot,
    TrainingRun,
    Checkpoint,
    OperatingPoint,
    Evaluation,
    ClassMetric,
    ConfusionCell,
    EvaluationScore,
    RuntimeParity,
)


class Failed(Exception):
    """A command ended badly; the message is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that ended well."""

    seconds: float  # from the start of the process to its end
    output: str  # of standard output


def run_fresh(
    command: Sequence[str | Path], environment: Mapping[str, str], longest: float = LONGEST_SECONDS
) -> Finished:
    """A command in a process of its own, in the repository. Raises Failed."""
    began = time.perf_counter()
    try:
        done = subprocess.run(  # noqa: S603 - the benchmark's own commands, no shell
            command,
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=longest,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done within {longest:.0f} s") from None
    except OSError as error:
        raise Failed(f"{command[0]} cannot be started: {error.strerror}") from None
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
        raise Failed(said[-1])
    return Finished(seconds=seconds, output=done.stdout)


def environment(**more: str) -> dict[str, str]:
    """Ours without INSPECTQ_ settings, with this code first on the path, and `more`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INSPECTQ_")}
    paths = [str(ROOT), *filter(None, [plain.get("PYTHONPATH")])]
    return plain | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"} | more


def inspectq(*words: str | Path) -> list[str | Path]:
    """The command line of an inspectq command."""
    return [sys.executable, "-m", "console.cli", *words]


def scan_words(folder: Path, *, runtime: str | None = None, reuse: bool = False) -> list[str | Path]:
    """How `inspectq scan` is asked to use a runtime, and whether to take over known verdicts."""
    chosen = [] if runtime is None else ["--runtime", runtime]
    return ["scan", folder, "--wait", "--model", MODEL, *chosen, "--reuse" if reuse else "--no-reuse"]


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where inspectq keeps what it knows."""

    folder: Path
    database: str = ""  # a URL; empty: the embedded one
    broker: str = ""

    @property
    def environment(self) -> dict[str, str]:
        named = {"INSPECTQ_DATABASE_URL": self.database, "INSPECTQ_BROKER_URL": self.broker}
        return environment(INSPECTQ_HOME=str(self.folder), **{name: value for name, value in named.items() if value})

    @property
    def engine(self) -> Engine:
        return open_database(self.database or f"sqlite:///{self.folder / 'inspectq.db'}")

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def run(self, *words: str | Path) -> Finished:
        """An inspectq command to its end. Raises Failed."""
        return run_fresh(inspectq(*words), self.environment)

    def checkpoint(self) -> Path:
        """The benchmark's model."""
        shown = json.loads(self.run("models", "show", MODEL, "--format", "json").output)
        return self.models / f"{shown['digest']}.safetensors"

    def train(
        self, folder: Path, *, weights: str = "none", images: int = 24, size: int = 224, export: bool = True
    ) -> None:
        """Make and approve the benchmark's model, on a few drawn photographs."""
        shutil.rmtree(folder, ignore_errors=True)
        self.run("sample", folder, "--images", str(images), "--station")
        recipe = ["--recipe", "report", "--weights", weights, "--epochs", "1", "--image-size", str(size)]
        recipe += ["--export" if export else "--no-export"]
        self.run("train", folder, "--name", MODEL, *recipe)
        self.run("models", "approve", MODEL)


def prepared_home(folder: Path, weights: str = "none") -> Home:
    """A home in `folder` with the benchmark's model; one that is there already is taken as it is."""
    home = Home(folder=folder / "home")
    if not (folder / "home.ready").exists():
        shutil.rmtree(home.folder, ignore_errors=True)
        home.train(folder / "training", weights=weights)
        (folder / "home.ready").touch()
    return home


def copy_models(source: Engine, target: Engine) -> None:
    """What one inspectq database knows of models to another one that knows of none."""
    with reading(source) as old, writing(target) as new:
        for table in (Base.metadata.tables[kind.__tablename__] for kind in OF_MODELS):
            rows = [dict(row) for row in old.execute(select(table)).mappings()]
            if not rows:
                continue
            new.execute(insert(table), rows)
            if target.dialect.name == "postgresql":  # the next number follows the last one
                sequence = func.pg_get_serial_sequence(table.name, "id")
                new.execute(select(func.setval(sequence, max(row["id"] for row in rows))))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the database tells of a job."""

    images: int
    seconds: float  # from submitting to the last verdict, without the process's own start and end
    steady: float | None  # images per second, from the end of the first batch to that of the last
    reused: int
    engine: str  # what judged the first image, such as "onnxruntime int8"
    scores: dict[str, float]  # by path


def told(engine: Engine, job: int) -> Told:
    """Raises Failed where the job is not done."""
    with reading(engine) as session:
        row = session.get_one(InspectionJob, job)
        if row.finished_at is None or row.state.value != "done":
            raise Failed(f"job {job} is {row.state.value}: {row.state_reason}")
        batches = session.execute(
            select(Batch.finished_at, Batch.images).where(Batch.job_id == job).order_by(Batch.finished_at)
        ).all()
        results = select(InspectionResult).where(InspectionResult.job_id == job).order_by(InspectionResult.path)
        rows = session.scalars(results).all()
        began, ended = batches[0].finished_at, batches[-1].finished_at
        later = sum(batch.images for batch in batches[1:])
        return Told(
            images=len(rows),
            seconds=(row.finished_at - row.submitted_at).total_seconds(),
            steady=later / (ended - began).total_seconds() if later and ended > began else None,
            reused=sum(one.reused_from is not None for one in rows),
            engine=f"{rows[0].engine} {rows[0].precision}",
            scores={one.path: one.score for one in rows if one.score is not None},
        )
