"""What may a program ask about verdicts: pages and streams of them, what they rest on, and what people decided?"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from console.evidence import trace
from console.evidence.facts import review_facts
from console.results import csv_lines, plain
from console.web.api.words import Decision, Facts, Limit, Results
from console.web.context import Context, Number, Shared
from console.web.people import Inspecting
from db import gallery, jobs, lineage, resting, results, reviews
from db.engine import Session, reading, writing
from db.gallery import Shown, Sort, Wanted
from db.models import Disposition, ReviewDecision
from db.reviews import NewReview
from vision.runtimes import name_of

router = APIRouter()


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


def _traced(session: Session, job: int, path: str) -> Facts:
    found = lineage.trace(session, job, path, name_of)
    return trace.fields(found, [misfit.says for misfit in resting.of_verdict(session, found)])


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
