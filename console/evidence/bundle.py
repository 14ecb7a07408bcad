"""What does somebody need who checks one lot's verdicts without inspectq? One zip file, and what is in it."""

import csv
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from console.evidence import check
from console.evidence.archive import Archive
from console.evidence.checksums import checksum_line
from console.evidence.facts import evaluation_facts, event_facts, model_facts, submission_facts
from console.evidence.instructions import instructions
from console.evidence.lot import Lot, lot_of
from console.files import whole
from console.report.job import job_page
from console.results import defused, write_csv, write_json
from console.thresholds import fields
from db import audit, jobs, lineage, results, reviews, seals
from db.engine import Engine, Session, reading
from db.errors import Refused
from db.models import Evaluation
from db.paths import to_bytes
from scheduler.submission import person

_LIBRARIES = ("torch", "torchvision", "pillow", "numpy", "onnxruntime", "sqlalchemy")
OnFile = Callable[[str], None]


def write_bundle(engine: Engine, job_id: int, out: Path, *, made_at: datetime, on_file: OnFile = lambda _: None) -> Lot:
    """Write the evidence for a job to `out`. The same records and images give the same bytes at the same `made_at`.

    `on_file` is called with the name of each file as it is begun. Raises NotFound, and Refused where the job goes on,
    is judged anew meanwhile, or `out` cannot be written.
    """
    with reading(engine) as session, whole(out) as part:
        lot = lot_of(session, job_id)
        with Archive(part) as archive:
            _write(session, archive, lot, made_at, on_file)
            on_file("report.html")
            with archive.text("report.html") as stream:
                stream.write(job_page(engine, job_id, made_at=made_at))
        with reading(engine) as later:  # which the report, with its own look at the database, may have seen already
            if jobs.get(later, job_id).revision != lot.job.revision:
                raise Refused(f"Job {job_id} was retried or judged anew meanwhile. Write the bundle again.")
    return lot


def _write(session: Session, archive: Archive, lot: Lot, made_at: datetime, on_file: OnFile) -> None:
    job = lot.job
    documents: dict[str, Any] = {
        "evaluation.json": [
            {**evaluation_facts(row), "made_after_the_verdicts": row in lot.later_evaluations} for row in _judged(lot)
        ],
        "job.json": {
            **submission_facts(job),
            "ledger": lot.ledger.to_dict(),
            "ledger_closed": lot.ledger.closed,
            "open_images": lot.open_images,
        },
        "model.json": model_facts(job.checkpoint),
        "operating-point.json": fields(job.operating_point, lot.gives),
    }
    with archive.text("README.txt") as stream:
        stream.write(instructions(lot))
    with archive.text("check.py") as stream:
        stream.write(Path(check.__file__).read_text(encoding="utf-8"))
    for name, value in documents.items():
        on_file(name)
        archive.json(name, value)
    _write_matrix(archive, lot)
    on_file("audit-events.jsonl")
    archive.json("versions.json", _versions(lot, made_at, _write_events(session, archive, lot)))
    on_file("records.jsonl")
    with archive.text("records.jsonl") as stream:
        stream.writelines(_records(session, lot))
    on_file("verdict-rows.jsonl")
    with archive.text("verdict-rows.jsonl") as stream:
        stream.writelines(f"{row}\n" for row in results.as_sealed(session, job.id))
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


def _judged(lot: Lot) -> list[Evaluation]:
    return [*lot.evaluations, *lot.later_evaluations]


def _records(session: Session, lot: Lot) -> Iterator[str]:
    """Lines of JSON: which record, then of it and of each part the table's name and its rows."""
    for table, number in lot.rests.records:
        yield json.dumps({"record": [table, number]}) + "\n"
        for name, columns, rows in seals.contents(session, table, number):
            yield json.dumps({"table": name}) + "\n"
            for row in rows:
                yield f'{{"row":{seals.encoded(columns, row)}}}\n'


def _write_matrix(archive: Archive, lot: Lot) -> None:
    with archive.text("confusion-matrix.csv") as stream:
        writer = csv.writer(stream)
        writer.writerow(("evaluation", "engine", "precision", "split", "actual", "predicted", "images"))
        for row in _judged(lot):
            for cell in row.cells:
                words = (row.split, cell.actual, cell.predicted)
                writer.writerow((f"e{row.id}", row.engine, row.precision, *map(defused, words), cell.images))


def _write_events(session: Session, archive: Archive, lot: Lot) -> Counter[str]:
    """Returns how many batches were judged by which versions, as JSON; those of before they were recorded as null."""
    versions: Counter[str] = Counter()
    with archive.text("audit-events.jsonl") as stream:
        about = lineage.concerning(lot.rests.subjects | {reviews.subject(lot.job.id)}, batches_of=lot.job.id)
        for event, previous in lineage.events(session, about):
            json.dump({**event_facts(event), "previous": previous}, stream)
            stream.write("\n")
            if event.action == audit.RESULTS_ADDED:
                versions[json.dumps(event.details.get("versions"), sort_keys=True)] += 1
    archive.json("audit-chain.json", {"newest_digest": lineage.newest_digest(session)})
    return versions


def _versions(lot: Lot, made_at: datetime, judged_by: Counter[str]) -> dict[str, Any]:
    run = lot.job.checkpoint.training_run
    return {
        "training": {"inspectq": run.code_version, "libraries": run.library_versions},
        "evaluations": {f"e{row.id}": {"inspectq": row.code_version} for row in _judged(lot)},
        "inspection": {
            "workers": [
                {"versions": json.loads(versions), "batches": batches}
                for versions, batches in sorted(judged_by.items())
            ],
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
