"""How do an evaluation's curves become pictures of their own, alone or with another model's on the same images?

SVG, in the colours that the reader's screen asks for. Each function raises NotFound where there is no such evaluation,
or nothing to draw.
"""

from array import array

import numpy as np
from markupsafe import Markup

from console.report import charts, page
from console.report.curves import Curves, Floats, curves
from console.report.judgement import judgement
from db import evaluations
from db.engine import Session
from db.errors import NotFound, Refused
from db.models import Evaluation
from trainer.reliability import reliability


def roc(session: Session, evaluation: int, beside: int | None = None) -> str:
    """`beside`: another evaluation, whose curve is dashed; then neither's threshold is marked."""
    found = evaluations.get(session, evaluation)
    points, other = _points(session, found), _other(session, found, beside)
    here = judgement(found).on_roc if other is None else None
    return _picture(charts.roc_chart(points, here, key="roc", other=other))


def precision_recall(session: Session, evaluation: int, beside: int | None = None) -> str:
    """`beside` as for `roc`."""
    found = evaluations.get(session, evaluation)
    points, other = _points(session, found), _other(session, found, beside)
    counts = judgement(found)
    here = counts.on_precision_recall if other is None else None
    share = counts.defective / (counts.defective + counts.good)
    return _picture(charts.precision_recall_chart(points, here, share_defective=share, key="pr", other=other))


def reliability_diagram(session: Session, evaluation: int) -> str:
    """Does a score mean what it says?"""
    found = evaluations.get(session, evaluation)
    defective, good = scores_by_class(session, found)
    truth = np.repeat([True, False], [defective.size, good.size])
    if not truth.size:
        raise NotFound(f"Evaluation e{evaluation} has no score.")
    points = reliability(truth, np.concatenate([defective, good]))
    return _picture(charts.reliability_chart(points, key="reliability"))


def scores_by_class(session: Session, found: Evaluation) -> tuple[Floats, Floats]:
    """(those of the defective images, those of the good ones): 8 bytes each."""
    positive = judgement(found).positive
    defective, good = array("d"), array("d")
    for actual, score in evaluations.labelled_scores(session, found.id):
        (defective if actual == positive else good).append(score)
    return np.array(defective), np.array(good)


def _points(session: Session, found: Evaluation) -> Curves:
    points = curves(*scores_by_class(session, found))
    if points is None:
        raise NotFound(f"Evaluation e{found.id} has no curve: it has scores of one class only.")
    return points


def _other(session: Session, found: Evaluation, beside: int | None) -> Curves | None:
    if beside is None:
        return None
    other = evaluations.get(session, beside)
    if (other.dataset_snapshot_id, other.split) != (found.dataset_snapshot_id, found.split):
        raise Refused(f"Evaluations e{found.id} and e{beside} are of other images: one chart would mislead.")
    return _points(session, other)


def _picture(chart: Markup) -> str:
    return page.picture(chart, width=charts.SQUARE.width, height=charts.SQUARE.height)
