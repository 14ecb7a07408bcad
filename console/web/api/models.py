"""What may a program ask about models, how they were judged, and whether people agree?"""

from fastapi import APIRouter

from console.agreement import facts as agreement_facts
from console.evidence.facts import evaluation_facts, listed_model, model_facts, point_facts
from console.model_escapes import model_fields
from console.web.api.words import Facts
from console.web.context import Number, Shared
from db import checkpoints, evaluations, operating_points, samples
from db.engine import reading

router = APIRouter()


@router.get("/models", summary="The models, as `inspectq models list --format json`")
def list_models(context: Shared) -> Facts:
    with reading(context.engine) as session:
        return {"models": [listed_model(session, row) for row in checkpoints.every(session)]}


@router.get(
    "/models/{model}",
    summary="One model, with its evaluations and limits, and what samples say of what passes",
)
def get_model(context: Shared, model: Number) -> Facts:
    with reading(context.engine) as session:
        row = checkpoints.get(session, model)
        return {
            "model": row.id,
            **model_facts(row),
            "evaluations": [evaluation_facts(one) for one in evaluations.of_checkpoint(session, model)],
            "operating_points": [point_facts(one) for one in operating_points.of_checkpoint(session, row)],
            "current_operating_point": operating_points.current(session, row).id,
            "samples_of_passed": model_fields(samples.of_model(session, model)),
        }


@router.get("/evaluations/{evaluation}", summary="One evaluation, with its confusion matrix")
def get_evaluation(context: Shared, evaluation: Number) -> Facts:
    with reading(context.engine) as session:
        return evaluation_facts(evaluations.get(session, evaluation))


@router.get("/agreements/{study}", summary="A study of agreement, as `inspectq agreement show --format json`")
def get_agreement(context: Shared, study: Number) -> Facts:
    with reading(context.engine) as session:
        return agreement_facts(session, study)
