"""Does each person see every image in every trial, once and in their own order, and does every answer stay written?"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from db import agreement_answers, agreements, audit, jobs, operating_points, rejudging
from db.agreement_answers import NewAnswer, Turn
from db.agreements import NewStudy
from db.engine import Engine, reading, writing
from db.errors import NotFound, Refused
from db.models import AgreementAnswer, AgreementImage, AgreementStudy, Answer, AuditEvent, Disposition
from db.verification import Verification
from tests.db.test_reviews import judged_job
from tests.rows import submit_job
from tests.tampering import tampering

# FAIL from 0.8, PASS below 0.2.
MANY: Mapping[str, float | None] = {
    **{f"good/{n:02}.png": 0.1 for n in range(20)},
    **{f"bad/{n}.png": 0.9 for n in range(3)},
    "doubt.png": 0.5,
    "broken.png": None,
}
PEOPLE = ("anna", "ben")


def begin(engine: Engine, job: int, reviewers: Sequence[str] = PEOPLE, **chosen: Any) -> AgreementStudy:
    with writing(engine) as session:
        new = NewStudy(job=job, reviewers=reviewers, created_by="tester", **chosen)
        return agreements.start(session, new)


def small(engine: Engine, **chosen: Any) -> AgreementStudy:
    """A study of four images."""
    return begin(engine, judged_job(engine, {"a": 0.1, "b": 0.5, "c": 0.9, "d": 0.1}), **chosen)


def left(engine: Engine, study: AgreementStudy, reviewer: str = "anna") -> list[Turn]:
    with reading(engine) as session:
        return agreement_answers.left(session, study, reviewer)


def say(engine: Engine, study: AgreementStudy, turn: Turn, word: str, reviewer: str = "anna") -> int:
    with writing(engine) as session:
        return agreement_answers.answer(session, new_answer(study, turn, word, reviewer)).id


def new_answer(study: AgreementStudy, turn: Turn, word: str, reviewer: str) -> NewAnswer:
    return NewAnswer(
        study=study.id,
        image=turn.image,
        trial=turn.trial,
        answer=Answer(word),
        reviewer=reviewer,
        account="tester",
    )


def said(engine: Engine) -> list[tuple[str, int, str]]:
    with reading(engine) as session:
        rows = session.scalars(select(AgreementAnswer).order_by(AgreementAnswer.id))
        return [(row.reviewer, row.trial, row.answer.value) for row in rows]


def misfits(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return [misfit.says for misfit in Verification(session=session).misfits()]


def test_half_of_the_images_are_ones_that_did_not_pass_as_far_as_there_are_any(engine: Engine) -> None:
    job = judged_job(engine, MANY)
    for images, suspects in ((4, 2), (6, 3), (12, 4), (23, 4)):
        study = begin(engine, job, images=images)
        with reading(engine) as session:
            found = agreement_answers.answered(session, study)
        assert len(found) == len({one.path for one in found}) == images
        assert sum(one.verdict != Disposition.PASS for one in found) == suspects
        assert {one.reference for one in found} == {None}


def test_all_readable_images_are_taken_where_there_are_no_more(engine: Engine) -> None:
    study = begin(engine, judged_job(engine, MANY))
    assert len({turn.result for turn in left(engine, study)}) == 24


def test_a_reference_says_which_images_and_what_they_are(engine: Engine) -> None:
    job = judged_job(engine, MANY)
    known = {"good/00.png": Answer.FAIL, "./bad/0.png": Answer.FAIL, "/images/doubt.png": Answer.PASS}
    study = begin(engine, job, reference=known)
    with reading(engine) as session:
        found = {one.path: one.reference for one in agreement_answers.answered(session, study)}
    assert found == {"good/00.png": Answer.FAIL, "bad/0.png": Answer.FAIL, "doubt.png": Answer.PASS}
    assert len(left(engine, begin(engine, job, reference=known, images=2))) == 4


def test_the_model_is_judged_by_its_verdicts_of_then(engine: Engine) -> None:
    study = small(engine)
    with writing(engine) as session:
        job = jobs.get(session, study.job_id)
        point = operating_points.propose(session, job.checkpoint, pass_below=0.01, fail_from=0.02, actor="tester")
        rejudging.rejudge(session, job, point, actor="tester")
    with reading(engine) as session:
        found = {one.path: one.verdict.value for one in agreement_answers.answered(session, study)}
    assert found == {"a": "PASS", "b": "REVIEW", "c": "FAIL", "d": "PASS"}
    assert study.operating_point_id != point.id
    assert begin(engine, study.job_id).operating_point_id == point.id


CANNOT_WORK: Sequence[tuple[dict[str, Any], str]] = (
    ({"reviewers": ["anna"]}, "takes 2 to 5 reviewers, not 1"),
    ({"reviewers": list("abcdef")}, "takes 2 to 5 reviewers, not 6"),
    ({"reviewers": ["anna", " anna "]}, "Two reviewers have the same name"),
    ({"reviewers": ["anna", "  "]}, "A reviewer has a name"),
    ({"trials": 0}, "takes 1 to 3 trials, not 0"),
    ({"trials": 4}, "takes 1 to 3 trials, not 4"),
    ({"images": 1}, "takes 2 to 1000 images, not 1"),
    ({"images": 0}, "takes 2 to 1000 images, not 0"),
    ({"reference": {}}, "images that can be looked at, not 0"),
    ({"reference": {"a": Answer.PASS}}, "images that can be looked at, not 1"),
    ({"reference": {"a": Answer.PASS, "g": Answer.PASS}}, "names g, which is no readable image of job"),
    ({"reference": {"a": Answer.PASS, "../x": Answer.PASS}}, "names ../x, which is no readable image"),
    ({"reference": {"a": Answer.PASS, "./a": Answer.FAIL}}, "calls ./a both PASS and FAIL"),
)


def test_a_study_that_cannot_work_is_refused(engine: Engine) -> None:
    job = judged_job(engine)
    for chosen, sentence in CANNOT_WORK:
        with pytest.raises(Refused, match=sentence):
            begin(engine, job, **chosen)
    with reading(engine) as session:
        assert agreements.every(session) == []


def test_a_job_that_is_open_or_holds_nothing_readable_has_no_study(engine: Engine) -> None:
    with pytest.raises(Refused, match="is pending: a study takes its images from a job that is done"):
        begin(engine, submit_job(engine))
    with writing(engine) as session:
        jobs.cancel(session, 1, actor="tester")
    with pytest.raises(Refused, match="images that can be looked at, not 0"):
        begin(engine, judged_job(engine, {"a": None}))
    with pytest.raises(NotFound):
        begin(engine, 99)


def test_each_trial_is_every_image_once_in_an_order_of_its_own_that_stays(engine: Engine) -> None:
    study = begin(engine, judged_job(engine, MANY), trials=3)
    orders = {}
    for person in PEOPLE:
        turns = left(engine, study, person)
        assert turns == left(engine, study, person)
        assert [(turn.trial, turn.number) for turn in turns] == [(t, n) for t in (1, 2, 3) for n in range(1, 25)]
        for trial in (1, 2, 3):
            orders[person, trial] = tuple(turn.image for turn in turns if turn.trial == trial)
    assert len(set(orders.values())) == 6
    assert len({frozenset(order) for order in orders.values()}) == 1


def test_nobody_sees_an_image_twice_in_a_row(engine: Engine) -> None:
    job = judged_job(engine, {"a": 0.1, "b": 0.9})
    for _ in range(6):
        turns = left(engine, begin(engine, job, trials=3))
        assert all(one.image != other.image for one, other in pairwise(turns))


def test_the_second_trial_begins_when_the_first_is_complete(engine: Engine) -> None:
    study = small(engine)
    turns = left(engine, study)
    with pytest.raises(Refused, match="Another image is before you now"):
        say(engine, study, turns[4], "PASS")
    for turn in turns[:4]:
        say(engine, study, turn, "PASS")
    assert left(engine, study) == turns[4:]
    say(engine, study, turns[4], "PASS")
    with reading(engine) as session:
        assert agreement_answers.given(session, study) == {"anna": 5, "ben": 0}
        assert agreement_answers.turns(session, study) == 8


def test_an_answer_out_of_order_is_refused(engine: Engine) -> None:
    study = small(engine)
    first, second, third, *_ = left(engine, study)
    with pytest.raises(Refused, match="Another image is before you now"):
        say(engine, study, second, "PASS")
    say(engine, study, first, "PASS")
    say(engine, study, second, "FAIL")
    for gone in (
        first,
        Turn(image=999, result=1, trial=1, number=1),
        Turn(image=third.image, result=1, trial=9, number=1),
    ):
        with pytest.raises(Refused, match="Another image is before you now"):
            say(engine, study, gone, "PASS")
    assert said(engine) == [("anna", 1, "PASS"), ("anna", 1, "FAIL")]


def test_the_same_answer_sent_again_changes_nothing_and_another_is_refused(engine: Engine) -> None:
    study = small(engine)
    turn = left(engine, study)[0]
    assert say(engine, study, turn, "PASS") == say(engine, study, turn, "PASS")
    with pytest.raises(Refused, match="You have answered PASS already, and no answer is taken back"):
        say(engine, study, turn, "FAIL")
    assert said(engine) == [("anna", 1, "PASS")]
    assert misfits(engine) == []


def test_one_answer_sent_by_two_tabs_at_the_same_moment_is_one_answer(engine: Engine) -> None:
    study = small(engine)
    turn = left(engine, study)[0]
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(say, engine, study, turn, "PASS") for _ in range(4)]
        assert len({done.result() for done in sent}) == 1
    assert misfits(engine) == []


def test_of_two_answers_sent_at_the_same_moment_one_is_refused(engine: Engine) -> None:
    study = small(engine)
    turn = left(engine, study)[0]
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(say, engine, study, turn, word) for word in ("PASS", "FAIL")]
        refused = [error for error in (done.exception() for done in sent) if error is not None]
    assert [type(error) for error in refused] == [Refused]
    assert len(said(engine)) == 1


def test_whoever_is_no_reviewer_gets_no_image_and_gives_no_answer(engine: Engine) -> None:
    study = small(engine)
    turn = left(engine, study)[0]
    with pytest.raises(Refused, match="cid is not among the reviewers"):
        left(engine, study, "cid")
    with pytest.raises(Refused, match="cid is not among the reviewers"):
        say(engine, study, turn, "PASS", "cid")
    with pytest.raises(NotFound, match="There is no agreement study 99"), reading(engine) as session:
        agreements.get(session, 99)


def complete(engine: Engine) -> AgreementStudy:
    """A study of four images that all have answered; Ben thinks better of each in the second trial."""
    study = small(engine)
    with writing(engine) as session:
        for person in PEOPLE:
            for turn in agreement_answers.left(session, study, person):
                word = "FAIL" if turn.trial == 2 and person == "ben" else "PASS"
                agreement_answers.answer(session, new_answer(study, turn, word, person))
    return study


def test_answers_are_told_by_image_and_in_the_order_of_the_trials(engine: Engine) -> None:
    study = complete(engine)
    with reading(engine) as session:
        found = agreement_answers.answered(session, study)
        assert [one.id for one in agreements.every(session, job=study.job_id)] == [study.id]
        assert agreements.every(session, job=study.job_id + 1) == []
    assert {one.path: one.verdict.value for one in found} == {"a": "PASS", "b": "REVIEW", "c": "FAIL", "d": "PASS"}
    assert all(one.answers == {"anna": ["PASS", "PASS"], "ben": ["PASS", "FAIL"]} for one in found)


def test_a_study_and_its_answers_are_events(engine: Engine) -> None:
    study = complete(engine)
    with reading(engine) as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.subject == f"agreement:{study.id}")).all()
        assert audit.verify(session).words == "whole"
    assert [event.action for event in events] == ["agreement.start", *["agreement.answer"] * 16]
    assert misfits(engine) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (update(AgreementAnswer).where(AgreementAnswer.id == 3).values(answer="FAIL"), "Agreement answer 3 is not as"),
        (
            update(AgreementAnswer).where(AgreementAnswer.id == 3).values(reviewer="ben2"),
            "Agreement answer 3 is not as",
        ),
        (delete(AgreementAnswer).where(AgreementAnswer.id == 3), "Agreement answer 3 is missing"),
        (update(AgreementImage).where(AgreementImage.id == 2).values(reference="FAIL"), "Agreement study 1, or one of"),
        (delete(AgreementAnswer), "Agreement answer 16 is missing"),
    ],
)
def test_what_is_altered_or_removed_behind_our_back_is_found(engine: Engine, change: Any, says: str) -> None:
    complete(engine)
    with tampering(engine) as session:
        session.execute(change)
    assert any(found.startswith(says) for found in misfits(engine))


def test_an_answer_that_was_slipped_in_is_found(engine: Engine) -> None:
    study = small(engine)
    turn = left(engine, study)[0]
    with tampering(engine) as session:
        row = AgreementAnswer(study_id=study.id, image_id=turn.image, reviewer="anna", account="x", trial=1)
        row.answer = Answer.PASS
        session.add(row)
    assert misfits(engine) == ["Agreement answer 1 was added without an event."]
