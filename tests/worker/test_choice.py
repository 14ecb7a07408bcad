"""Does a worker compute with the fastest runtime that was accepted, and never with another?"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from db import batches, jobs, results, runtimes
from db.checkpoints import find
from db.engine import Engine, reading, writing
from db.evaluations import add_evaluation
from db.models import InspectionJob, JobState
from db.runtimes import NewParity
from db.settings import Settings
from tests.exports import ExportedModel
from tests.rows import add_dataset, add_job, add_model, new_evaluation
from tests.tampering import tampering
from vision.runtimes import RUNTIMES
from worker.choice import AUTO
from worker.inspection import Inspector, from_settings


@pytest.fixture
def models_folder(tmp_path: Path, exported_model: ExportedModel) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(exported_model.folder, folder, ignore=shutil.ignore_patterns("parts"))
    return folder


@pytest.fixture
def digest(engine: Engine, exported_model: ExportedModel, models_folder: Path) -> str:
    with writing(engine) as session:
        add_model(session, digest=exported_model.digest)
    return exported_model.digest


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path, digest: str) -> Settings:
    return Settings(home=tmp_path, database_url=sqlite_url, device="cpu")


def compared(engine: Engine, model: ExportedModel, **accepted: bool) -> None:
    """Store a comparison for each runtime that is named (with _ for -)."""
    files = {exported.name: exported.digest for exported in model.files}
    with writing(engine) as session:
        checkpoint = find(session, model.digest)
        evaluation = add_evaluation(
            session, new_evaluation(3, 1, 1, 3), checkpoint_id=checkpoint.id, dataset=add_dataset(session)
        )
        for spelled, is_accepted in accepted.items():
            name = spelled.replace("_", "-")
            new = NewParity(
                name=name,
                file_digest=files.get(name),
                evaluation_id=evaluation.id,
                reference_evaluation_id=evaluation.id,
                images=8,
                largest_difference=0.0,
                mean_difference=0.0,
                flipped=0,
                accepted=is_accepted,
                reason="it flips too much",
            )
            runtimes.add(session, new, checkpoint_id=checkpoint.id)


def inspected(engine: Engine, inspector: Inspector, folder: Path, wanted: str = "auto") -> tuple[int, str]:
    """(job, what the worker said) of a job of two images that asks for this runtime."""
    job = add_job(engine, [["0.png", "1.png"]], root=str(folder))
    with tampering(engine) as session:
        session.get_one(InspectionJob, job).runtime = wanted
        (message,) = batches.dispatch(session, window=1)
    return job, inspector.inspect(message.batch, message.attempt)


def used(engine: Engine, job: int) -> set[tuple[str, str]]:
    with reading(engine) as session:
        return {(row["engine"], row["precision"]) for row in results.of_job(session, job)}


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ({}, ("torch", "fp32")),
        ({"onnx": True}, ("onnxruntime", "fp32")),
        ({"onnx": True, "onnx_int8": False}, ("onnxruntime", "fp32")),
        ({"onnx": True, "onnx_int8": True}, ("onnxruntime", "int8")),
        ({"onnx": False}, ("torch", "fp32")),
    ],
)
def test_auto_takes_the_fastest_accepted_one(
    engine: Engine,
    settings: Settings,
    folder: Path,
    exported_model: ExportedModel,
    accepted: dict[str, bool],
    expected: tuple[str, str],
) -> None:
    compared(engine, exported_model, **accepted)
    job, _ = inspected(engine, from_settings("w@here", settings), folder)
    assert used(engine, job) == {expected}


def test_a_file_that_this_worker_lacks_is_no_reason_to_do_nothing(
    engine: Engine, settings: Settings, folder: Path, models_folder: Path, exported_model: ExportedModel
) -> None:
    compared(engine, exported_model, onnx=True, onnx_int8=True)
    (models_folder / f"{exported_model.digest}.int8.onnx").unlink()
    job, _ = inspected(engine, from_settings("w@here", settings), folder)
    assert used(engine, job) == {("onnxruntime", "fp32")}


def test_an_altered_file_stops_the_job(
    engine: Engine, settings: Settings, folder: Path, models_folder: Path, exported_model: ExportedModel
) -> None:
    compared(engine, exported_model, onnx=True)
    file = models_folder / f"{exported_model.digest}.onnx"
    file.write_bytes(file.read_bytes() + b" ")
    job, said = inspected(engine, from_settings("w@here", settings), folder)
    assert "altered or replaced" in said
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.FAILED


@pytest.mark.parametrize(
    ("accepted", "sentence"),
    [({}, "never compared"), ({"onnx_int8": False}, "is refused: it flips too much")],
)
def test_who_asks_for_one_that_is_not_accepted_is_told_why(
    engine: Engine,
    settings: Settings,
    folder: Path,
    exported_model: ExportedModel,
    accepted: dict[str, bool],
    sentence: str,
) -> None:
    compared(engine, exported_model, **accepted)
    job, said = inspected(engine, from_settings("w@here", settings), folder, "onnx-int8")
    assert sentence in said
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.FAILED


def test_the_jobs_wish_comes_before_the_workers(
    engine: Engine, settings: Settings, folder: Path, exported_model: ExportedModel
) -> None:
    compared(engine, exported_model, onnx=True, onnx_int8=True)
    inspector = from_settings("w@here", settings.model_copy(update={"runtime": "onnx"}))
    of_worker, _ = inspected(engine, inspector, folder)
    of_job, _ = inspected(engine, inspector, folder, "torch")
    assert used(engine, of_worker) == {("onnxruntime", "fp32")}
    assert used(engine, of_job) == {("torch", "fp32")}


def test_a_shift_does_not_go_on_with_a_job_that_asks_for_another_runtime(
    engine: Engine, settings: Settings, folder: Path, exported_model: ExportedModel
) -> None:
    compared(engine, exported_model, onnx=True)
    other = add_job(engine, [["2.png"]], root=str(folder))
    with tampering(engine) as session:
        session.get_one(InspectionJob, other).priority = -1
        session.get_one(InspectionJob, other).runtime = "torch"
    inspected(engine, from_settings("w@here", settings), folder)
    assert used(engine, other) == set()


def test_a_worker_with_onnx_runtime_never_loads_torch(
    engine: Engine, settings: Settings, folder: Path, exported_model: ExportedModel
) -> None:
    compared(engine, exported_model, onnx=True)
    job = add_job(engine, [["0.png"]], root=str(folder))
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    program = (
        "import sys\n"
        "from worker.inspection import from_settings\n"
        f"print(from_settings('w@here').inspect({message.batch}, {message.attempt}))\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {
        "INSPECTQ_HOME": str(settings.home),
        "INSPECTQ_DATABASE_URL": settings.database_url,
        "INSPECTQ_DEVICE": "cpu",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert used(engine, job) == {("onnxruntime", "fp32")}


def test_the_setting_and_the_runtimes_have_the_same_names() -> None:
    assert get_args(Settings.model_fields["runtime"].annotation) == (AUTO, *RUNTIMES)
