"""What may a program ask about jobs: submit, list, get, cancel, retry?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query

from console.job_facts import job_facts, job_lines
from console.notifying import notify_fields
from console.web.api.words import Facts, Job, Jobs, Limit, Notify, Submission
from console.web.context import Number, Shared
from console.web.jobs import inspect
from console.web.people import Inspecting
from db import jobs, tally, webhooks
from db.engine import Session, reading, writing
from db.models import OPEN_JOBS, InspectionJob, Webhook
from db.submissions import LONGEST_KEY
from scheduler import submission

router = APIRouter()


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
    submission.refuse_relative(Path(asked.folder))
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
