"""What may a program ask? The console's data as JSON, under /api/v1; `/api/v1/openapi.json` says it to machines.

An error is `{"detail": sentence}`. A page of a list begins behind the last element of the one before it: hand its
`after` on.
"""

from fastapi import APIRouter, Security
from fastapi.security import HTTPBearer

from console.web.api import jobs, models, verdicts
from console.web.api.words import Me, Problem
from console.web.people import Looking

# Says so in the description; console/web/people.py reads it.
_TOKEN = HTTPBearer(auto_error=False, description="An API token: `inspectq tokens add`. Not asked for without a login.")

router = APIRouter(
    prefix="/api/v1",
    dependencies=[Security(_TOKEN)],
    responses={
        400: {"model": Problem, "description": "The body is no JSON."},
        401: {"model": Problem, "description": "Nobody knows who asks."},
        403: {"model": Problem, "description": "Another site's page asked, by a foreign name, or without the right."},
        404: {"model": Problem, "description": "There is no such thing."},
        409: {"model": Problem, "description": "It cannot be done in the state things are in."},
        422: {"model": Problem, "description": "What was asked could not be understood, or not be used."},
        503: {"model": Problem, "description": "The database does not answer."},
    },
)


@router.get("/me", summary="Whom the console takes you for, and what you may")
def who_am_i(looking: Looking) -> Me:
    return Me(name=looking.name, role=looking.role)


for each in (jobs, verdicts, models):
    router.include_router(each.router)
