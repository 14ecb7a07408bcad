"""What does the database say about a job as a whole, and what stands in the way of relying on it?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from console.thresholds import Gives, outcomes
from db import definitions, evaluations, jobs, ledgers, operating_points, resting, results, reviews, samples
from db.engine import Session
from db.errors import Refused
from db.jobs import Ledger
from db.models import OPEN_JOBS, Evaluation, InspectionJob, JobState, OperatingPoint, Review, SampleDraw
from db.resting import Rests
from db.results import RuntimeCount
from trainer.leakage_words import leaking_words

_REFERENCE = ("torch", "fp32")
_MOST_NAMED = 10  # of what does not fit; `inspectq audit verify` names more


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A job that has ended, and what its verdicts rest on."""

    job: InspectionJob
    ledger: Ledger
    open_images: int  # of a failed job: without a verdict, and not cancelled either
    runtimes: list[RuntimeCount]
    points: list[OperatingPoint]  # that any of its verdicts was judged by
    evaluations: list[Evaluation]  # that applied when the verdicts were given, their runtime's first
    later_evaluations: list[Evaluation]
    gives: list[Gives]  # what its limits give, and on the images of which evaluations
    given_on: list[Evaluation]  # those of these evaluations that are not among the others
    reviews: list[Review]  # decisions of people, oldest first
    draws: list[SampleDraw]  # samples of the images that passed
    misfits: list[str]  # what does not fit the chain of events; a sentence each

    @property
    def rests(self) -> Rests:
        """What has to fit."""
        return Rests(
            jobs=[self.job],
            points=self.points,
            evaluations=[*self.evaluations, *self.later_evaluations, *self.given_on],
            reviews=self.reviews,
            draws=self.draws,
        )


def lot_of(session: Session, job_id: int) -> Lot:
    """Read and checked. Raises NotFound, and Refused where the job goes on."""
    job = jobs.get(session, job_id)
    if job.state in OPEN_JOBS:
        raise Refused(
            f"Job {job_id} is {job.state.value}: there is evidence for it when it has ended. "
            f"Follow it: inspectq jobs show {job_id}"
        )
    runtimes = results.runtimes(session, job_id)
    engine, precision = (runtimes[0].engine, runtimes[0].precision) if runtimes else _REFERENCE
    time = results.newest_time(session, job_id) or job.finished_at or job.submitted_at
    then, since = evaluations.applying_at(session, job.checkpoint, time, engine=engine, precision=precision)
    used = {job.operating_point_id, *results.operating_points(session, job_id)}
    points = [operating_points.get(session, number) for number in sorted(used)]
    gives = outcomes(session, job.operating_point)
    others = {each.evaluation for each in gives} - {row.id for row in (*then, *since)}
    given_on = [evaluations.get(session, number) for number in sorted(others)]
    lot = Lot(
        job=job,
        ledger=jobs.ledger(session, job_id),
        open_images=next(counted.open for counted in ledgers.of_every_job(session, only=job_id)),
        runtimes=runtimes,
        points=points,
        evaluations=list(then),
        later_evaluations=list(since),
        gives=gives,
        given_on=given_on,
        reviews=list(reviews.of_job(session, job_id)),
        draws=list(samples.of_job(session, job_id)),
        misfits=[],
    )
    found = _misfits(session, lot.rests)
    named, more = list(islice(found, _MOST_NAMED)), sum(1 for _ in found)
    return replace(lot, misfits=named + ([f"{more} more: see inspectq audit verify."] if more else []))


def _misfits(session: Session, rests: Rests) -> Iterator[str]:
    for name in definitions.altered_views(session.connection()):
        yield f"The view {name} is not as inspectq makes it."
    for misfit in resting.of_job(session, rests):
        yield misfit.says


def warnings(lot: Lot) -> list[str]:
    """What stands in the way of relying on the verdicts; a sentence each."""
    job, said = lot.job, [f"DOES NOT FIT what was recorded: {says}" for says in lot.misfits]
    if job.operating_point.approval is None:
        said.append(f"Its limits, operating point {job.operating_point_id}, are UNAPPROVED.")
    if not lot.evaluations:
        when = " when the verdicts were given" if lot.later_evaluations else ""
        said.append(f"The model was not evaluated on images that it has not learned from{when}.")
    said += [
        f"Evaluation e{row.id} is {leaking_words(row.leaking, row.images, row.split)}."
        for row in lot.evaluations
        if row.leaking
    ]
    said += [f"Evaluation e{row.id} was made after the verdicts were given." for row in lot.later_evaluations]
    if job.state is not JobState.DONE:
        said.append(f"The job is {job.state.value}: not every image that was submitted has a verdict.")
    if lot.ledger.unreadable:
        said.append(f"Of the images {lot.ledger.unreadable} could not be read, and were not judged.")
    if not lot.ledger.closed and not lot.open_images:
        said.append("The ledger does not close: see inspectq audit verify.")
    return said
