"""What do the limits of an operating point make of the images that the model was validated and tested on?"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.report import charts, page
from console.thresholds import Gives, labelled, not_asked, outcomes
from db import evaluations, operating_points
from db.engine import Engine, Session, reading
from db.models import OperatingPoint
from trainer.bounds import upper_bound
from trainer.leakage_words import leaking_words


def write_limits_report(engine: Engine, point_id: int, out: Path) -> None:
    """Write the report of an operating point to `out`, one self-contained HTML file.

    Raises NotFound, and Refused where `out` cannot be written.
    """
    page.write(limits_page(engine, point_id, made_at=datetime.now(UTC)), out)


def limits_page(engine: Engine, point_id: int, *, made_at: datetime) -> str:
    """The report as text. The same rows give the same text at the same `made_at`."""
    with reading(engine) as session:
        point = operating_points.get(session, point_id)
        parts = [_part(session, point, gives) for gives in outcomes(session, point)]
        lacking = not_asked(session, point)
        _ = point.checkpoint.name  # loaded here: the page is drawn after the session
    shown = {"point": point, "model": point.checkpoint, "parts_shown": parts, "lacking": lacking}
    return page.render("limits.html.j2", made_at, shown)


def _part(session: Session, point: OperatingPoint, gives: Gives) -> dict[str, Any]:
    truth, scores = labelled(session, evaluations.get(session, gives.evaluation))
    limits = (point.pass_below, point.fail_from)
    found = gives.outcome
    images = found.defective + found.good
    reviewed, asked = found.defective_reviewed + found.good_reviewed, point.targets or {}
    rows = (
        ("Missed", "defective parts that pass", found.missed, found.defective, asked.get("max_miss_rate")),
        ("False alarms", "good parts that fail", found.alarms, found.good, asked.get("max_false_alarm_rate")),
        ("To review", "parts that a person looks at", reviewed, images, None),
    )
    return {
        "gives": gives,
        "leaking": leaking_words(gives.leaking, gives.images, gives.split),
        "source": gives.evaluation == point.evaluation_id,
        "rates": [
            (name, what, part, whole, upper_bound(part, whole), asked) for name, what, part, whole, asked in rows
        ],
        "chart": charts.both_class_histograms(scores[truth], scores[~truth], limits, key=f"e{gives.evaluation}"),
    }
