"""How many defective parts pass? A random sample of the images that passed, for people to look at without being told.

In the queue (db/review_queue.py) nothing tells a passed image from the others. Images are drawn without putting any
back, and come in random order: whoever stops anywhere has looked at a random sample. Another draw adds to those before
it, as long as the job is judged by the same limits; a sample of what other limits let pass says nothing of these.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, insert, select
from sqlalchemy.orm import Session

from db import audit, jobs
from db.errors import Refused
from db.models import (
    OPEN_JOBS,
    Disposition,
    InspectionJob,
    InspectionResult,
    Review,
    ReviewDecision,
    SampledImage,
    SampleDraw,
)
from db.reviews import counting, is_newest, same_bytes
from db.seals import seal

_ROWS_AT_ONCE = 500
_R = InspectionResult


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """What people found in a job's sample. Counts of images, all of which passed by the limits that count now."""

    passed: int  # in the job
    drawn: int
    good: int  # decided: PASS
    defective: int  # decided: FAIL
    unsure: int

    @property
    def decided(self) -> int:
        """Images about which a person was sure."""
        return self.good + self.defective


def draw(session: Session, job: InspectionJob, *, images: int, drawn_by: str) -> SampleDraw:
    """Draw so many images at random of those that passed and were not drawn before, or all where there are fewer.

    Raises Refused where the job goes on, or none is left.
    """
    if job.state in OPEN_JOBS:
        raise Refused(f"Job {job.id} is {job.state.value}: a sample can be drawn when it has ended.")
    left = list(session.scalars(select(_R.id).where(_passed(job), ~_is_drawn(job)).order_by(_R.id)))
    if not left or images < 1:
        raise Refused(f"Of the images of job {job.id} that passed none is left to be drawn.")
    chosen = random.SystemRandom().sample(left, min(images, len(left)))
    drawn = SampleDraw(
        job_id=job.id,
        operating_point_id=job.operating_point_id,
        revision=job.revision,
        passed=passed(session, job),
        images=len(chosen),
        drawn_by=drawn_by,
    )
    session.add(drawn)
    session.flush()
    for first in range(0, len(chosen), _ROWS_AT_ONCE):
        some = chosen[first : first + _ROWS_AT_ONCE]
        rows = {row.id: row for row in session.execute(select(_R.id, _R.path, _R.sha256).where(_R.id.in_(some)))}
        session.execute(
            insert(SampledImage),
            [
                {
                    "draw_id": drawn.id,
                    "position": first + at,
                    "job_id": job.id,
                    "path": rows[number].path,
                    "sha256": rows[number].sha256,
                }
                for at, number in enumerate(some)
            ],
        )
    audit.record(
        session,
        actor=drawn_by,
        action="sample.draw",
        subject=f"job:{job.id}",
        images=drawn.images,
        passed=drawn.passed,
        operating_point=job.operating_point_id,
        sealed=[seal(session, "sample_draw", drawn.id)],
    )
    return drawn


def draw_by_rate(session: Session, job: int) -> SampleDraw | None:
    """Draw the sample that the job was submitted with, once for its limits; None where it wants none, or has it."""
    found = jobs.get(session, job)
    if found.audit_rate is None or found.state in OPEN_JOBS or _draws(session, found):
        return None
    wanted = math.ceil(found.audit_rate * passed(session, found))
    return draw(session, found, images=wanted, drawn_by=audit.SYSTEM) if wanted else None


def passed(session: Session, job: InspectionJob) -> int:
    """How many images of the job passed, by the limits that count now."""
    return session.scalar(select(func.count(_R.id)).where(_passed(job))) or 0


def sampled(session: Session, job: InspectionJob) -> Sampled:
    """What was found in the sample of what passes by the limits that count now."""
    decision = counting(Review.decision)
    query = select(decision, func.count(_R.id)).where(_passed(job), _is_drawn(job)).group_by(decision)
    counted: dict[ReviewDecision | None, int] = dict(session.execute(query).all())
    return _sampled(passed(session, job), counted)


def _sampled(passed: int, counted: Mapping[ReviewDecision | None, int]) -> Sampled:
    return Sampled(
        passed=passed,
        drawn=sum(counted.values()),
        good=counted.get(ReviewDecision.PASS, 0),
        defective=counted.get(ReviewDecision.FAIL, 0),
        unsure=counted.get(ReviewDecision.UNSURE, 0),
    )


def of_model(session: Session, checkpoint: int) -> dict[int, list[Sampled]]:
    """What was found in the samples of the model's jobs: of each job that has one, by the limits that count in it now.

    By operating point, the newest first. `passed` is how many did when the job's newest sample was drawn: counting anew
    would read every verdict that the model has given.
    """
    draws = select(SampleDraw).join(InspectionJob, _counts_now()).where(InspectionJob.checkpoint_id == checkpoint)
    newest = {row.job_id: row for row in session.scalars(draws.order_by(SampleDraw.id))}
    counted: dict[int, dict[ReviewDecision | None, int]] = defaultdict(dict)
    for job, decision, images in session.execute(_found(checkpoint)):
        counted[job][decision] = images
    found: dict[int, list[Sampled]] = defaultdict(list)
    for row in sorted(newest.values(), key=lambda row: (-row.operating_point_id, row.job_id)):
        found[row.operating_point_id].append(_sampled(row.passed, counted[row.job_id]))
    return dict(found)


def of_job(session: Session, job: int) -> Sequence[SampleDraw]:
    """All samples that were drawn in the job, oldest first."""
    return session.scalars(select(SampleDraw).where(SampleDraw.job_id == job).order_by(SampleDraw.id)).all()


def _counts_now() -> ColumnElement[bool]:
    """Whether a draw is of the job and by the limits that count in it."""
    own = InspectionJob.id == SampleDraw.job_id
    return and_(own, InspectionJob.operating_point_id == SampleDraw.operating_point_id)


def _found(checkpoint: int) -> Select[int, ReviewDecision | None, int]:
    """(job, decision, images) of what was drawn in the model's jobs and still passes."""
    image = (SampledImage.job_id == _R.job_id, SampledImage.path == _R.path, same_bytes(SampledImage.sha256, _R.sha256))
    drawn = (
        select(_R.job_id, _R.id, counting(Review.decision).label("decision"))
        .select_from(SampleDraw)
        .join(InspectionJob, _counts_now())
        .join(SampledImage, SampledImage.draw_id == SampleDraw.id)
        .join(_R, and_(*image))
        .where(InspectionJob.checkpoint_id == checkpoint, is_newest(), _R.disposition == Disposition.PASS)
        .distinct()
        .subquery()
    )
    return select(drawn.c.job_id, drawn.c.decision, func.count()).group_by(drawn.c.job_id, drawn.c.decision)


def _passed(job: InspectionJob) -> ColumnElement[bool]:
    return and_(_R.job_id == job.id, is_newest(), _R.disposition == Disposition.PASS)


def _is_drawn(job: InspectionJob) -> ColumnElement[bool]:
    """Whether the image was drawn from among those that pass by the job's limits."""
    by_these = select(SampleDraw.id).where(
        SampleDraw.job_id == job.id, SampleDraw.operating_point_id == job.operating_point_id
    )
    image = (SampledImage.job_id == _R.job_id, SampledImage.path == _R.path)
    same = same_bytes(SampledImage.sha256, _R.sha256)
    return select(SampledImage.id).where(*image, same, SampledImage.draw_id.in_(by_these)).exists()


def _draws(session: Session, job: InspectionJob) -> bool:
    own = (SampleDraw.job_id == job.id, SampleDraw.operating_point_id == job.operating_point_id)
    return session.scalar(select(SampleDraw.id).where(*own).limit(1)) is not None
