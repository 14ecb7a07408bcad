"""Does each doubtful image come before one person at a time, and does every decision stay written?"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text, update

from db import audit, batches, jobs, operating_points, rejudging, review_leases, review_queue, reviews, samples
from db.clock import database_now
from db.engine import Engine, reading, writing
from db.errors import NotFound, Refused
from db.models import AuditEvent, Checkpoint, Disposition, Review, ReviewDecision, ReviewLease
from db.review_queue import Waiting
from db.reviews import NewReview
from db.verification import Verification
from tests.rows import add_job, add_model, verdicts

SCORES: Mapping[str, float | None] = {
    "a": 0.05,
    "b": 0.205,
    "c": 0.45,
    "d": 0.62,
    "e": 0.79,
    "f": 0.9,
    "g": None,
}


def judged_job(engine: Engine, scores: Mapping[str, float | None] = SCORES, *, audit_rate: float | None = None) -> int:
    """A finished job: PASS below 0.2, FAIL from 0.8, REVIEW between."""
    with writing(engine) as session:
        model = session.scalar(select(Checkpoint)) or add_model(session)
        if len(operating_points.of_checkpoint(session, model)) == 1:
            point = operating_points.propose(session, model, pass_below=0.2, fail_from=0.8, actor="tester")
            operating_points.approve(session, point, by="Q. E.", reason="shown", account="tester")
    job = add_job(engine, [[path] for path in scores], audit_rate=audit_rate)
    with writing(engine) as session:
        for message in batches.dispatch(session, window=1000):
            held = batches.claim(session, message.batch, message.attempt, worker="w@h", lease_seconds=60)
            assert held is not None
            score = scores[held.paths[0]]
            disposition = Disposition.UNREADABLE if score is None else Disposition.of(score, 0.2, 0.8)
            assert batches.finish(session, held, verdicts(held, disposition, score))
    with writing(engine) as session:
        for ready in jobs.ready_to_finish(session):
            jobs.finish(session, ready)
    return job


def take(engine: Engine, job: int, reviewer: str = "ann", *, images: int = 1) -> list[Waiting]:
    with writing(engine) as session:
        return review_queue.take(session, job, reviewer, images=images)


def decide(engine: Engine, job: int, path: str, decision: str, reviewer: str = "ann", seen: int | None = None) -> int:
    with writing(engine) as session:
        new = NewReview(
            job=job,
            path=path,
            decision=ReviewDecision(decision),
            reviewer=reviewer,
            account="tester",
            seen=seen,
            blind=True,
        )
        return reviews.decide(session, new).id


def undo(engine: Engine, job: int, reviewer: str = "ann") -> Review:
    with writing(engine) as session:
        return reviews.undo(session, job, reviewer=reviewer, account="tester")


def final(engine: Engine, job: int) -> dict[str, str]:
    with reading(engine) as session:
        query = text("SELECT path, final_disposition FROM v_dispositions WHERE job = :job")
        return dict(session.execute(query, {"job": job}).all())


def paths(images: list[Waiting]) -> list[str]:
    return [image.path for image in images]


def test_the_most_doubtful_comes_first(engine: Engine) -> None:
    job = judged_job(engine)
    assert paths(take(engine, job, images=10)) == ["c", "d", "e", "b"]


def test_two_people_never_have_the_same_image(engine: Engine) -> None:
    job = judged_job(engine)
    assert paths(take(engine, job, "ann", images=2)) == ["c", "d"]
    assert paths(take(engine, job, "bob", images=2)) == ["e", "b"]
    assert take(engine, job, "cid") == []


def test_people_who_ask_at_the_same_moment_get_different_images(engine: Engine) -> None:
    job = judged_job(engine, {f"{number:02}": 0.5 for number in range(24)})
    people = [f"person {number}" for number in range(6)]
    with ThreadPoolExecutor(len(people)) as pool:
        taken = [pool.submit(take, engine, job, person, images=4) for person in people]
        got = [path for done in taken for path in paths(done.result())]
    assert len(got) == len(set(got)) == 24


def test_of_two_people_who_decide_at_the_same_moment_one_is_told(engine: Engine) -> None:
    job = judged_job(engine)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(decide, engine, job, "c", "PASS", person) for person in ("ann", "bob")]
        refused = [error for error in (done.exception() for done in asked) if error is not None]
    assert [type(error) for error in refused] == [Refused]
    with reading(engine) as session:
        assert len(list(reviews.of_job(session, job))) == 1


def test_of_two_who_take_the_same_back_at_the_same_moment_one_is_told(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "PASS")
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(undo, engine, job) for _ in range(2)]
        refused = [error for error in (done.exception() for done in asked) if error is not None]
    assert [type(error) for error in refused] == [Refused]
    assert final(engine, job)["c"] == "REVIEW"


def test_a_closed_tab_loses_nothing(engine: Engine) -> None:
    job = judged_job(engine)
    assert take(engine, job, images=2) == take(engine, job, images=2)


def test_what_somebody_left_lying_goes_to_others(engine: Engine) -> None:
    job = judged_job(engine)
    take(engine, job, "ann", images=4)
    with writing(engine) as session:
        session.execute(update(ReviewLease).values(lease_until=database_now(-1)))
    assert paths(take(engine, job, "bob")) == ["c"]
    with pytest.raises(Refused, match="Somebody else has c before them"):
        decide(engine, job, "c", "PASS", "ann")


def test_what_somebody_lets_go_is_free_at_once(engine: Engine) -> None:
    job = judged_job(engine)
    take(engine, job, "ann", images=4)
    with writing(engine) as session:
        review_leases.let_go(session, job, "ann")
    assert len(take(engine, job, "bob", images=9)) == 4


def test_a_decision_makes_the_final_disposition_and_leaves_the_verdict(engine: Engine) -> None:
    job = judged_job(engine)
    take(engine, job, images=3)
    decide(engine, job, "c", "PASS")
    decide(engine, job, "d", "FAIL")
    decide(engine, job, "e", "UNSURE")
    assert final(engine, job) == {
        "a": "PASS",
        "b": "REVIEW",
        "c": "PASS",
        "d": "FAIL",
        "e": "REVIEW",
        "f": "FAIL",
        "g": "UNREADABLE",
    }
    with reading(engine) as session:
        assert jobs.ledger(session, job).review == 4


def test_final_dispositions_are_counted(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "PASS")
    decide(engine, job, "a", "UNSURE")
    with reading(engine) as session:
        assert reviews.final_counts(session, job) == {
            Disposition.PASS: 1,
            Disposition.FAIL: 1,
            Disposition.REVIEW: 4,
            Disposition.UNREADABLE: 1,
        }


def test_any_image_can_be_decided_about(engine: Engine) -> None:
    job = judged_job(engine)
    for path in "afg":
        decide(engine, job, path, "FAIL")
    assert {final(engine, job)[path] for path in "afg"} == {"FAIL"}


def test_an_image_that_somebody_was_not_sure_about_is_for_another(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "UNSURE", "ann")
    decide(engine, job, "a", "UNSURE", "ann")  # it passed
    assert paths(take(engine, job, "ann", images=9)) == ["d", "e", "b"]
    with writing(engine) as session:
        review_leases.let_go(session, job, "ann")
    assert sorted(paths(take(engine, job, "bob", images=9))) == ["a", "b", "c", "d", "e"]


def test_a_decision_on_what_has_changed_meanwhile_is_refused(engine: Engine) -> None:
    job = judged_job(engine)
    first = decide(engine, job, "c", "UNSURE", "ann")
    with pytest.raises(Refused, match="meanwhile"):
        decide(engine, job, "c", "PASS", "bob", seen=None)
    decide(engine, job, "c", "PASS", "bob", seen=first)
    assert final(engine, job)["c"] == "PASS"


def test_undoing_brings_back_what_was_before_and_the_image(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "UNSURE", "bob")
    seen = take(engine, job)[0]
    assert seen.path == "c"
    decide(engine, job, "c", "PASS", seen=seen.review)
    undone = undo(engine, job)
    assert (undone.decision, undone.previous_disposition) == (ReviewDecision.UNDONE, Disposition.PASS)
    assert final(engine, job)["c"] == "REVIEW"
    assert take(engine, job)[0] == seen
    with pytest.raises(Refused, match="no decision of ann"):
        undo(engine, job)


def test_decisions_are_undone_from_the_last_to_the_first(engine: Engine) -> None:
    job = judged_job(engine)
    for path in "cd":
        decide(engine, job, path, "PASS")
    assert [undo(engine, job).path for _ in range(2)] == ["d", "c"]


def test_what_another_person_decided_since_is_not_undone(engine: Engine) -> None:
    job = judged_job(engine)
    first = decide(engine, job, "c", "UNSURE", "ann")
    decide(engine, job, "c", "FAIL", "bob", seen=first)
    with pytest.raises(Refused, match="bob has decided about c since"):
        undo(engine, job, "ann")


def test_a_decision_stands_when_the_job_is_judged_by_other_limits(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "FAIL")
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        other = operating_points.propose(session, model, pass_below=0.7, fail_from=0.7, actor="tester")
        rejudging.rejudge(session, jobs.get(session, job), other, actor="tester")
    assert {path: final(engine, job)[path] for path in "bcde"} == {"b": "PASS", "c": "FAIL", "d": "PASS", "e": "FAIL"}


def test_a_decision_falls_with_the_bytes_it_was_about(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "g", "PASS")
    with writing(engine) as session:
        jobs.retry(session, job, actor="tester")
        for message in batches.dispatch(session, window=9):
            held = batches.claim(session, message.batch, message.attempt, worker="w@h", lease_seconds=60)
            assert held is not None
            assert batches.finish(session, held, verdicts(held, Disposition.FAIL, 0.9))
    assert final(engine, job)["g"] == "FAIL"


def test_the_chain_covers_every_decision(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "PASS")
    undo(engine, job)
    with reading(engine) as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.subject == "reviews:1")).all()
        assert [(event.action, event.actor, event.details["by"], event.details["path"]) for event in events] == [
            ("review.decide", "tester", "ann", "c"),
            ("review.undo", "tester", "ann", "c"),
        ]
        assert audit.verify(session).broken_at is None
        assert list(Verification(session=session).misfits()) == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "two\nlines"])
def test_a_name_that_cannot_stand_in_a_record_is_refused(engine: Engine, name: str) -> None:
    job = judged_job(engine)
    with pytest.raises(Refused, match="A reviewer has a name"):
        decide(engine, job, "c", "PASS", name)
    with pytest.raises(Refused, match="A reviewer has a name"):
        take(engine, job, name)


def test_what_is_not_there_cannot_be_decided_about(engine: Engine) -> None:
    job = judged_job(engine)
    with pytest.raises(NotFound, match="no verdict on nothing"):
        decide(engine, job, "nothing", "PASS")


def test_progress_counts_what_waits_and_what_is_decided(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "PASS")
    decide(engine, job, "d", "UNSURE")
    decide(engine, job, "f", "UNSURE")
    with writing(engine) as session:
        samples.draw(session, jobs.get(session, job), images=1, drawn_by="tester")
        assert review_queue.progress(session, job) == review_queue.Progress(review=4, sampled=1, decided=1)


PASSED = {f"p{number:02}": 0.1 for number in range(20)}


def draw(engine: Engine, job: int, images: int) -> int:
    with writing(engine) as session:
        return samples.draw(session, jobs.get(session, job), images=images, drawn_by="tester").images


def found(engine: Engine, job: int) -> samples.Sampled:
    with reading(engine) as session:
        return samples.sampled(session, jobs.get(session, job))


def test_a_sample_lies_among_the_doubtful_images(engine: Engine) -> None:
    job = judged_job(engine, {**SCORES, **PASSED})
    assert draw(engine, job, 8) == 8
    queue = paths(take(engine, job, images=99))
    assert [path for path in queue if path in "bcde"] == ["c", "d", "e", "b"]
    assert len(queue) == 12
    assert {final(engine, job)[path] for path in queue if path not in "bcde"} == {"PASS"}


def test_a_second_draw_adds_others_until_none_is_left(engine: Engine) -> None:
    job = judged_job(engine, PASSED)
    assert [draw(engine, job, 8) for _ in range(3)] == [8, 8, 4]
    with pytest.raises(Refused, match="none is left"):
        draw(engine, job, 8)
    assert sorted(paths(take(engine, job, images=99))) == sorted(PASSED)


def test_two_samples_of_the_same_images_are_not_the_same(engine: Engine) -> None:
    drawn = []
    for _ in range(2):
        job = judged_job(engine, PASSED)
        draw(engine, job, 20)
        drawn.append(paths(take(engine, job, images=20)))
    assert drawn[0] != drawn[1]  # by chance once in 20!


def test_what_was_found_in_the_sample_is_counted(engine: Engine) -> None:
    job = judged_job(engine, {**SCORES, **PASSED})
    draw(engine, job, 5)
    queue = [path for path in paths(take(engine, job, images=99)) if path in PASSED or path == "a"]
    for path, decision in zip(queue, ["FAIL", "PASS", "PASS", "UNSURE"], strict=False):
        decide(engine, job, path, decision)
    assert found(engine, job) == samples.Sampled(passed=21, drawn=5, good=2, defective=1, unsure=1)
    with reading(engine) as session:
        assert [row.drawn for row in reviews.of_job(session, job)] == [True] * 4


def test_a_sample_of_what_other_limits_let_pass_says_nothing_of_these(engine: Engine) -> None:
    job = judged_job(engine, {**SCORES, **PASSED})
    draw(engine, job, 5)
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        other = operating_points.propose(session, model, pass_below=0.5, fail_from=0.5, actor="tester")
        rejudging.rejudge(session, jobs.get(session, job), other, actor="tester")
    assert found(engine, job) == samples.Sampled(passed=23, drawn=0, good=0, defective=0, unsure=0)
    assert draw(engine, job, 23) == 23


def test_a_job_that_goes_on_has_no_sample(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    with pytest.raises(Refused, match="when it has ended"):
        draw(engine, job, 1)


@pytest.mark.parametrize(("rate", "images"), [(0.1, 2), (0.06, 2), (0.01, 1), (1.0, 20)])
def test_a_job_has_the_sample_it_was_submitted_with_once(engine: Engine, rate: float, images: int) -> None:
    job = judged_job(engine, PASSED, audit_rate=rate)
    for _ in range(2):
        with writing(engine) as session:
            drawn = samples.draw_by_rate(session, job)
        assert found(engine, job).drawn == images
    assert drawn is None
