"""Are images counted by score as they are, and is a finished job compared once for each of its revisions?"""

import math
from bisect import bisect_right
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from db import batches, drift, evaluations, jobs
from db.drift import CELLS, EDGES
from db.engine import Engine, reading, writing
from db.models import Checkpoint, Disposition, InspectionJob, InspectionResult, JobDrift, JobState
from tests.rows import add_dataset, add_job, add_model, inspect_all, new_evaluation, verdicts

# Every edge, and what lies right and left of it.
SCORES = sorted({near for edge in EDGES for near in (edge, math.nextafter(edge, 0), math.nextafter(edge, 1))} | {0, 1})
VALUES: dict[str, Any] = {"likeness": "alike", "sentence": "Looks like it.", "images": 4}


def expected(scores: list[float]) -> tuple[int, ...]:
    cells = [0] * CELLS
    for score in scores:
        cells[bisect_right(EDGES, score)] += 1
    return tuple(cells)


def judged_job(engine: Engine, scores: list[float]) -> int:
    """A done job with these scores, novelties from 0 to 2, and an unreadable image."""
    names = [f"{number:04}" for number in range(len(scores))]
    job = add_job(engine, [[*names, "unreadable"]])
    with writing(engine) as session:
        message = batches.dispatch(session, window=1)[0]
        held = batches.claim(session, message.batch, message.attempt, worker="w", lease_seconds=60)
        assert held is not None
        rows = verdicts(held, Disposition.UNREADABLE)
        for number, score in enumerate(scores):
            seen = {"score": score, "novelty": 2 * number / (len(scores) - 1), "reason_code": None}
            kind = Disposition.FAIL if score >= 0.5 else Disposition.PASS
            rows[number] = type(rows[0])(**{**vars(rows[number]), **seen, "disposition": kind})
        assert batches.finish(session, held, rows)
        assert jobs.finish(session, job)
    return job


def test_a_jobs_images_are_counted_in_the_cells_that_their_scores_lie_in(engine: Engine) -> None:
    job = judged_job(engine, SCORES)
    with reading(engine) as session:
        found = drift.of_results(session, job)
    assert found.cells == expected(SCORES)
    assert (found.images, found.with_novelty) == (len(SCORES), len(SCORES))
    assert found.far == sum(2 * number / (len(SCORES) - 1) > 1 for number in range(len(SCORES)))
    assert found.flagged == sum(score >= 0.5 for score in SCORES)


def test_an_evaluations_images_are_counted_by_class_and_flagged_by_the_jobs_limit(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session)
        new = new_evaluation(tp=3, fn=2, fp=1, tn=5)
        scores = [{**row, "novelty": 1.5 if row["actual"] == "ok" else None} for row in new.scores]
        new = type(new)(**{**vars(new), "scores": scores})
        evaluation = evaluations.add_evaluation(session, new, checkpoint_id=model.id, dataset=add_dataset(session))
    with reading(engine) as session:
        found = drift.of_evaluation(session, evaluation, positive="defective", fail_from=0.5)
        strict = drift.of_evaluation(session, evaluation, positive="defective", fail_from=0.95)
    assert found.defective.cells == expected([0.9] * 3 + [0.1] * 2)
    assert found.good.cells == expected([0.9] + [0.1] * 5)
    assert (found.defective.flagged, found.good.flagged) == (3, 1)
    assert (found.defective.with_novelty, found.good.with_novelty, found.good.far) == (0, 6, 6)
    assert (strict.defective.flagged, strict.good.flagged) == (0, 0)


def test_a_job_and_an_evaluation_without_a_score_are_counts_of_nothing(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    inspect_all(engine, Disposition.UNREADABLE)
    with reading(engine) as session:
        found = drift.of_results(session, job)
    assert (found.images, found.cells, found.with_novelty, found.far, found.flagged) == (0, (0,) * CELLS, 0, 0, 0)


def test_a_finished_job_is_found_until_it_is_compared_and_again_with_its_next_revision(engine: Engine) -> None:
    first, second = (add_job(engine, [[name]]) for name in "ab")
    add_job(engine, [["open"]])
    with writing(engine) as session:
        messages = batches.dispatch(session, window=2)
        for message in messages:
            held = batches.claim(session, message.batch, message.attempt, worker="w", lease_seconds=60)
            assert held is not None
            batches.finish(session, held, verdicts(held, Disposition.UNREADABLE))
        for job in (first, second):
            assert jobs.finish(session, job)
    with writing(engine) as session:
        assert drift.not_compared(session, limit=9) == [second, first]
        assert drift.not_compared(session, limit=1) == [second]
        assert drift.not_compared(session, limit=1, besides=[second]) == [first]
        assert drift.add(session, first, 1, VALUES)
        assert not drift.add(session, first, 1, VALUES), "twice"
        assert not drift.add(session, second, 2, VALUES), "of verdicts that are not there"
        assert drift.not_compared(session, limit=9) == [second]
        jobs.retry(session, first, actor="tester")
        assert not drift.add(session, first, 2, VALUES), "while it goes on"
        session.execute(update(InspectionJob).where(InspectionJob.id == first).values(state=JobState.DONE))
        assert drift.not_compared(session, limit=9) == [second, first]
        assert drift.of_job(session, session.get_one(InspectionJob, first)) is None
        assert drift.add(session, first, 2, {**VALUES, "images": 5})
    with reading(engine) as session:
        compared = drift.of_job(session, session.get_one(InspectionJob, first))
        assert compared is not None
        assert compared.images == 5
        assert session.scalar(select(func.count()).select_from(JobDrift)) == 2
        shown = session.execute(text("SELECT job, revision, likeness, images FROM v_job_drift ORDER BY job")).all()
    assert [tuple(row) for row in shown[:2]] == [(first, 2, "alike", 5), (second, 1, None, None)]


def test_a_verdict_that_is_taken_over_or_judged_anew_keeps_its_novelty(engine: Engine) -> None:
    from db import operating_points, rejudging

    job = judged_job(engine, [0.1, 0.6, 0.9])
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        point = operating_points.propose(session, model, pass_below=0.2, fail_from=0.95, actor="tester")
        rejudging.rejudge(session, jobs.get(session, job), point, actor="tester")
        anew = select(InspectionResult.novelty).where(InspectionResult.revision == 2).order_by(InspectionResult.path)
        assert list(session.scalars(anew)) == pytest.approx([0, 1, 2])
