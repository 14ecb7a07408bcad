"""Are stored scores judged anew without touching the old verdicts, and are the flipped ones told?"""

from collections.abc import Mapping

import pytest
from sqlalchemy import select

from db import batches, jobs, operating_points, rejudging, results
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.ledgers import WORDS
from db.models import AuditEvent, Checkpoint, Disposition, InspectionResult
from tests.rows import add_job, claim_next, inspect_all, verdicts

SCORES: Mapping[str, float | None] = {"a": 0.1, "b": 0.3, "c": 0.49, "d": 0.5, "e": 0.9, "f": None}


def judged_job(engine: Engine, scores: Mapping[str, float | None] = SCORES) -> int:
    """A finished job with these scores, by the default limits."""
    job = add_job(engine, [[path] for path in scores])
    with writing(engine) as session:
        for message in batches.dispatch(session, window=100):
            held = batches.claim(session, message.batch, message.attempt, worker="w@h", lease_seconds=60)
            assert held is not None
            score = scores[held.paths[0]]
            disposition = (
                Disposition.UNREADABLE if score is None else Disposition.FAIL if score >= 0.5 else Disposition.PASS
            )
            assert batches.finish(session, held, verdicts(held, disposition, score))
    with writing(engine) as session:
        for ready in jobs.ready_to_finish(session):
            jobs.finish(session, ready)
    return job


def propose(engine: Engine, pass_below: float, fail_from: float) -> int:
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        return operating_points.propose(session, model, pass_below=pass_below, fail_from=fail_from, actor="tester").id


def rejudge(engine: Engine, job: int, point: int) -> rejudging.Rejudged:
    with writing(engine) as session:
        return rejudging.rejudge(session, jobs.get(session, job), operating_points.get(session, point), actor="tester")


def test_scores_are_judged_by_the_new_limits_and_the_old_verdicts_stay(engine: Engine) -> None:
    job = judged_job(engine)
    point = propose(engine, 0.3, 0.6)
    done = rejudge(engine, job, point)
    assert (done.revision, done.judged, done.flipped) == (2, 5, 3)
    with reading(engine) as session:
        now = {row["path"]: row for row in results.of_job(session, job)}
        old = session.scalars(select(InspectionResult).where(InspectionResult.revision == 1)).all()
        ledger = jobs.ledger(session, job)
        flips = list(rejudging.flips(session, job, 2))
    assert {path: row["disposition"] for path, row in now.items()} == {
        "a": "PASS",
        "b": "REVIEW",
        "c": "REVIEW",
        "d": "REVIEW",
        "e": "FAIL",
        "f": "UNREADABLE",
    }
    assert {path: row["label"] for path, row in now.items() if path != "f"} == dict.fromkeys("abcd", "ok") | {
        "e": "defective"
    }
    assert {row["operating_point"] for path, row in now.items() if path != "f"} == {point}
    assert sorted((row.path, row.disposition.value) for row in old) == [
        ("a", "PASS"),
        ("b", "PASS"),
        ("c", "PASS"),
        ("d", "FAIL"),
        ("e", "FAIL"),
        ("f", "UNREADABLE"),
    ]
    assert {row.id for row in old if row.score is not None} == {
        row["rejudged_from"] for path, row in now.items() if path != "f"
    }
    assert ledger.to_dict() == {"submitted": 6, "pass": 1, "fail": 1, "review": 3, "unreadable": 1, "cancelled": 0}
    assert ledger.closed
    assert [(flip.path, flip.before, flip.after) for flip in flips] == [
        ("b", Disposition.PASS, Disposition.REVIEW),
        ("c", Disposition.PASS, Disposition.REVIEW),
        ("d", Disposition.FAIL, Disposition.REVIEW),
    ]


def test_the_job_names_the_limits_that_count_and_the_chain_both(engine: Engine) -> None:
    job = judged_job(engine)
    point = propose(engine, 0.3, 0.6)
    rejudge(engine, job, point)
    with reading(engine) as session:
        row = jobs.get(session, job)
        event = session.scalars(select(AuditEvent).where(AuditEvent.action == "job.rejudge")).one()
        assert (row.operating_point_id, row.revision) == (point, 2)
    assert len(event.details.pop("digest")) == 64
    ledger = {word: event.details.pop(word) for word in WORDS}
    assert ledger == {"submitted": 6, "pass": 1, "fail": 1, "review": 3, "unreadable": 1, "cancelled": 0}
    assert event.details == {"operating_point": point, "instead_of": 1, "revision": 2, "judged": 5, "flipped": 3}


def test_it_can_be_judged_back_and_every_verdict_stays_in_the_history(engine: Engine) -> None:
    job = judged_job(engine)
    rejudge(engine, job, propose(engine, 0.3, 0.6))
    back = rejudge(engine, job, 1)
    assert (back.revision, back.flipped) == (3, 3)
    with reading(engine) as session:
        assert jobs.ledger(session, job).to_dict()["pass"] == 3
        assert len(session.scalars(select(InspectionResult.id)).all()) == 6 + 5 + 5


def test_a_job_that_goes_on_is_not_judged_anew(engine: Engine) -> None:
    job = add_job(engine, [["a"]])
    with pytest.raises(Refused, match="when it has ended"):
        rejudge(engine, job, propose(engine, 0.3, 0.6))


def half_done(engine: Engine, lease_seconds: float) -> tuple[int, batches.Claim]:
    """A failed job with one verdict, and one batch that a worker still has."""
    job = add_job(engine, [["a"], ["b"]])
    with writing(engine) as session:
        first, second = (
            batches.claim(session, sent.batch, sent.attempt, worker="w@h", lease_seconds=lease_seconds)
            for sent in batches.dispatch(session, window=9)
        )
        assert first is not None
        assert second is not None
        assert batches.finish(session, first, verdicts(first))
        assert jobs.fail(session, job, "no model")
    return job, second


def test_a_failed_job_of_which_a_worker_still_has_a_batch_is_not_judged_anew_before_that_is_saved(
    engine: Engine,
) -> None:
    job, held = half_done(engine, lease_seconds=60)
    point = propose(engine, 0.1, 0.2)
    with pytest.raises(Refused, match=f"A worker still has a batch of job {job}: "):
        rejudge(engine, job, point)
    with reading(engine) as session:
        row = jobs.get(session, job)
        assert (row.operating_point_id, row.revision) == (1, 1), "nothing of it stays"
    with writing(engine) as session:
        assert batches.finish(session, held, verdicts(held))
    assert rejudge(engine, job, point).judged == 2
    with reading(engine) as session:
        assert {row["operating_point"] for row in results.of_job(session, job)} == {point}


def test_a_worker_that_has_let_its_lease_run_out_saves_nothing_by_the_limits_of_before(engine: Engine) -> None:
    job, held = half_done(engine, lease_seconds=-1)
    point = propose(engine, 0.1, 0.2)
    assert rejudge(engine, job, point).judged == 1
    with writing(engine) as session:
        assert not batches.finish(session, held, verdicts(held))
        jobs.retry(session, job, actor="tester")
    inspect_all(engine)
    with reading(engine) as session:
        assert {row["operating_point"] for row in results.of_job(session, job)} == {point}


def test_the_same_limits_are_refused(engine: Engine) -> None:
    job = judged_job(engine, {"a": 0.2})
    with pytest.raises(Refused, match="already"):
        rejudge(engine, job, 1)


def test_unreadable_images_that_are_retried_later_are_judged_by_the_new_limits(engine: Engine) -> None:
    job = judged_job(engine)
    point = propose(engine, 0.3, 0.6)
    rejudge(engine, job, point)
    with writing(engine) as session:
        jobs.retry(session, job, actor="tester")
    held = claim_next(engine)
    assert (held.paths, held.revision, held.operating_point_id) == (("f",), 3, point)
