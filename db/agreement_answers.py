"""Which image of a study comes before whom next, and what did they say of it?

Each trial is all of the images in an order of its own, the same whenever it is asked for: a tab that was closed goes on
where it was. The next trial begins when the one before it is complete. An answer is a row that is only ever added;
nobody takes one back, since a second thought would be a second look.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db import agreements, audit
from db.errors import Refused
from db.models import AgreementAnswer, AgreementImage, AgreementStudy, Answer, Disposition, InspectionResult
from db.seals import seal


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One look of one person at one image, without its name, score or verdict: those would answer with them."""

    image: int  # the row of the study's image
    result: int  # the model's verdict, by which its picture is asked for
    trial: int  # from 1
    number: int  # from 1, of the trial's images


@dataclass(frozen=True, kw_only=True)
class NewAnswer:
    """What a person says of the image that is before them."""

    study: int
    image: int
    trial: int
    answer: Answer
    reviewer: str
    account: str  # that typed it


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Everything about one image of a study."""

    path: str
    result: int
    reference: Answer | None
    verdict: Disposition  # the model's, when the study was started
    answers: dict[str, list[Answer]]  # by reviewer, in the order of the trials


def left(session: Session, study: AgreementStudy, reviewer: str) -> list[Turn]:
    """What this person has still to look at in all trials, in their order. Raises Refused for who is no reviewer."""
    if reviewer not in study.reviewers:
        raise Refused(f"{reviewer} is not among the reviewers of study {study.id}: they can look at its results only.")
    own = (AgreementAnswer.study_id == study.id, AgreementAnswer.reviewer == reviewer)
    query = select(AgreementAnswer.image_id, AgreementAnswer.trial).where(*own)
    done = {(image, trial) for image, trial in session.execute(query)}
    return [turn for turn in _turns(session, study, reviewer) if (turn.image, turn.trial) not in done]


def answer(session: Session, new: NewAnswer) -> AgreementAnswer:
    """Write an answer down, and once: the same said again, of the image that was answered last, changes nothing.

    Raises NotFound, and Refused where another image is before this person.
    """
    study = agreements.get(session, new.study)
    waiting = left(session, study, new.reviewer)
    now = waiting[0] if waiting else None
    if now is None or (now.image, now.trial) != (new.image, new.trial):
        return _said_before(session, new)
    number = _add(session, new)
    if number is None:  # another tab was faster
        return _said_before(session, new)
    audit.record(
        session,
        actor=new.account,
        action="agreement.answer",
        subject=agreements.subject(study.id),
        by=new.reviewer,
        trial=new.trial,
        image=new.image,
        answer=new.answer.value,
        sealed=[seal(session, "agreement_answer", number)],
    )
    return session.get_one(AgreementAnswer, number)


def given(session: Session, study: AgreementStudy) -> dict[str, int]:
    """How many answers each reviewer has given, of `turns`."""
    own = AgreementAnswer.study_id == study.id
    query = select(AgreementAnswer.reviewer, func.count()).where(own).group_by(AgreementAnswer.reviewer)
    counted: dict[str, int] = dict(session.execute(query).all())
    return {reviewer: counted.get(reviewer, 0) for reviewer in study.reviewers}


def turns(session: Session, study: AgreementStudy) -> int:
    """How many answers each reviewer has to give."""
    own = AgreementImage.study_id == study.id
    return study.trials * (session.scalar(select(func.count(AgreementImage.id)).where(own)) or 0)


def answered(session: Session, study: AgreementStudy) -> list[Answered]:
    """All images of the study with all answers."""
    said: dict[int, dict[str, list[Answer]]] = {}
    row = AgreementAnswer
    query = select(row.image_id, row.reviewer, row.answer).where(row.study_id == study.id).order_by(row.trial)
    for image, reviewer, word in session.execute(query):
        said.setdefault(image, {}).setdefault(reviewer, []).append(word)
    return [
        Answered(
            path=image.path,
            result=image.result_id,
            reference=image.reference,
            verdict=verdict,
            answers={name: said.get(image.id, {}).get(name, []) for name in study.reviewers},
        )
        for image, verdict in session.execute(
            select(AgreementImage, InspectionResult.disposition)
            .join(InspectionResult, InspectionResult.id == AgreementImage.result_id)
            .where(AgreementImage.study_id == study.id)
            .order_by(AgreementImage.position)
        )
    ]


def _turns(session: Session, study: AgreementStudy, reviewer: str) -> Iterator[Turn]:
    own = AgreementImage.study_id == study.id
    images = session.scalars(select(AgreementImage).where(own).order_by(AgreementImage.position)).all()
    last = None
    for trial in range(1, study.trials + 1):
        ordered = _ordered(images, f"{study.id}/{reviewer}/{trial}")
        if ordered[0] is last:  # nobody sees an image twice in a row
            ordered.append(ordered.pop(0))
        last = ordered[-1]
        for number, image in enumerate(ordered, start=1):
            yield Turn(image=image.id, result=image.result_id, trial=trial, number=number)


def _ordered(images: Sequence[AgreementImage], key: str) -> list[AgreementImage]:
    return sorted(images, key=lambda image: hashlib.sha256(f"{key}/{image.position}".encode()).digest())


def _add(session: Session, new: NewAnswer) -> int | None:
    """The row's number; None where there is an answer already."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {"study_id": new.study, "image_id": new.image, "reviewer": new.reviewer, "account": new.account}
    added = insert(AgreementAnswer).values(**values, trial=new.trial, answer=new.answer)
    once = added.on_conflict_do_nothing(index_elements=["image_id", "reviewer", "trial"])
    return session.scalar(once.returning(AgreementAnswer.id))


def _said_before(session: Session, new: NewAnswer) -> AgreementAnswer:
    """The newest answer of this person, where it is this very one. Raises Refused."""
    own = (AgreementAnswer.study_id == new.study, AgreementAnswer.reviewer == new.reviewer)
    newest = session.scalar(select(AgreementAnswer).where(*own).order_by(AgreementAnswer.id.desc()).limit(1))
    if newest is None or (newest.image_id, newest.trial) != (new.image, new.trial):
        raise Refused("Another image is before you now: it was not saved. Answer the one that you see.")
    if newest.answer is not new.answer:
        raise Refused(f"You have answered {newest.answer.value} already, and no answer is taken back.")
    return newest
