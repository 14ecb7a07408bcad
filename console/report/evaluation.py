"""How good is a model on labelled images, and which ones did it get wrong?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from console.report import charts, page
from console.report.curves import Floats, curves
from console.report.judgement import Judgement, judgement
from console.report.pictures import scores_by_class
from console.report.thumbnails import Exhibit, exhibit, explanation
from console.report.wording import said_of_twins
from db import evaluations
from db.engine import Engine, Session, reading
from db.models import Evaluation, EvaluationScore
from trainer.reliability import expected_calibration_error, reliability, uncalibrated

MOST_PICTURES = 60  # of each kind of mistake
MOST_UNREADABLE = 60
MOST_LEAKS = 12  # pairs of pictures


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What the database says about an evaluation, read in one transaction."""

    evaluation: Evaluation
    judgement: Judgement
    defective: Floats  # scores: 8 bytes per image
    good: Floats
    missed: Sequence[EvaluationScore]
    false_alarms: Sequence[EvaluationScore]
    unreadable: Sequence[EvaluationScore]


def write_evaluation_report(engine: Engine, evaluation_id: int, out: Path) -> None:
    """Write the report of an evaluation to `out`, one self-contained HTML file.

    Raises NotFound, and Refused where `out` cannot be written.
    """
    page.write(evaluation_page(engine, evaluation_id, made_at=datetime.now(UTC)), out)


def evaluation_page(engine: Engine, evaluation_id: int, *, made_at: datetime) -> str:
    """The report as text. The same rows and files give the same text at the same `made_at`."""
    with reading(engine) as session:
        facts = _read(session, evaluation_id)
    root = facts.evaluation.dataset.root
    run = facts.evaluation.checkpoint.training_run
    unreadable = [
        {"path": row.path, "actual": row.actual, "reason_code": row.reason_code, "why": explanation(row.reason_code)}
        for row in facts.unreadable
    ]
    return page.render(
        "evaluation.html.j2",
        made_at,
        {
            "evaluation": facts.evaluation,
            "judgement": facts.judgement,
            "run": run,
            "histograms": _histograms(facts),
            "curves": _curves(facts),
            "reliability": _reliability(facts),
            "leaks": _leaks(facts.evaluation),
            "missed": _gallery(root, facts.missed, facts.judgement.missed),
            "false_alarms": _gallery(root, facts.false_alarms, facts.judgement.alarms),
            "unreadable": unreadable,
            "unreadable_left_out": max(0, facts.evaluation.unreadable - len(unreadable)),
        },
    )


def _read(session: Session, evaluation_id: int) -> _Facts:
    found = evaluations.get(session, evaluation_id)
    judged = judgement(found)
    _ = found.checkpoint.training_run.dataset  # loaded here: the page is drawn after the session
    defective, good = scores_by_class(session, found)
    return _Facts(
        evaluation=found,
        judgement=judged,
        defective=defective,
        good=good,
        missed=evaluations.missed(session, found, judged.positive, limit=MOST_PICTURES),
        false_alarms=evaluations.false_alarms(session, found, judged.positive, limit=MOST_PICTURES),
        unreadable=evaluations.unreadable(session, found, limit=MOST_UNREADABLE),
    )


def _gallery(root: str, rows: Sequence[EvaluationScore], total: int) -> dict[str, Any]:
    exhibits: list[Exhibit] = [exhibit(root, row.path, row.sha256, row.score) for row in rows]
    return {"exhibits": exhibits, "total": total, "left_out": max(0, total - len(exhibits))}


def _leaks(found: Evaluation) -> list[dict[str, Any]]:
    learned_from = found.checkpoint.training_run.dataset.root
    return [
        {
            "left": exhibit(found.dataset.root, leak["path"], leak["sha256"], None),
            "right": exhibit(learned_from, leak["training_path"], leak["training_sha256"], None),
            "says": said_of_twins(leak["kind"], leak["similarity"]),
        }
        for leak in (found.leaks or [])[:MOST_LEAKS]
    ]


def _histograms(facts: _Facts) -> dict[str, Any]:
    at = facts.evaluation.threshold
    return charts.both_class_histograms(facts.defective, facts.good, (at, at), key="scores")


def _reliability(facts: _Facts) -> dict[str, Any]:
    """The chart, and the calibration error that the scores would have without the temperature, if one was fitted."""
    truth = np.repeat([True, False], [facts.defective.size, facts.good.size])
    scores = np.concatenate([facts.defective, facts.good])
    if not scores.size:
        return {}
    chart = charts.reliability_chart(reliability(truth, scores), key="reliability")
    calibration = facts.evaluation.checkpoint.training_run.calibration
    if calibration is None:
        return {"chart": chart, "temperature": None}
    before = uncalibrated(scores, calibration["temperature"])
    return {
        "chart": chart,
        "temperature": calibration["temperature"],
        "images": calibration["images"],
        "ece_before": expected_calibration_error(truth, before),
    }


def _curves(facts: _Facts) -> dict[str, Any]:
    points = curves(facts.defective, facts.good)
    if points is None:
        return {}
    counts = facts.judgement
    alarms, recall = counts.on_roc
    precision = counts.on_precision_recall
    share = counts.defective / (counts.defective + counts.good)
    return {
        "roc": charts.roc_chart(points, counts.on_roc, key="roc"),
        "precision_recall": charts.precision_recall_chart(points, precision, share_defective=share, key="pr"),
        "recall": recall,
        "false_alarm_rate": alarms,
        "precision": precision[1] if precision else None,
    }
