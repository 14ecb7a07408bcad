"""The page on which a person decides, one image after the other, and what it asks for while they do."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from console.web.context import Number, Shared
from console.web.people import Inspecting, Person
from db import jobs, review_leases, review_queue, reviews
from db.engine import Session, reading, writing
from db.models import ReviewDecision
from db.review_queue import Waiting
from db.reviews import NewReview

router = APIRouter(prefix="/jobs/{job}/review")
AHEAD = 4  # images that a person has: one to look at, the others to be loaded meanwhile


class Before(BaseModel):
    """An image to decide about."""

    result: int
    path: str
    width: int | None
    height: int | None
    seen: int | None = Field(description="The decision that counts now; to be given back with one's own.")


class Left(BaseModel):
    """What waits for this person, and how much there is for all."""

    images: list[Before]
    open: int
    decided: int


class Decision(BaseModel):
    """What a person says of an image."""

    path: str
    decision: ReviewDecision
    seen: int | None = None
    reason_code: Annotated[str, Field(max_length=50)] | None = None
    note: Annotated[str, Field(max_length=2000)] | None = None


@router.get("", response_class=HTMLResponse)
def show(context: Shared, looking: Inspecting, job: Number) -> HTMLResponse:
    with reading(context.engine) as session:
        found = jobs.get(session, job)
        return context.page("review.html.j2", job=found, progress=review_queue.progress(session, job))


@router.post("/take")
def take(context: Shared, looking: Inspecting, job: Number) -> Left:
    with writing(context.engine) as session:
        return _left(session, looking, job)


@router.post("/decide")
def decide(context: Shared, looking: Inspecting, job: Number, said: Decision) -> Left:
    with writing(context.engine) as session:
        new = NewReview(
            job=job,
            path=said.path,
            decision=said.decision,
            reviewer=looking.name,
            account=looking.account,
            seen=said.seen,
            blind=True,
            reason_code=said.reason_code or None,
            note=said.note or None,
        )
        reviews.decide(session, new)
        return _left(session, looking, job)


@router.post("/undo")
def undo(context: Shared, looking: Inspecting, job: Number) -> Left:
    """Take this person's last decision back; its image comes first."""
    with writing(context.engine) as session:
        path = reviews.undo(session, job, reviewer=looking.name, account=looking.account).path
        left = _left(session, looking, job, more=1)
        left.images.sort(key=lambda image: image.path != path)
        return left


@router.post("/leave", status_code=204)
def leave(context: Shared, looking: Inspecting, job: Number) -> None:
    """Others may have what this person has not decided about."""
    with writing(context.engine) as session:
        review_leases.let_go(session, job, looking.name)


def _left(session: Session, looking: Person, job: int, *, more: int = 0) -> Left:
    waiting = review_queue.take(session, job, looking.name, images=AHEAD + more)
    counted = review_queue.progress(session, job)
    return Left(
        images=[_before(image) for image in waiting],
        open=counted.review + counted.sampled,
        decided=counted.decided,
    )


def _before(image: Waiting) -> Before:
    return Before(result=image.result, path=image.path, width=image.width, height=image.height, seen=image.review)
