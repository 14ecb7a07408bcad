"""Is what people found in the samples of a model's jobs told by job, and by the limits that count there?"""

import pytest
from sqlalchemy import select

from db import jobs, operating_points, rejudging, samples
from db.engine import Engine, reading, writing
from db.models import Checkpoint
from db.samples import Sampled
from tests.db.test_reviews import decide, draw, judged_job, paths, take

POINT = 2  # PASS below 0.2


def sampled_job(engine: Engine, passed: int, decisions: str) -> int:
    """A job of which so many pass; drawn and decided are as many as there are letters."""
    names = {f"{number:03}": 0.1 for number in range(passed)}
    job = judged_job(engine, names)
    draw(engine, job, len(decisions))
    words = {"p": "PASS", "f": "FAIL", "u": "UNSURE"}
    for path, letter in zip(paths(take(engine, job, images=len(decisions))), decisions, strict=True):
        if letter != "-":
            decide(engine, job, path, words[letter])
    return job


def of_model(engine: Engine) -> dict[int, list[Sampled]]:
    with reading(engine) as session:
        return samples.of_model(session, session.scalars(select(Checkpoint.id)).one())


def test_each_job_with_a_sample_is_counted_for_itself(engine: Engine) -> None:
    sampled_job(engine, 12, "ppfu-")
    sampled_job(engine, 5, "p")
    judged_job(engine, {"a": 0.1})
    sampled_job(engine, 3, "--")
    assert of_model(engine) == {
        POINT: [
            Sampled(passed=12, drawn=5, good=2, defective=1, unsure=1),
            Sampled(passed=5, drawn=1, good=1, defective=0, unsure=0),
            Sampled(passed=3, drawn=2, good=0, defective=0, unsure=0),
        ]
    }


def test_it_is_what_the_page_of_each_job_says(engine: Engine) -> None:
    both = [sampled_job(engine, 12, "ppfu-"), sampled_job(engine, 5, "f-")]
    draw(engine, both[0], 3)
    with reading(engine) as session:
        each = [samples.sampled(session, jobs.get(session, job)) for job in both]
    assert of_model(engine)[POINT] == each
    assert each[0].drawn == 8


def test_a_job_that_is_judged_by_other_limits_says_nothing_of_these(engine: Engine) -> None:
    moved, kept = sampled_job(engine, 6, "fp"), sampled_job(engine, 4, "p")
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        other = operating_points.propose(session, model, pass_below=0.5, fail_from=0.5, actor="tester")
        rejudging.rejudge(session, jobs.get(session, moved), other, actor="tester")
    assert of_model(engine) == {POINT: [Sampled(passed=4, drawn=1, good=1, defective=0, unsure=0)]}
    draw(engine, moved, 2)
    assert [(point, len(found)) for point, found in of_model(engine).items()] == [(other.id, 1), (POINT, 1)]
    assert kept != moved


@pytest.mark.parametrize("model", [1, 99])
def test_a_model_without_a_sample_has_none(engine: Engine, model: int) -> None:
    judged_job(engine, {"a": 0.1})
    with reading(engine) as session:
        assert samples.of_model(session, model) == {}
