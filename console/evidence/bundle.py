"""What does somebody need who checks one lot's verdicts without inspectq? One zip file, and what is in it."""

import csv
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from console.evidence import check
from console.evidence.archive import Archive
from console.evidence.checksums import checksum_line
from console.evidence.facts import evaluation_facts, event_facts, model_facts, submission_facts
from console.evidence.instructions import instructions
from console.files import whole
from console.report.job import job_page
from console.results import defused, write_csv, write_json
from console.thresholds import fields, outcomes
from db import evaluations, jobs, lineage, results
from db.engine import Engine, Session, reading
from db.errors import Refused
from db.jobs import Ledger
from db.models import OPEN_JOBS, Evaluation, InspectionJob
from db.paths import to_bytes
from db.results import RuntimeCount
from scheduler.submission import person

_LIBRARIES = ("torch", "torchvision", "pillow", "numpy", "onnxruntime", "sqlalchemy")
_REFERENCE = ("torch", "fp32")
OnFile = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Lot:
    """What the database says about a job as a whole."""

    job: InspectionJob
    ledger: Ledger
    runtimes: list[RuntimeCount]
    evaluations: list[Evaluation]  # that apply, those of the runtime that judged most images first


def write_bundle(engine: Engine, job_id: int, out: Path, *, made_at: datetime, on_file: OnFile = lambda _: None) -> Lot:
    """Write the evidence for a job to `out`. The same records and images give the same bytes at the same `made_at`.

    `on_file` is called with the name of each file as it is begun. Raises NotFound, and Refused where the job goes on,
    is judged anew meanwhile, or `out` cannot be written.
    """
    with reading(engine) as session, whole(out) as part:
        lot = _lot(session, job_id)
        with Archive(part) as archive:
            _write(session, archive, lot, made_at, on_file)
            on_file("report.html")
            with archive.text("report.html") as stream:
                stream.write(job_page(engine, job_id, made_at=made_at))
        with reading(engine) as later:  # which the report, with its own look at the database, may have seen already
            if jobs.get(later, job_id).revision != lot.job.revision:
                raise Refused(f"Job {job_id} was retried or judged anew meanwhile. Write the bundle again.")
    return lot


def _lot(session: Session, job_id: int) -> Lot:
    job = jobs.get(session, job_id)
    if job.state in OPEN_JOBS:
        raise Refused(
            f"Job {job_id} is {job.state.value}: there is evidence for it when it has ended. "
            f"Follow it: inspectq jobs show {job_id}"
        )
    runtimes = results.runtimes(session, job_id)
    engine, precision = (runtimes[0].engine, runtimes[0].precision) if runtimes else _REFERENCE
    applying = evaluations.applying(session, job.checkpoint, engine=engine, precision=precision)
    return Lot(job=job, ledger=jobs.ledger(session, job_id), runtimes=runtimes, evaluations=list(applying))


def _write(session: Session, archive: Archive, lot: Lot, made_at: datetime, on_file: OnFile) -> None:
    job = lot.job
    documents: dict[str, Any] = {
        "evaluation.json": [evaluation_facts(row) for row in lot.evaluations],
        "job.json": {**submission_facts(job), "ledger": lot.ledger.to_dict(), "ledger_closed": lot.ledger.closed},
        "model.json": model_facts(job.checkpoint),
        "operating-point.json": fields(job.operating_point, outcomes(session, job.operating_point)),
        "versions.json": _versions(lot, made_at),
    }
    with archive.text("README.txt") as stream:
        stream.write(instructions(job, lot.ledger, evaluated=bool(lot.evaluations)))
    with archive.text("check.py") as stream:
        stream.write(Path(check.__file__).read_text(encoding="utf-8"))
    for name, value in documents.items():
        on_file(name)
        archive.json(name, value)
    _write_matrix(archive, lot)
    on_file("audit-events.jsonl")
    _write_events(session, archive, job)
    on_file("verdicts.csv")
    with archive.text("verdicts.csv") as stream:
        write_csv(results.of_job(session, job.id), stream)
    on_file("verdicts.json")
    with archive.text("verdicts.json") as stream:
        write_json(results.of_job(session, job.id), stream)
    on_file("images.sha256")
    with archive.binary("images.sha256") as manifest:
        for row in results.of_job(session, job.id):
            if row["sha256"] is not None:
                manifest.write(checksum_line(row["sha256"], to_bytes(row["path"])))


def _write_matrix(archive: Archive, lot: Lot) -> None:
    with archive.text("confusion-matrix.csv") as stream:
        writer = csv.writer(stream)
        writer.writerow(("evaluation", "engine", "precision", "split", "actual", "predicted", "images"))
        for row in lot.evaluations:
            for cell in row.cells:
                words = (row.split, cell.actual, cell.predicted)
                writer.writerow((f"e{row.id}", row.engine, row.precision, *map(defused, words), cell.images))


def _write_events(session: Session, archive: Archive, job: InspectionJob) -> None:
    with archive.text("audit-events.jsonl") as stream:
        for event, previous in lineage.events(session, lineage.subjects(job, job.checkpoint)):
            json.dump({**event_facts(event), "previous": previous}, stream)
            stream.write("\n")
    archive.json("audit-chain.json", {"newest_digest": lineage.newest_digest(session)})


def _versions(lot: Lot, made_at: datetime) -> dict[str, Any]:
    run = lot.job.checkpoint.training_run
    return {
        "training": {"inspectq": run.code_version, "libraries": run.library_versions},
        "evaluations": {f"e{row.id}": {"inspectq": row.code_version} for row in lot.evaluations},
        "inspection": {
            "inspectq": None,  # no verdict stores it
            "runtimes": [vars(runtime) for runtime in lot.runtimes],
        },
        "bundle": {
            "inspectq": version("inspectq"),
            "python": platform.python_version(),
            "libraries": {name: version(name) for name in _LIBRARIES},
            "made_at": made_at.isoformat(),
            "made_by": person(),
        },
    }
