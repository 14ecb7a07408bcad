"""Which images do several people look at more than once, so that it shows whether they agree?

A study of agreement, in the field's words an attribute agreement analysis: the same images of a job for two to five
reviewers, each of whom sees all of them in every trial. What people answer: db/agreement_answers.py.
Of a random choice half are images that did not pass, as far as there are any: among good parts alone everybody agrees.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, insert, select
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


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """An image that can be looked at."""

    result: int
    path: str
    reference: Answer | None
    is_suspect: bool  # known to be defective; where nothing is known, it did not pass


def start(session: Session, new: NewStudy) -> AgreementStudy:
    """Choose the images and write the study down. Raises NotFound, and Refused where it could not work."""
    job = jobs.get(session, new.job)
    if job.state is not JobState.DONE:
        raise Refused(f"Job {job.id} is {job.state.value}: a study takes its images from a job that is done.")
    reviewers = _checked(new)
    found = list(_readable(session, job) if new.reference is None else _referenced(session, job, new.reference))
    chosen = _balanced(found, new.images or (DEFAULT_IMAGES if new.reference is None else len(found)))
    _check("images that can be looked at", IMAGES, len(chosen))
    study = AgreementStudy(
        job_id=job.id,
        operating_point_id=job.operating_point_id,
        reviewers=reviewers,
        trials=new.trials,
        created_by=new.created_by,
    )
    session.add(study)
    session.flush()
    rows = [
        {"study_id": study.id, "position": at, "result_id": one.result, "path": one.path, "reference": one.reference}
        for at, one in enumerate(chosen)
    ]
    session.execute(insert(AgreementImage), rows)
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


def _readable(session: Session, job: InspectionJob) -> Iterator[_Candidate]:
    columns = (_R.id, _R.path, _R.disposition)
    query = select(*columns).where(_R.job_id == job.id, is_newest(), _R.score.is_not(None))
    for row in session.execute(query):
        suspect = row.disposition != Disposition.PASS
        yield _Candidate(result=row.id, path=row.path, reference=None, is_suspect=suspect)


def _referenced(session: Session, job: InspectionJob, reference: Mapping[str, Answer]) -> Iterator[_Candidate]:
    """Raises Refused where one is not among the job's readable images, or is called both good and defective."""
    forms = {typed: meant(typed, job.root) for typed in reference}
    wanted = sorted({form for some in forms.values() for form in some})
    results: dict[str, int] = {}
    for first in range(0, len(wanted), _ROWS_AT_ONCE):
        some = wanted[first : first + _ROWS_AT_ONCE]
        own = and_(_R.job_id == job.id, _R.path.in_(some), is_newest(), _R.score.is_not(None))
        results |= dict(session.execute(select(_R.path, _R.id).where(own)).all())
    known: dict[str, Answer] = {}
    for typed, answer in reference.items():
        path = next((form for form in forms[typed] if form in results), None)
        if path is None:
            raise Refused(f"The reference names {typed}, which is no readable image of job {job.id}: take it out.")
        if known.setdefault(path, answer) is not answer:
            raise Refused(f"The reference calls {path} both PASS and FAIL: say which it is.")
    for path, answer in known.items():
        yield _Candidate(result=results[path], path=path, reference=answer, is_suspect=answer is Answer.FAIL)


def _balanced(found: Sequence[_Candidate], images: int) -> list[_Candidate]:
    """At most so many of them in random order: half of them suspect ones, or as near to it as there are any."""
    suspects = [one for one in found if one.is_suspect]
    others = [one for one in found if not one.is_suspect]
    of_suspects = min(len(suspects), max((images + 1) // 2, images - len(others)))
    draw = random.SystemRandom()
    chosen = draw.sample(suspects, of_suspects) + draw.sample(others, min(len(others), images - of_suspects))
    draw.shuffle(chosen)
    return chosen
