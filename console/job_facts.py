"""What is told of one job: `inspectq jobs show`, for a script and for a person."""

from dataclasses import asdict
from typing import Any

from console import escapes
from console.drift import defect_rate_words, drift_fields, drift_words
from console.notifying import notify_fields, notify_words
from db import drift, jobs, results, samples, webhooks
from db.engine import Session
from db.explanation import explain, open_batches
from db.models import InspectionJob, JobState


def job_facts(session: Session, number: int, *, cluster: bool) -> dict[str, Any]:
    """For scripts. `cluster`: services elsewhere inspect. Raises NotFound."""
    job = jobs.get(session, number)
    return {
        **_shared(session, job, cluster=cluster),
        "drift": drift_fields(drift.of_job(session, job)),
        "sample_of_passed": escapes.fields(samples.sampled(session, job)),
        "notify": notify_fields(job, webhooks.of_jobs(session, [number]).get(number)),
    }


def job_lines(session: Session, number: int, *, cluster: bool) -> dict[str, Any]:
    """The same in sentences."""
    job = jobs.get(session, number)
    compared = drift.of_job(session, job)
    return {
        **_shared(session, job, cluster=cluster),
        "likeness": drift_words(job, compared),
        "defect_rate": defect_rate_words(compared),
        "sample_of_passed": " ".join(escapes.words(samples.sampled(session, job))) or None,
        "notify": notify_words(job, webhooks.of_jobs(session, [number]).get(number)),
    }


def _shared(session: Session, job: InspectionJob, *, cluster: bool) -> dict[str, Any]:
    ledger = jobs.ledger(session, job.id)
    done, planned = jobs.progress(session, job.id)
    return {
        **jobs.summary(job),
        "images_done": done,
        "images_planned": planned,
        "ledger": ledger.to_dict(),
        "ledger_closed": ledger.closed and job.state in (JobState.DONE, JobState.CANCELLED),
        "judged_by": [asdict(counted) for counted in results.runtimes(session, job.id)],
        "batches_open": asdict(open_batches(session, job.id)),
        "explanation": explain(session, job, cluster=cluster),
    }
