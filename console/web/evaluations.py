"""What does a browser get of an evaluation: its curves, and the images that it was judged on?"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from console.web.context import Context, Number, Shared
from console.web.images import KEPT, picture_of
from db import evaluations
from db.engine import Session, reading

router = APIRouter()
Beside = Annotated[int | None, Query(ge=1, lt=2**63)]  # another evaluation, on the same images
# A chart is one file with its own styles; it loads nothing and runs nothing.
_CHART = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
    **KEPT,
}


@router.get("/evaluations/{evaluation}/roc.svg")
def roc(context: Shared, evaluation: Number, beside: Beside = None) -> Response:
    from console.report import pictures  # loads matplotlib, as do the others

    return _drawn(context, lambda session: pictures.roc(session, evaluation, beside))


@router.get("/evaluations/{evaluation}/precision-recall.svg")
def precision_recall(context: Shared, evaluation: Number, beside: Beside = None) -> Response:
    from console.report import pictures

    return _drawn(context, lambda session: pictures.precision_recall(session, evaluation, beside))


@router.get("/evaluations/{evaluation}/reliability.svg")
def reliability(context: Shared, evaluation: Number) -> Response:
    from console.report import pictures

    return _drawn(context, lambda session: pictures.reliability_diagram(session, evaluation))


@router.get("/scores/{score}/picture.jpg")
def picture(context: Shared, score: Number) -> Response:
    with reading(context.engine) as session:
        row = evaluations.score(session, score)
        dataset = evaluations.get(session, row.evaluation_id).dataset
    return picture_of(context, lambda: context.pictures.full(dataset, row), full=True)


def _drawn(context: Context, draw: Callable[[Session], str]) -> Response:
    with reading(context.engine) as session:
        return Response(draw(session), media_type="image/svg+xml", headers=_CHART)
