"""What is said of something that is not as it was recorded?"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from db.results import Sealed
from db.unreported import Unreported

# A table's records, as a person calls them.
WORDS = {
    "dataset_snapshot": "data set",
    "training_run": "training run",
    "checkpoint": "model",
    "operating_point": "operating point",
    "operating_point_approval": "approval",
    "evaluation": "evaluation",
    "runtime_parity": "runtime comparison",
    "inspection_job": "job",
    "job_drift": "job comparison",
    "review": "review",
    "sample_draw": "sample",
    "agreement_study": "agreement study",
    "agreement_answer": "agreement answer",
    "training_image": "list of training images of data set",
}


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Something that is not as it was recorded."""

    what: str  # "verdicts", a record's table, "job", "ledger", "event", "row", "model file", or "definition"
    says: str  # a sentence
    event: int | None = None  # the event that it does not fit; None where none reports it
    job: int | None = None
    batch: int | None = None


def unreported_record(table: str, number: int) -> Misfit:
    """Of a record that no event reports."""
    says = f"{WORDS[table].capitalize()} {number} was added without an event."
    return Misfit(what=table, says=says, job=number if table == "inspection_job" else None)


def unreported_verdicts(found: Unreported, rejudged: Container[tuple[int, int]]) -> Iterator[Misfit]:
    """Of verdicts that no event reports."""
    for batch, job, verdicts in found.batches():
        says = f"Batch {batch} of job {job}: {_many(verdicts)} without an event."
        yield Misfit(what="verdicts", job=job, batch=batch, says=says)
    for job, revision, batch, verdicts in found.revisions():
        if (job, revision) not in rejudged:
            says = f"Job {job}, revision {revision}: {_many(verdicts)} without an event, such as in batch {batch}."
            yield Misfit(what="verdicts", job=job, batch=batch, says=says)


def difference(now: Sealed, then: Sealed) -> str:
    if now.images == then.images:
        return f"of {_many(now.images)} at least one is not as it was recorded"
    if now.images < then.images:
        return f"of {_many(then.images)} {then.images - now.images} {_are(then.images - now.images)} missing"
    return f"{_many(now.images)}, {now.images - then.images} more than were recorded"


def _many(verdicts: int) -> str:
    return f"{verdicts} verdict{'' if verdicts == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
