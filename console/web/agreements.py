"""The pages of a study of agreement: how far everybody is and what came of it, and where each one answers.

Answering works as reviewing does (console/web/review.py), by the same script. But it tells less: no path, since a
folder may be called "defective", and a name is how an image is known again in the second trial.
"""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from console.agreement import facts
from console.web.context import Number, Shared
from console.web.people import Inspecting, Looking
from db import agreement_answers, agreements, people
from db.agreement_answers import NewAnswer, Turn
from db.agreements import NewStudy
from db.engine import Session, reading, writing
from db.errors import Refused
from db.models import AgreementStudy, Answer, Role

router = APIRouter()
_AHEAD = 4  # images that a browser has: one to look at, the others to be loaded meanwhile


class Look(BaseModel):
    """An image to answer about; given back with the answer."""

    image: int
    result: int  # by which its picture is asked for
    trial: int
    name: str


class Left(BaseModel):
    """What waits for this person."""

    images: list[Look]
    open: int
    decided: int


class Said(BaseModel):
    """What a person says of an image."""

    image: int
    trial: int
    decision: Answer


@router.post("/jobs/{job}/agreements")
def start(
    context: Shared,
    looking: Inspecting,
    job: Number,
    reviewers: Annotated[str, Form(max_length=1100)],
    images: Annotated[int, Form()] = agreements.DEFAULT_IMAGES,
    trials: Annotated[int, Form()] = 2,
) -> Response:
    if not context.rules.login:
        raise Refused("A study takes people who sign in, each by themselves. Set INSPECTQ_WEB_LOGIN=true.")
    names = [name.strip() for name in reviewers.split(",") if name.strip()]
    new = NewStudy(job=job, reviewers=names, created_by=looking.account, trials=trials, images=images)
    with writing(context.engine) as session:
        people.refuse_unable(session, names, Role.INSPECTOR)
        study = agreements.start(session, new).id
    return RedirectResponse(f"/agreements/{study}", status_code=303)


@router.get("/agreements/{study}", response_class=HTMLResponse)
def show(context: Shared, looking: Looking, study: Number) -> HTMLResponse:
    with reading(context.engine) as session:
        told = facts(session, study)
    own = next((one for one in told["progress"] if one["reviewer"] == looking.name), None)
    disputed = [
        one for one in told["answers"] or [] if len({word for some in one["answers"].values() for word in some}) > 1
    ]
    return context.page("agreement.html.j2", told=told, own=own, name=looking.name, disputed=disputed)


@router.get("/agreements/{study}/answer", response_class=HTMLResponse)
def show_next(context: Shared, looking: Inspecting, study: Number) -> HTMLResponse:
    with reading(context.engine) as session:
        found = agreements.get(session, study)
        left = _left(session, found, looking.name)
        return context.page("agreement_answer.html.j2", study=found, left=left)


@router.post("/agreements/{study}/answer/take")
def take(context: Shared, looking: Inspecting, study: Number) -> Left:
    with reading(context.engine) as session:
        return _left(session, agreements.get(session, study), looking.name)


@router.post("/agreements/{study}/answer/decide")
def decide(context: Shared, looking: Inspecting, study: Number, said: Said) -> Left:
    with writing(context.engine) as session:
        new = NewAnswer(
            study=study,
            image=said.image,
            trial=said.trial,
            answer=said.decision,
            reviewer=looking.name,
            account=looking.account,
        )
        agreement_answers.answer(session, new)
        return _left(session, agreements.get(session, study), looking.name)


def _left(session: Session, study: AgreementStudy, reviewer: str) -> Left:
    waiting = agreement_answers.left(session, study, reviewer)
    of = agreement_answers.turns(session, study)
    return Left(
        images=[_look(turn, study.trials, of // study.trials) for turn in waiting[:_AHEAD]],
        open=len(waiting),
        decided=of - len(waiting),
    )


def _look(turn: Turn, trials: int, images: int) -> Look:
    name = f"Trial {turn.trial} of {trials}, image {turn.number} of {images}"
    return Look(image=turn.image, result=turn.result, trial=turn.trial, name=name)
