"""Which images do several people look at more than once, so that it shows whether they agree?

A study of agreement, in the field's words an attribute agreement analysis: the same images of a job for two to five
reviewers, each of whom sees all of them in every trial. What people answer: db/agreement_answers.py.
Of a random choice half are images that did not pass, as far as there are any: among good parts alone everybody agrees.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, insert, select
from sqlalchemy.orm import Session

from db import audit, jobs
from db.errors import NotFound, Refused
from db.models import AgreementImage, AgreementStudy, Answer, Disposition, InspectionJob, InspectionResult, JobState
from db.paths import meant
from db.reviews import check_name, is_newest
from db.seals import seal

REVIEWERS = (2, 5)  # at least, at most
TRIALS = (1, 3)
IMAGES = (2, 1000)
DEFAULT_IMAGES = 50
_ROWS_AT_ONCE = 500
_R = InspectionResult


@dataclass(frozen=True, kw_only=True)
class NewStudy:
    """Who is to look at which images, and how often."""

    job: int
    reviewers: Sequence[str]
    created_by: str
    trials: int = 2
    images: int | None = None  # at most; None: all that the reference names, or DEFAULT_IMAGES
    reference: Mapping[str, Answer] | None = None  # what is known, by paths as a person writes them: of these images


def start(session: Session, new: NewStudy) -> AgreementStudy:
    """Choose the images and write the study down. Raises NotFound, and Refused where it could not work."""
    job = jobs.get(session, new.job)
    if job.state is not JobState.DONE:
        raise Refused(f"Job {job.id} is {job.state.value}: a study takes its images from a job that is done.")
    reviewers = _checked(new)
    chosen = _chosen(session, job, new)
    study = AgreementStudy(
        job_id=job.id,
        operating_point_id=job.operating_point_id,
        reviewers=reviewers,
        trials=new.trials,
        created_by=new.created_by,
    )
    session.add(study)
    session.flush()
    _add_images(session, study, chosen)
    audit.record(
        session,
        actor=new.created_by,
        action="agreement.start",
        subject=subject(study.id),
        job=job.id,
        images=len(chosen),
        reviewers=reviewers,
        trials=new.trials,
        sealed=[seal(session, "agreement_study", study.id)],
    )
    return study


def get(session: Session, number: int) -> AgreementStudy:
    """The study with this number. Raises NotFound."""
    found = session.get(AgreementStudy, number)
    if found is None:
        raise NotFound(f"There is no agreement study {number}. `inspectq agreement list` shows those there are.")
    return found


def every(session: Session, *, job: int | None = None) -> Sequence[AgreementStudy]:
    """All studies, or those of a job, newest first."""
    query = select(AgreementStudy).order_by(AgreementStudy.id.desc())
    return session.scalars(query if job is None else query.where(AgreementStudy.job_id == job)).all()


def subject(study: int) -> str:
    """What events on a study and its answers are about."""
    return f"agreement:{study}"


def _checked(new: NewStudy) -> list[str]:
    """The names of the reviewers."""
    names = [name.strip() for name in new.reviewers]
    for name in names:
        check_name(name)
    _check("reviewers", REVIEWERS, len(names))
    _check("trials", TRIALS, new.trials)
    if new.images is not None:
        _check("images", IMAGES, new.images)
    if len(set(names)) < len(names):
        raise Refused("Two reviewers have the same name: each person is named once.")
    return names


def _check(what: str, between: tuple[int, int], number: int) -> None:
    least, most = between
    if not least <= number <= most:
        raise Refused(f"A study takes {least} to {most} {what}, not {number}.")


def _chosen(session: Session, job: InspectionJob, new: NewStudy) -> dict[int, Answer | None]:
    """By verdict, in the order of their positions, what is known of the images. Raises Refused."""
    if new.reference is None:
        known: Mapping[int, Answer] = {}
        chosen = _balanced(*_by_verdict(session, job), new.images or DEFAULT_IMAGES)
    else:
        known = _known(session, job, new.reference)
        chosen = _balanced(*_by_reference(known), new.images or len(known))
    _check("images that can be looked at", IMAGES, len(chosen))
    return {result: known.get(result) for result in chosen}


def _add_images(session: Session, study: AgreementStudy, chosen: Mapping[int, Answer | None]) -> None:
    paths = dict(session.execute(select(_R.id, _R.path).where(_R.id.in_(chosen))).all())
    rows = [
        {"study_id": study.id, "position": at, "result_id": result, "path": paths[result], "reference": reference}
        for at, (result, reference) in enumerate(chosen.items())
    ]
    session.execute(insert(AgreementImage), rows)


def _readable(job: InspectionJob) -> ColumnElement[bool]:
    """Whether a verdict counts, and is on an image that can be looked at."""
    return and_(_R.job_id == job.id, is_newest(), _R.score.is_not(None))


def _by_verdict(session: Session, job: InspectionJob) -> tuple[list[int], list[int]]:
    """The verdicts that are not PASS, and those that are."""
    of_job = select(_R.id).where(_readable(job)).order_by(_R.id)
    suspects = session.scalars(of_job.where(_R.disposition != Disposition.PASS)).all()
    return list(suspects), list(session.scalars(of_job.where(_R.disposition == Disposition.PASS)))


def _by_reference(known: Mapping[int, Answer]) -> tuple[list[int], list[int]]:
    """The verdicts on images that are known to be defective, and the others."""
    suspects = [result for result, answer in known.items() if answer is Answer.FAIL]
    return suspects, [result for result, answer in known.items() if answer is not Answer.FAIL]


def _known(session: Session, job: InspectionJob, reference: Mapping[str, Answer]) -> dict[int, Answer]:
    """By verdict. Raises Refused where a path is no readable image of the job, or is called both good and defective."""
    forms = {typed: meant(typed, job.root) for typed in reference}
    wanted = sorted({form for some in forms.values() for form in some})
    results: dict[str, int] = {}
    for first in range(0, len(wanted), _ROWS_AT_ONCE):
        of_these = _R.path.in_(wanted[first : first + _ROWS_AT_ONCE])
        results |= dict(session.execute(select(_R.path, _R.id).where(_readable(job), of_these)).all())
    known: dict[int, Answer] = {}
    for typed, answer in reference.items():
        result = next((results[form] for form in forms[typed] if form in results), None)
        if result is None:
            raise Refused(f"The reference names {typed}, which is no readable image of job {job.id}: take it out.")
        if known.setdefault(result, answer) is not answer:
            raise Refused(f"The reference calls {typed} both PASS and FAIL: say which it is.")
    return known


def _balanced(suspects: Sequence[int], others: Sequence[int], images: int) -> list[int]:
    """At most so many of them in random order: half of them suspects, or as near to it as there are any."""
    of_suspects = min(len(suspects), max((images + 1) // 2, images - len(others)))
    draw = random.SystemRandom()
    chosen = draw.sample(suspects, of_suspects) + draw.sample(others, min(len(others), images - of_suspects))
    draw.shuffle(chosen)
    return chosen
