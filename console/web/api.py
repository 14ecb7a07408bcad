"""What may a program ask? The console's data as JSON, under /api/v1; `/api/v1/openapi.json` says it to machines.

An error is `{"detail": sentence}`. A page of a list begins behind the last element of the one before it: hand its
`after` on.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from console.evidence import trace
from console.evidence.facts import evaluation_facts, model_facts, point_facts, review_facts
from console.model_escapes import model_fields
from console.results import csv_lines, plain
from console.web.api_words import Decision, Facts, Job, Jobs, Problem, Results, Submission
from console.web.context import Context, Shared
from console.web.jobs import inspect
from console.web.people import Looking
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
)
from db.engine import Session, reading, writing
from db.gallery import Shown, Sort, Wanted
from db.models import OPEN_JOBS, Disposition, InspectionJob, ReviewDecision
from db.reviews import NewReview
from db.submissions import LONGEST_KEY
from scheduler.submission import submit
from vision.runtimes import name_of

MOST = 500  # elements of a page
Number = Annotated[int, InPath(ge=1, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Elements at most.")]


router = APIRouter(
    prefix="/api/v1",
    responses={
        400: {"model": Problem, "description": "The body is no JSON."},
        403: {"model": Problem, "description": "Another site's page asked, or by a foreign name."},
        404: {"model": Problem, "description": "There is no such thing."},
        409: {"model": Problem, "description": "It cannot be done in the state things are in."},
        422: {"model": Problem, "description": "What was asked could not be understood, or not be used."},
        503: {"model": Problem, "description": "The database does not answer."},
    },
)


@router.get("/jobs", summary="The jobs")
def list_jobs(context: Shared, limit: Limit = 50, after: Annotated[int | None, Query(ge=1, lt=2**63)] = None) -> Jobs:
    with reading(context.engine) as session:
        found = jobs.newest(session, limit=limit + 1, before=after)
        told = tally.of_jobs(session, found[:limit])
        shown = [_job(job, told[job.id]) for job in found[:limit]]
    return Jobs(jobs=shown, after=shown[-1].job if len(found) > limit else None)


@router.post("/jobs", status_code=201, summary="Submit a folder")
def submit_job(
    context: Shared,
    looking: Looking,
    asked: Submission,
    idempotency_key: Annotated[
        str | None, Header(max_length=LONGEST_KEY, description="The same again: the job that was submitted with it.")
    ] = None,
) -> Job:
    chosen = context.settings
    number = submit(
        context.engine,
        Path(asked.folder),
        model=asked.model,
        priority=asked.priority,
        batch_images=chosen.batch_images,
        reuse=asked.reuse,
        runtime=asked.runtime,
        roots=chosen.root_folders,
        audit_rate=asked.audit_rate,
        submitted_by=looking.name,
        key=idempotency_key,
    )
    with reading(context.engine) as session:
        job = _told(session, number)
    if job.state in OPEN_JOBS:
        inspect(context, number)
    return job


@router.get("/jobs/{job}", summary="One job")
def get_job(context: Shared, job: Number) -> Job:
    with reading(context.engine) as session:
        return _told(session, job)


@router.post("/jobs/{job}/cancel", summary="Stop an open job; verdicts that exist stay")
def cancel_job(context: Shared, looking: Looking, job: Number) -> Job:
    with writing(context.engine) as session:
        jobs.cancel(session, job, actor=looking.name)
    return get_job(context, job)


@router.post("/jobs/{job}/retry", summary="Go on with a failed job, or inspect a done one's unreadable images again")
def retry_job(context: Shared, looking: Looking, job: Number) -> Job:
    with writing(context.engine) as session:
        jobs.retry(session, job, actor=looking.name)
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
def results_csv(context: Shared, job: Number) -> StreamingResponse:
    return StreamingResponse(_streamed(context, job, csv_lines), media_type=CSV)


@router.get("/jobs/{job}/results.jsonl", summary="All its verdicts, a JSON object on each line", **_as_text(LINES))
def results_jsonl(context: Shared, job: Number) -> StreamingResponse:
    lines = _streamed(context, job, lambda rows: (json.dumps(plain(row)) + "\n" for row in rows))
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
def add_review(context: Shared, looking: Looking, job: Number, said: Decision) -> Facts:
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


@router.get("/results/{result}", summary="Everything that one verdict rests on, as `inspectq trace --format json`")
def get_result(context: Shared, result: Number) -> Facts:
    with reading(context.engine) as session:
        row = results.get(session, result)
        found = lineage.trace(session, row.job_id, row.path, name_of)
        misfits = [misfit.says for misfit in resting.of_verdict(session, found)]
        return trace.fields(found, misfits)


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


def _told(session: Session, number: int) -> Job:
    job = jobs.get(session, number)
    return _job(job, tally.of_jobs(session, [job])[number])


def _job(job: InspectionJob, told: tally.Tally) -> Job:
    summary = {name: value for name, value in jobs.summary(job).items() if name in Job.model_fields}
    return Job(
        **summary,
        images_settled=told.settled,
        images_planned=told.planned,
        images_per_second=told.rate,
        seconds_left=told.seconds_left,
        ledger=told.ledger.to_dict() if told.ledger else None,
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


def _streamed(context: Context, job: int, lines: Callable[[Iterable[Facts]], Iterable[str]]) -> Iterator[str]:
    """One state of the database, however long the reader takes; few rows of it in memory."""
    with reading(context.engine) as session:
        jobs.get(session, job)

    def read() -> Iterator[str]:
        with reading(context.engine) as session:
            yield from lines(results.of_job(session, job))

    return read()
