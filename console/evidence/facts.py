"""What is stored about a verdict, a model, its limits and its evaluations, as JSON that a script may rely on?

Whole rows, named as the tables name their columns (`db.models`), so that nothing that is stored is left out. Loads
neither torch nor numpy.
"""

from typing import Any

from console.runtimes import parity_fields
from db import evaluations
from db.engine import Session
from db.lineage import Lineage, given
from db.models import (
    AuditEvent,
    Checkpoint,
    Evaluation,
    InspectionJob,
    InspectionResult,
    OperatingPoint,
    Review,
    RuntimeParity,
)

_LINKS = ("id", "evaluation_id", "dataset_snapshot_id", "training_run_id", "checkpoint_id")


def verdict_facts(row: InspectionResult, point: OperatingPoint) -> dict[str, Any]:
    """One verdict, and the limits that it was judged by."""
    values = row.values()
    return {
        "result": values.pop("id"),
        "job": values.pop("job_id"),
        "revision": values.pop("revision"),
        "given": given(row).value,
        "pass_below": point.pass_below,
        "fail_from": point.fail_from,
        **{name: value for name, value in values.items() if name not in _LINKS},
    }


def review_facts(row: Review) -> dict[str, Any]:
    """What a person decided about an image."""
    values = row.values()
    return {"review": values.pop("id"), "job": values.pop("job_id"), "result": values.pop("result_id"), **values}


def point_facts(point: OperatingPoint) -> dict[str, Any]:
    """Limits, what they were to keep, and who answers for them."""
    approval = point.approval
    return {
        "operating_point": point.id,
        "model": point.checkpoint.name,
        "version": point.version,
        "pass_below": point.pass_below,
        "fail_from": point.fail_from,
        "origin": point.origin,
        "targets": point.targets,
        "evaluation": None if point.evaluation_id is None else f"e{point.evaluation_id}",
        "proposed_by": point.proposed_by,
        "created_at": point.created_at.isoformat(),
        "approved": approval is not None,
        "approved_by": approval.approved_by if approval else None,
        "approved_at": approval.approved_at.isoformat() if approval else None,
        "reason": approval.reason if approval else None,
    }


def model_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint, the training that made it, and the data set that it was trained on."""
    run = checkpoint.training_run
    return {
        **_own(checkpoint.values()),
        "training_run": _own(run.values()),
        "dataset": _own(run.dataset.values()),
    }


def listed_model(session: Session, checkpoint: Checkpoint) -> dict[str, Any]:
    """A line of `models list`: with its newest evaluation by the reference on images that it did not learn from.

    One without leaks comes before those that leak.
    """
    judged = evaluations.newest(session, checkpoint.id)
    return {
        "id": checkpoint.id,
        "name": checkpoint.name,
        "status": checkpoint.status.value,
        "digest": checkpoint.digest,
        "evaluation": f"e{judged.id}" if judged else None,
        "accuracy": judged.accuracy if judged else None,
        "miss_rate": judged.miss_rate if judged else None,
        "false_alarm_rate": judged.false_alarm_rate if judged else None,
        "created_at": checkpoint.created_at.isoformat(),
    }


def evaluation_facts(row: Evaluation) -> dict[str, Any]:
    """Every figure with its bounds, the confusion matrix, and the images that they were counted on."""
    return {
        "evaluation": f"e{row.id}",
        **_own(row.values()),
        "class_metrics": [_own(line.values()) for line in row.class_metrics],
        "confusion_matrix": [_own(cell.values()) for cell in row.cells],
        "dataset": _own(row.dataset.values()),
    }


def comparison_facts(row: RuntimeParity | None) -> dict[str, Any] | None:
    """How a runtime compared with the reference."""
    return None if row is None else {**parity_fields(row), "created_at": row.created_at.isoformat()}


def event_facts(event: AuditEvent) -> dict[str, Any]:
    """An event of the audit chain."""
    values = event.values()
    return {"event": values.pop("id"), **values}


def approved_by_then(found: Lineage) -> bool:
    """Whether somebody answered for the limits when the verdict was given, by the event of it and not by its row."""
    return found.approval is not None and found.approval.time <= found.verdict.time


def submission_facts(job: InspectionJob) -> dict[str, Any]:
    """The job's own row, without what only schedulers need."""
    scheduling = ("planner_token", "planner_lease_until", "cursor", "waiting_since")
    values = {name: value for name, value in job.values().items() if name not in scheduling}
    return {"job": values.pop("id"), **values}


def _own(values: dict[str, Any]) -> dict[str, Any]:
    """Without the numbers by which tables refer to each other: they mean nothing outside the database."""
    return {name: value for name, value in values.items() if name not in _LINKS}
