"""The page on which two models stand side by side: which is better, or does it only look so?"""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from console.web.context import Shared
from db import checkpoints, evaluations
from db.engine import Session, reading
from db.models import Checkpoint, Evaluation

router = APIRouter()
Chosen = Annotated[int | None, Query(ge=1, lt=2**63)]
MOST_DIFFERENCES = 50  # images that are listed
FIGURES = (  # column, its name, as a share
    ("miss_rate", "Missed defects", True),
    ("false_alarm_rate", "False alarms", True),
    ("accuracy", "Accuracy", True),
    ("auroc", "Area under ROC", False),
    ("average_precision", "Average precision", False),
)


@router.get("/models/compare", response_class=HTMLResponse)
def compare(context: Shared, a: Chosen = None, b: Chosen = None, judged: Chosen = None) -> HTMLResponse:
    """`judged`: the evaluation of the first one whose images are meant, where both were judged on several sets."""
    with reading(context.engine) as session:
        models = checkpoints.every(session)
        values: dict[str, Any] = {"section": "models", "models": models, "a": a, "b": b, "sides": None}
        if a is not None and b is not None and a != b:
            pair = checkpoints.get(session, a), checkpoints.get(session, b)
            values |= _told(session, pair, judged)
        return context.page("compare.html.j2", **values)


def _told(session: Session, models: tuple[Checkpoint, Checkpoint], judged: int | None) -> dict[str, Any]:
    # Imported here: both load numpy, and few pages need it.
    from console.comparing import compare_stored, parts
    from console.report.judgement import judgement

    pairs = evaluations.judged_alike(session, *models)
    pair = next((one for one in pairs if one[0].id == judged), pairs[0] if pairs else None)
    rows: tuple[Evaluation | None, Evaluation | None] = pair or (
        evaluations.newest(session, models[0].id),
        evaluations.newest(session, models[1].id),
    )
    told: dict[str, Any] = {
        "sides": [
            (model, row, None if row is None else judgement(row)) for model, row in zip(models, rows, strict=True)
        ],
        "pairs": pairs,
        "pair": pair,
        "figures": FIGURES,
        "compared": None,
    }
    if pair is not None and pair[0].images and pair[1].images:
        compared = compare_stored(session, pair, ranking=False)
        listed = compared.differences[:MOST_DIFFERENCES]
        pictures = evaluations.score_numbers(session, pair[0].id, [one.path for one in listed])
        told |= {"compared": compared, "parts": parts(compared.comparison), "listed": listed, "pictures": pictures}
    return told
