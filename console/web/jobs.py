"""The pages about jobs: the list, one job, and submitting, cancelling and going on."""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from console import escapes
from console.drift import defect_rate_words, drift_words, is_alarm
from console.notifying import notify_words
from console.web.context import Context, Number, Shared
from console.web.people import Inspecting
from db import agreements, checkpoints, drift, jobs, review_queue, samples, tally, webhooks
from db.engine import Session, reading, writing
from db.errors import InspectqError
from db.explanation import explain
from db.gallery import Wanted, count, scores_in_cells
from db.models import OPEN_JOBS, Checkpoint, Disposition, InspectionJob, JobState, ModelStatus
from db.tally import Tally
from scheduler.receivers import receivers
from scheduler.submission import Submission, refuse_relative, submit

router = APIRouter()
NEWEST = 50
LOOK_SECONDS = 1.0  # between two looks for what has changed
_SETTLES_WITHIN = timedelta(minutes=1)
_LEAVE_SECONDS = 10.0  # for the page to be replaced: it would take the end of the stream for a fault
_LONGEST_LOOK_SECONDS = 3600.0  # then the browser asks anew, so that none that it forgot is served for ever


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A line of the list."""

    job: InspectionJob
    tally: Tally
    alarm: bool  # it does not look like what its model was judged on


@router.get("/", response_class=HTMLResponse)
def begin() -> Response:
    return RedirectResponse("/jobs")


@router.get("/jobs", response_class=HTMLResponse)
def list_jobs(context: Shared) -> HTMLResponse:
    with reading(context.engine) as session:
        models = _models(session)
        return context.page("jobs.html.j2", rows=_listed(session), models=models, form=_Form(), **_where(context))


@router.get("/jobs/live", response_class=EventSourceResponse)
async def follow_jobs(context: Shared) -> AsyncIterable[ServerSentEvent]:
    """The lines of the list, each time one has changed."""

    def lines() -> str:
        with reading(context.engine) as session:
            return context.text("jobs_rows.html.j2", rows=_listed(session))

    before = None
    with anyio.move_on_after(_LONGEST_LOOK_SECONDS):
        while True:
            now = await run_sync(lines)
            if now != before:
                yield ServerSentEvent(event="jobs", raw_data=now)
            before = now
            await anyio.sleep(LOOK_SECONDS)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What a person typed, to be shown again where it could not be used."""

    folder: str = ""
    model: str = ""
    priority: int = 0
    audit_percent: float = 0.0
    notify: str = ""
    problem: str = ""


@router.post("/jobs", response_class=HTMLResponse)
def submit_job(
    context: Shared,
    looking: Inspecting,
    folder: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "",
    priority: Annotated[int, Form(ge=-1000, le=1000)] = 0,
    audit_percent: Annotated[float, Form(ge=0, le=100)] = 0.0,
    notify: Annotated[str, Form()] = "",
) -> Response:
    asked = Submission(
        folder=_typed(folder),
        model=model or None,
        priority=priority,
        audit_rate=audit_percent / 100 or None,
        notify=notify.strip() or None,
    )
    try:
        refuse_relative(asked.folder)
        job = submit(context.engine, asked, context.settings, submitted_by=looking.account)
    except InspectqError as error:
        form = _Form(
            folder=folder,
            model=model,
            priority=priority,
            audit_percent=audit_percent,
            notify=notify,
            problem=str(error),
        )
        with reading(context.engine) as session:
            rows, models = _listed(session), _models(session)
            return context.page("jobs.html.j2", status=422, rows=rows, models=models, form=form, **_where(context))
    inspect(context, job)
    return RedirectResponse(f"/jobs/{job}", status_code=303)


def _typed(folder: str) -> Path:
    try:
        return Path(folder or "(no folder named)").expanduser()
    except RuntimeError:  # the home of somebody who is none
        return Path(folder)


@router.get("/jobs/{job}", response_class=HTMLResponse)
def show_job(context: Shared, job: Number) -> HTMLResponse:
    with reading(context.engine) as session:
        return context.page("job.html.j2", **_told(context, session, job))


@router.get("/jobs/{job}/live", response_class=EventSourceResponse)
async def follow_job(context: Shared, job: Number) -> AsyncIterable[ServerSentEvent]:
    """How far an open job is, each time that has changed; then that it has ended."""

    def line() -> tuple[str, bool]:
        with reading(context.engine) as session:
            found = jobs.get(session, job)
            told = tally.of_jobs(session, [found])[job]
            return context.text("progress.html.j2", job=found, tally=told), found.state in OPEN_JOBS

    before, is_open = None, True
    with anyio.move_on_after(_LONGEST_LOOK_SECONDS):
        while is_open:
            now, is_open = await run_sync(line)
            if now != before:
                yield ServerSentEvent(event="progress", raw_data=now)
            before = now
            await anyio.sleep(LOOK_SECONDS if is_open else 0)
        yield ServerSentEvent(event="ended", raw_data="ended")
        await anyio.sleep(_LEAVE_SECONDS)


@router.get("/jobs/{job}/scores")
def scores(context: Shared, job: Number) -> JSONResponse:
    """How many images have a score in each thousandth, and the limits."""
    with reading(context.engine) as session:
        found = jobs.get(session, job)
        point = found.operating_point
        cells = scores_in_cells(session, found)
        words = (Disposition.PASS, Disposition.REVIEW, Disposition.FAIL)
        given = [count(session, found, Wanted(disposition=word)) for word in words]
    return JSONResponse({"cells": cells, "pass_below": point.pass_below, "fail_from": point.fail_from, "given": given})


@router.post("/jobs/{job}/cancel")
def cancel(context: Shared, looking: Inspecting, job: Number) -> Response:
    with writing(context.engine) as session:
        jobs.cancel(session, job, actor=looking.account)
    return RedirectResponse(f"/jobs/{job}", status_code=303)


@router.post("/jobs/{job}/retry")
def retry(context: Shared, looking: Inspecting, job: Number) -> Response:
    with writing(context.engine) as session:
        interrupted = context.embedded is not None and jobs.get(session, job).state in OPEN_JOBS
        if not interrupted:
            jobs.retry(session, job, actor=looking.account)
    inspect(context, job)
    return RedirectResponse(f"/jobs/{job}", status_code=303)


@router.post("/jobs/{job}/sample")
def draw_sample(
    context: Shared, looking: Inspecting, job: Number, images: Annotated[int, Form(ge=1, le=1_000_000)]
) -> Response:
    with writing(context.engine) as session:
        samples.draw(session, jobs.get(session, job), images=images, drawn_by=looking.account)
    return RedirectResponse(f"/jobs/{job}", status_code=303)


def inspect(context: Context, job: int) -> None:
    """Have it inspected, where no cluster does."""
    if context.embedded is not None:
        context.embedded.inspect(job)


def _listed(session: Session) -> list[Listed]:
    found = jobs.newest(session, limit=NEWEST)
    told = tally.of_jobs(session, found)
    return [Listed(job=job, tally=told[job.id], alarm=is_alarm(drift.of_job(session, job))) for job in found]


def _models(session: Session) -> Sequence[Checkpoint]:
    return [row for row in checkpoints.every(session) if row.status is not ModelStatus.RETIRED]


def _where(context: Context) -> dict[str, Any]:
    chosen = context.settings
    roots = [root.decode(errors="replace") for root in chosen.root_folders]
    return {"roots": roots, "can_notify": receivers(chosen) is not None}


def _told(context: Context, session: Session, number: int) -> dict[str, Any]:
    """What the page of a job shows."""
    job = jobs.get(session, number)
    is_open = job.state in OPEN_JOBS
    compared, told = drift.of_job(session, job), tally.of_jobs(session, [job])[number]
    sampled = None if is_open else samples.sampled(session, job)
    return {
        "job": job,
        "tally": told,
        "is_open": is_open,
        "is_ours": context.embedded is not None and context.embedded.has(number),
        "embedded": context.embedded is not None,
        "can_retry": job.state is JobState.FAILED
        or (job.state is JobState.DONE and told.ledger is not None and told.ledger.unreadable > 0)
        or (is_open and context.embedded is not None),
        "explanation": explain(session, job, cluster=context.embedded is None),
        "likeness": drift_words(job, compared),
        "alarm": is_alarm(compared),
        "is_settling": compared is None and _has_just_ended(job),
        "defect_rate": defect_rate_words(compared),
        "studies": agreements.every(session, job=number),
        "notify": notify_words(job, webhooks.of_jobs(session, [number]).get(number)),
        "review": None if is_open else review_queue.progress(session, number),
        "escapes": [] if sampled is None else escapes.words(sampled),
        "needs": [] if sampled is None or not sampled.drawn else escapes.needs(sampled),
        "left": 0 if sampled is None else sampled.passed - sampled.drawn,
    }


def _has_just_ended(job: InspectionJob) -> bool:
    """The comparison, and the sample that is drawn with it, are a moment away then."""
    ended = job.finished_at if job.state is JobState.DONE else None
    return ended is not None and datetime.now(UTC) - ended < _SETTLES_WITHIN
