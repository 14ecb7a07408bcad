"""Are the decisions that count told with the verdicts they were made on, and every test image of every evaluation?"""

from dataclasses import replace

import pytest

from db import evaluations, jobs, operating_points, rejudging
from db.decided import decided, judged_on
from db.engine import Engine, reading, writing
from tests.db.test_reviews import decide, judged_job, undo
from tests.rows import add_dataset, add_model, new_evaluation


def told(engine: Engine, *which: tuple[int, ...] | tuple[str, ...]) -> list[tuple[int, str, str, str]]:
    with reading(engine) as session:
        return [
            (one.review.job_id, one.review.path, one.review.decision.value, one.review.reviewer)
            for one in decided(session, *which)
        ]


def test_only_a_decision_that_counts_teaches(engine: Engine) -> None:
    job = judged_job(engine)
    first = decide(engine, job, "c", "PASS", "ann")
    decide(engine, job, "c", "FAIL", "bob", seen=first)
    decide(engine, job, "d", "UNSURE", "ann")
    decide(engine, job, "e", "PASS", "ann")
    undo(engine, job, "ann")
    decide(engine, job, "b", "PASS", "ann")
    assert told(engine) == [(job, "c", "FAIL", "bob"), (job, "b", "PASS", "ann")]


def test_of_chosen_jobs_and_people_alone(engine: Engine) -> None:
    one, other = judged_job(engine), judged_job(engine)
    for job, person in ((one, "ann"), (one, "bob"), (other, "ann")):
        decide(engine, job, {"ann": "c", "bob": "d"}[person], "FAIL", person)
    assert [row[0] for row in told(engine, (other,))] == [other]
    assert [row[3] for row in told(engine, (), ("bob",))] == ["bob"]
    assert told(engine, (other,), ("bob",)) == []


def test_an_image_that_somebody_else_decided_about_since_is_not_what_the_first_one_said(engine: Engine) -> None:
    job = judged_job(engine)
    first = decide(engine, job, "c", "PASS", "ann")
    decide(engine, job, "c", "FAIL", "bob", seen=first)
    assert told(engine, (), ("ann",)) == []


def test_the_verdict_is_the_one_that_counted_then_whatever_limits_came_later(engine: Engine) -> None:
    job = judged_job(engine)
    decide(engine, job, "c", "FAIL")
    with writing(engine) as session:
        found, default = jobs.get(session, job), operating_points.get(session, 1)
        rejudging.rejudge(session, found, default, actor="tester")
    with reading(engine) as session:
        (one,) = decided(session)
        assert (one.then.disposition.value, one.then.score, one.then.revision) == ("REVIEW", 0.45, 1)
        assert (one.root, one.model) == (jobs.get(session, job).root, "ab" * 32)


@pytest.mark.parametrize(
    ("split", "own", "counts"),
    [
        *(("test", True, True), ("test", False, True), ("all", False, True), ("all", True, False)),
        *((split, True, False) for split in ("train", "validation", "folds")),
    ],
)
def test_a_test_image_is_one_that_the_model_was_not_made_with(
    engine: Engine, split: str, own: bool, counts: bool
) -> None:
    new = replace(new_evaluation(1, 0, 0, 1), split=split)
    new = replace(new, scores=[{**row, "sha256": str(at) * 64} for at, row in enumerate(new.scores)])
    with writing(engine) as session:
        model = add_model(session)
        dataset = add_dataset(session, fingerprint="f" * 64 if own else "e" * 64)
        evaluations.add_evaluation(session, new, checkpoint_id=model.id, dataset=dataset)
    with reading(engine) as session:
        assert set(judged_on(session)) == ({"0" * 64, "1" * 64} if counts else set())


def test_an_image_that_was_judged_twice_lies_where_it_was_judged_last(engine: Engine) -> None:
    new = new_evaluation(1, 0, 0, 1)
    with writing(engine) as session:
        model = add_model(session)
        for name in ("before", "after"):
            scores = [{**row, "sha256": "5" * 64, "path": f"{name}/{row['path']}"} for row in new.scores[:1]]
            evaluations.add_evaluation(
                session, replace(new, scores=scores), checkpoint_id=model.id, dataset=add_dataset(session)
            )
    with reading(engine) as session:
        (one,) = judged_on(session).values()
        assert (one.evaluation, one.path, one.root) == (2, "after/defective-defective-0.jpg", "/photographs")
