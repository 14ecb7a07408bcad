"""What may a program ask? The console's data as JSON, under /api/v1; `/api/v1/openapi.json` says it to machines.

An error is `{"detail": sentence}`. A page of a list begins behind the last element of the one before it: hand its
`after` on.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer

from console.agreement import facts as agreement_facts
from console.evidence import trace
from console.evidence.facts import evaluation_facts, model_facts, point_facts, review_facts
from console.job_facts import job_facts, job_lines
from console.model_escapes import model_fields
from console.notifying import notify_fields
from console.results import csv_lines, plain
from console.web.api_words import Decision, Facts, Job, Jobs, Me, Notify, Problem, Results, Submission
from console.web.context import Context, Number, Shared
from console.web.jobs import inspect
from console.web.people import Inspecting, Looking
from db import (
    checkpoints,
    evaluations,
    gallery,
    jobs,
    lineage,
    operating_points,
    resting,
    results,
    reviews,
    samples,
    tally,
    webhooks,
)
from db.engine import Session, reading, writing
from db.gallery import Shown, Sort, Wanted
from db.models import OPEN_JOBS, Disposition, InspectionJob, ReviewDecision, Webhook
from db.reviews import NewReview
from db.submissions import LONGEST_KEY
from scheduler import submission
from vision.runtimes import name_of

MOST = 500  # elements of a page
Limit = Annotated[int, Query(ge=1, le=MOST, description="Elements at most.")]


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


@router.get("/jobs", summary="The jobs")
def list_jobs(context: Shared, limit: Limit = 50, after: Annotated[int | None, Query(ge=1, lt=2**63)] = None) -> Jobs:
    with reading(context.engine) as session:
        found = jobs.newest(session, limit=limit + 1, before=after)
        shown = _told(session, found[:limit])
    return Jobs(jobs=shown, after=shown[-1].job if len(found) > limit else None)


@router.post("/jobs", status_code=201, summary="Submit a folder")
def submit_job(
    context: Shared,
    looking: Inspecting,
    asked: Submission,
    idempotency_key: Annotated[
        str | None, Header(max_length=LONGEST_KEY, description="The same again: the job that was submitted with it.")
    ] = None,
) -> Job:
    wish = submission.Submission(**(vars(asked) | {"folder": Path(asked.folder)}))
    number = submission.submit(
        context.engine, wish, context.settings, submitted_by=looking.account, key=idempotency_key
    )
    job = get_job(context, number)
    if job.state in OPEN_JOBS:
        inspect(context, number)
    return job


@router.get("/jobs/{job}", summary="One job")
def get_job(context: Shared, job: Number) -> Job:
    with reading(context.engine) as session:
        return _told(session, [jobs.get(session, job)])[0]


@router.get("/jobs/{job}/facts", summary="More of it, as `inspectq jobs show --format json`; or in sentences")
def get_job_facts(context: Shared, job: Number, sentences: bool = False) -> Facts:
    told = job_lines if sentences else job_facts
    with reading(context.engine) as session:
        return told(session, job, cluster=context.embedded is None)


@router.post("/jobs/{job}/cancel", summary="Stop an open job; verdicts that exist stay")
def cancel_job(context: Shared, looking: Inspecting, job: Number) -> Job:
    with writing(context.engine) as session:
        jobs.cancel(session, job, actor=looking.account)
    return get_job(context, job)


@router.post("/jobs/{job}/retry", summary="Go on with a failed job, or inspect a done one's unreadable images again")
def retry_job(context: Shared, looking: Inspecting, job: Number) -> Job:
    with writing(context.engine) as session:
        jobs.retry(session, job, actor=looking.account)
    inspect(context, job)
    return get_job(context, job)


@router.get("/jobs/{job}/results", summary="A page of its verdicts")
def list_results(
    context: Shared,
    job: Number,
    limit: Limit = 100,
    after: str | None = None,
    verdict: Disposition | None = None,
    decision: ReviewDecision | None = None,
    score_from: Annotated[float | None, Query(ge=0, le=1)] = None,
    score_below: Annotated[float | None, Query(ge=0, le=1)] = None,
    folder: str = "",
    text: Annotated[str, Query(description="That the path holds, in small or capital letters.")] = "",
    sort: Sort = Sort.PATH,
) -> Results:
    wanted = Wanted(
        disposition=verdict,
        decision=decision,
        score_from=score_from,
        score_below=score_below,
        folder=folder,
        text=text,
        sort=sort,
    )
    with reading(context.engine) as session:
        page = gallery.page(session, jobs.get(session, job), wanted, images=limit, after=after)
        return Results(results=[_result(one) for one in page.images], after=page.after)


CSV, LINES = "text/csv", "application/x-ndjson"


def _as_text(kind: str) -> dict[str, Any]:
    """How a route is described whose answer is no JSON; its errors are."""
    return {
        "response_class": StreamingResponse,
        "responses": {200: {"content": {kind: {"schema": {"type": "string"}}}}},
    }


@router.get("/jobs/{job}/results.csv", summary="All its verdicts, as `inspectq results --format csv`", **_as_text(CSV))
def results_csv(context: Shared, job: Number, verdict: Disposition | None = None) -> StreamingResponse:
    return StreamingResponse(_streamed(context, job, verdict, csv_lines), media_type=CSV)


@router.get("/jobs/{job}/results.jsonl", summary="All its verdicts, a JSON object on each line", **_as_text(LINES))
def results_jsonl(context: Shared, job: Number, verdict: Disposition | None = None) -> StreamingResponse:
    lines = _streamed(context, job, verdict, lambda rows: (json.dumps(plain(row)) + "\n" for row in rows))
    return StreamingResponse(lines, media_type=LINES)


@router.get("/jobs/{job}/reviews", summary="What people decided in it, oldest first")
def list_reviews(
    context: Shared, job: Number, limit: Limit = 100, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> Facts:
    with reading(context.engine) as session:
        jobs.get(session, job)
        found = [review_facts(row) for row in reviews.of_job(session, job, after=after, limit=limit + 1)]
    more = len(found) > limit
    return {"reviews": found[:limit], "after": found[limit - 1]["review"] if more else None}


@router.post("/jobs/{job}/reviews", status_code=201, summary="Decide about an image")
def add_review(context: Shared, looking: Inspecting, job: Number, said: Decision) -> Facts:
    with writing(context.engine) as session:
        new = NewReview(
            job=job,
            path=said.path,
            decision=ReviewDecision(said.decision),
            reviewer=looking.name,
            account=looking.account,
            seen=said.seen,
            blind=said.blind,
            reason_code=said.reason_code,
            note=said.note,
        )
        return review_facts(reviews.decide(session, new))


@router.get("/jobs/{job}/trace", summary="Everything that the verdict on a path rests on, as `inspectq trace`")
def trace_path(
    context: Shared,
    job: Number,
    path: Annotated[str, Query(min_length=1, max_length=8192, description="In the job's folder, or absolute.")],
) -> Facts:
    with reading(context.engine) as session:
        return _traced(session, job, path)


@router.get("/results/{result}", summary="The same of a verdict by its number")
def get_result(context: Shared, result: Number) -> Facts:
    with reading(context.engine) as session:
        row = results.get(session, result)
        return _traced(session, row.job_id, row.path)


@router.get("/models", summary="The models")
def list_models(context: Shared) -> Facts:
    with reading(context.engine) as session:
        return {"models": [{"model": row.id, **model_facts(row)} for row in checkpoints.every(session)]}


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


def _traced(session: Session, job: int, path: str) -> Facts:
    found = lineage.trace(session, job, path, name_of)
    return trace.fields(found, [misfit.says for misfit in resting.of_verdict(session, found)])


def _told(session: Session, found: Sequence[InspectionJob]) -> list[Job]:
    tallies, hooks = tally.of_jobs(session, found), webhooks.of_jobs(session, [job.id for job in found])
    return [_job(job, tallies[job.id], hooks.get(job.id)) for job in found]


def _job(job: InspectionJob, told: tally.Tally, hook: Webhook | None) -> Job:
    summary = {name: value for name, value in jobs.summary(job).items() if name in Job.model_fields}
    notify = notify_fields(job, hook)
    return Job(
        **summary,
        images_settled=told.settled,
        images_planned=told.planned,
        images_per_second=told.rate,
        seconds_left=told.seconds_left,
        ledger=told.ledger.to_dict() if told.ledger else None,
        notify=Notify(**notify) if notify else None,
    )


_LINKS = {"id": "result", "job_id": "job", "batch_id": "batch", "operating_point_id": "operating_point"}


def _result(one: Shown) -> Facts:
    values = {_LINKS.get(name, name): value for name, value in one.verdict.values().items() if name != "checkpoint_id"}
    review = one.review
    return values | {
        "final_disposition": one.final.value,
        "decision": review.decision.value if review else None,
        "review_reason": review.reason_code if review else None,
        "reviewed_by": review.reviewer if review else None,
        "reviewed_at": review.created_at.isoformat() if review else None,
        "review": review.id if review else None,
    }


def _streamed(
    context: Context, job: int, verdict: Disposition | None, lines: Callable[[Iterable[Facts]], Iterable[str]]
) -> Iterator[str]:
    """One state of the database, however long the reader takes; few rows of it in memory."""
    with reading(context.engine) as session:
        jobs.get(session, job)

    def read() -> Iterator[str]:
        with reading(context.engine) as session:
            yield from lines(results.of_job(session, job, disposition=verdict))

    return read()
