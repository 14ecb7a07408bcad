"""The pages about models: which there are, how each was judged, by which limits it judges, and who answers for both."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console.model_escapes import model_words
from console.web.context import Context, Number, Shared
from console.web.people import Approving
from db import checkpoints, evaluations, operating_points, samples
from db.engine import Session, reading, writing
from db.errors import InspectqError, Refused
from db.models import ModelStatus

router = APIRouter()
# A report is one file with its own styles and pictures; framed by nobody, and without scripts.
_REPORT = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; sandbox"
}


@router.get("/models", response_class=HTMLResponse)
def list_models(context: Shared) -> HTMLResponse:
    with reading(context.engine) as session:
        rows = [
            {
                "model": row,
                "evaluation": evaluations.newest(session, row.id),
                "point": operating_points.current(session, row),
            }
            for row in checkpoints.every(session)
        ]
        return context.page("models.html.j2", section="models", rows=rows)


@router.get("/models/{model}", response_class=HTMLResponse)
def show_model(context: Shared, model: Number) -> HTMLResponse:
    with reading(context.engine) as session:
        return _page(context, session, model)


@router.post("/models/{model}/status")
def set_status(context: Shared, looking: Approving, model: Number, status: Annotated[ModelStatus, Form()]) -> Response:
    if status is ModelStatus.CANDIDATE:
        raise Refused("A model is approved or retired; nobody makes it a candidate again.")
    with writing(context.engine) as session:
        checkpoints.set_status(session, checkpoints.get(session, model), status, actor=looking.account)
    return RedirectResponse(f"/models/{model}", status_code=303)


@router.post("/models/{model}/limits")
def propose(
    context: Shared,
    looking: Approving,
    model: Number,
    max_miss_percent: Annotated[float | None, Form(gt=0, lt=100)] = None,
    max_false_alarm_percent: Annotated[float | None, Form(gt=0, lt=100)] = None,
    max_review_percent: Annotated[float | None, Form(gt=0, lt=100)] = None,
) -> Response:
    """Read limits off validation scores, as `inspectq threshold propose` does."""
    # Imported here: it loads numpy and scipy, and few pages need them.
    from console.thresholds import propose_limits
    from trainer.errors import TargetRefused
    from trainer.operating_point import Targets

    targets = Targets(
        max_miss_rate=_share(max_miss_percent),
        max_false_alarm_rate=_share(max_false_alarm_percent),
        max_review_rate=_share(max_review_percent),
    )
    try:
        with writing(context.engine) as session:
            propose_limits(
                session, checkpoints.get(session, model).digest, targets, evaluation=None, actor=looking.account
            )
    except (InspectqError, TargetRefused) as error:
        with reading(context.engine) as session:
            return _page(context, session, model, status=422, problem=str(error))
    return RedirectResponse(f"/models/{model}", status_code=303)


@router.post("/operating-points/{point}/approve")
def approve(
    context: Shared,
    looking: Approving,
    point: Number,
    reason: Annotated[str, Form(max_length=2000)],
) -> Response:
    with writing(context.engine) as session:
        found = operating_points.get(session, point)
        operating_points.approve(session, found, by=looking.name, reason=reason, account=looking.account)
        model = found.checkpoint_id
    return RedirectResponse(f"/models/{model}", status_code=303)


@router.get("/jobs/{job}/report", response_class=HTMLResponse)
def job_report(context: Shared, job: Number) -> HTMLResponse:
    from console.report.job import job_page  # loads matplotlib, as do the others

    return HTMLResponse(job_page(context.engine, job, made_at=datetime.now(UTC)), headers=_REPORT)


@router.get("/evaluations/{evaluation}/report", response_class=HTMLResponse)
def evaluation_report(context: Shared, evaluation: Number) -> HTMLResponse:
    from console.report.evaluation import evaluation_page

    return HTMLResponse(evaluation_page(context.engine, evaluation, made_at=datetime.now(UTC)), headers=_REPORT)


@router.get("/operating-points/{point}/report", response_class=HTMLResponse)
def limits_report(context: Shared, point: Number) -> HTMLResponse:
    from console.report.limits import limits_page

    return HTMLResponse(limits_page(context.engine, point, made_at=datetime.now(UTC)), headers=_REPORT)


def _page(context: Context, session: Session, number: int, *, status: int = 200, problem: str = "") -> HTMLResponse:
    # Imported here: the words of an evaluation come from the reports, which load numpy.
    from console.report.judgement import judgement

    model = checkpoints.get(session, number)
    judged, counts = evaluations.of_checkpoint(session, model.id), evaluations.newest(session, model.id)
    values: dict[str, Any] = {
        "model": model,
        "run": model.training_run,
        "evaluations": [(row, judgement(row)) for row in judged],
        "counts": counts.id if counts else None,
        "points": operating_points.of_checkpoint(session, model),
        "current": operating_points.current(session, model).id,
        "escapes": {point: model_words(jobs) for point, jobs in samples.of_model(session, model.id).items()},
        "problem": problem,
    }
    return context.page("model.html.j2", status=status, section="models", **values)


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
