"""Does one question find everything that a verdict rests on, in a large job for the cost of a small one?"""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from db import audit, batches, evaluations, jobs, lineage, operating_points, rejudging, runtimes
from db.clock import database_now
from db.engine import Engine, reading, writing
from db.errors import NotFound
from db.lineage import Given, Lineage, given
from db.models import AuditEvent, Checkpoint, Disposition, InspectionResult, RuntimeParity
from db.runtimes import NewParity
from tests.costs import counted
from tests.rows import DIGEST, add_dataset, add_job, add_model, claim_next, inspect_all, new_evaluation, verdicts
from tests.tampering import tampering
from vision.runtimes import name_of

FILES = 3000


def traced(engine: Engine, job: int, path: str) -> Lineage:
    with reading(engine) as session:
        return lineage.trace(session, job, path, name_of)


def reused(engine: Engine, of: int, path: str) -> int:
    """A job whose one image has the verdict `of`."""
    job = add_job(engine, [[path]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.finish(session, held, [replace(row, reused_from=of) for row in verdicts(held)])
    inspect_all(engine)
    return job


def test_a_verdict_leads_back_through_jobs_and_limits_to_the_one_that_was_inspected(engine: Engine) -> None:
    first = add_job(engine, [["a.jpg"], ["b.jpg"]])
    inspect_all(engine)
    origin = traced(engine, first, "b.jpg").verdict.id
    job = reused(engine, origin, "line-2/copy.jpg")
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        point = operating_points.propose(session, model, pass_below=0.1, fail_from=0.2, actor="tester")
        rejudging.rejudge(session, jobs.get(session, job), operating_points.get(session, point.id), actor="tester")
        operating_points.approve(session, point, by="M. Keller", reason="Trial run 7.", account="tester")

    found = traced(engine, job, "line-2/copy.jpg")
    assert [(row.revision, row.disposition) for row in found.revisions] == [(2, "FAIL"), (1, "PASS")]
    assert [given(row) for row in found.chain] == [Given.REJUDGED, Given.REUSED, Given.INSPECTED]
    assert (found.origin.id, found.origin.path, found.origin_job.id) == (origin, "b.jpg", first)
    assert found.lost is None
    assert (found.batch.job_id, found.batch.sequence) == (first, 1)
    assert (found.point.pass_below, found.point.fail_from) == (0.1, 0.2)
    assert found.point.approval is not None
    assert (found.point.approval.approved_by, found.point.approval.approved_at > found.verdict.time) == (
        "M. Keller",
        True,
    )
    assert [(event.action, event.subject) for event in found.events] == [
        ("model.register", f"model:{DIGEST}"),
        ("job.submit", f"job:{first}"),
        ("job.done", f"job:{first}"),
        ("job.submit", f"job:{job}"),
        ("job.done", f"job:{job}"),
        ("threshold.propose", f"model:{DIGEST}"),
        ("job.rejudge", f"job:{job}"),
        ("threshold.approve", f"model:{DIGEST}"),
    ]
    before = traced(engine, first, "b.jpg")
    assert [row.id for row in before.chain] == [origin]
    assert before.point.approval is None


def test_a_chain_that_somebody_bent_into_a_circle_ends_and_says_where(engine: Engine) -> None:
    job = add_job(engine, [["a.jpg"], ["b.jpg"]])
    inspect_all(engine)
    a, b = (traced(engine, job, path).verdict.id for path in ("a.jpg", "b.jpg"))
    with tampering(engine) as session:
        for row, to in ((a, b), (b, a)):
            session.execute(update(InspectionResult).where(InspectionResult.id == row).values(reused_from=to))
    found = traced(engine, job, "a.jpg")
    assert ([row.id for row in found.chain], found.lost) == ([a, b], a)


def test_a_path_is_found_as_results_write_it_as_the_file_is_called_and_below_the_folder(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    paths = ["line-1/caf\\xe9.jpg", "a\\x5cx41.jpg", "plain.jpg"]
    job = add_job(engine, [[path] for path in paths], root=str(tmp_path / "images"))
    inspect_all(engine)
    for typed, path in {
        "line-1/caf\\xe9.jpg": 0,
        "line-1/caf\udce9.jpg": 0,
        "a\\x41.jpg": 1,
        "./line-1/../plain.jpg": 2,
        f"{tmp_path}/images/plain.jpg": 2,
        f"{tmp_path}/link/plain.jpg": 2,
        f"{tmp_path}/images/line-1/caf\\xe9.jpg": 0,
    }.items():
        assert traced(engine, job, typed).verdict.path == paths[path], ascii(typed)
    with pytest.raises(NotFound, match=f"no verdict on nobody.jpg in job {job}. .*relative to {tmp_path}/images"):
        traced(engine, job, "nobody.jpg")
    for outside in ("/etc/passwd", "../plain.jpg", f"{tmp_path}/images-too/plain.jpg"):
        with pytest.raises(NotFound, match="does not lie in the folder"):
            traced(engine, job, outside)
    still_open = add_job(engine, [["late.jpg"]])
    with pytest.raises(NotFound, match="which still goes on"):
        traced(engine, still_open, "late.jpg")
    with pytest.raises(NotFound, match="There is no job 4711"):
        traced(engine, 4711, "late.jpg")


def test_evaluations_that_say_nothing_about_new_images_do_not_apply_and_the_same_runtime_comes_first(
    engine: Engine,
) -> None:
    with writing(engine) as session:
        model = add_model(session)
        own, new = add_dataset(session), new_evaluation(8, 2, 1, 9)
        other = evaluations.snapshot(
            session,
            evaluations.NewDataset(
                fingerprint="e" * 64, root="/other", layout="class folders", split_seed=None, test_share=None,
                positive_class="defective", class_names=["defective", "ok"], counts={}, skipped=[],
                twins_across_splits=0,
            ),
        )  # fmt: skip
        numbers = {
            name: evaluations.add_evaluation(
                session, replace(new, split=split, engine=engine_name), checkpoint_id=model.id, dataset=dataset
            ).id
            for name, split, engine_name, dataset in (
                ("older", "test", "torch", own),
                ("reference", "test", "torch", own),
                ("train", "train", "torch", own),
                ("validation", "validation", "torch", own),
                ("learned", "all", "torch", own),
                ("onnx", "test", "onnxruntime", own),
                ("other", "all", "torch", other),
            )
        }
    with reading(engine) as session:
        checkpoint = session.scalars(select(Checkpoint)).one()
        for runtime, expected in (
            ("torch", ["other", "reference", "onnx"]),
            ("onnxruntime", ["onnx", "other", "reference"]),
        ):
            found = evaluations.applying(session, checkpoint, engine=runtime, precision="fp32")
            assert [row.id for row in found] == [numbers[name] for name in expected]


def test_the_comparison_is_the_one_that_counted_when_the_verdict_was_given(engine: Engine) -> None:
    job = add_job(engine, [["a.jpg"]])
    with writing(engine) as session:
        model = session.scalars(select(Checkpoint)).one()
        evaluation = evaluations.add_evaluation(
            session, new_evaluation(3, 1, 1, 3), checkpoint_id=model.id, dataset=add_dataset(session)
        ).id
        for difference in (0.0, 0.1, 0.2):
            parity = NewParity(
                name="torch", file_digest=None, evaluation_id=evaluation, reference_evaluation_id=None, images=8,
                largest_difference=difference, mean_difference=0.0, flipped=0, accepted=True, reason="x",
            )  # fmt: skip
            runtimes.add(session, parity, checkpoint_id=model.id)
    with tampering(engine) as session:
        later = update(RuntimeParity).where(RuntimeParity.largest_difference == 0.2)
        session.execute(later.values(created_at=database_now(3600)))
    inspect_all(engine)
    found = traced(engine, job, "a.jpg")
    assert found.runtime == "torch"
    assert found.comparison is not None
    assert found.comparison.largest_difference == 0.1
    with tampering(engine) as session:
        session.execute(update(InspectionResult).values(engine="abacus"))
    unknown = traced(engine, job, "a.jpg")
    assert (unknown.runtime, unknown.comparison) == (None, None)


def test_events_stream_with_the_digest_before_each_whatever_lies_between(engine: Engine) -> None:
    job, other = (add_job(engine, [[name]]) for name in ("a.jpg", "b.jpg"))
    with writing(engine) as session:
        for subject in (job, other, job):
            audit.record(session, actor="anna", action="noted", subject=f"job:{subject}", words="größer")
    with reading(engine) as session:
        found = list(lineage.events(session, lineage.concerning([f"job:{job}"])))
        chain = {row.id: row.digest for row in session.scalars(select(AuditEvent))}
        newest = lineage.newest_digest(session)
    assert [event.action for event, _ in found] == ["job.submit", "noted", "noted"]
    for event, previous in found:
        assert previous == chain.get(event.id - 1, audit.FIRST)
        own = audit.digest(previous, event.time, event.actor, event.action, event.subject, event.details)
        assert own == event.digest
    assert newest == chain[max(chain)]


def test_in_a_large_job_a_verdict_is_found_by_keys_and_old_events_are_counted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.lineage.MOST_EVENTS", 10)
    job = add_job(engine, [[f"{number:05}.jpg" for number in range(FILES)]])
    inspect_all(engine, Disposition.FAIL)
    with writing(engine) as session:
        for _ in range(lineage.MOST_EVENTS):
            audit.record(session, actor="anna", action="noted", subject=f"job:{job}")
    with reading(engine) as session, counted(session, "inspection_result") as cost:
        found = lineage.trace(session, job, "02999.jpg", name_of)
    assert (found.verdict.path, found.verdict.disposition) == ("02999.jpg", Disposition.FAIL)
    assert (len(found.events), found.events_left_out) == (lineage.MOST_EVENTS, 3)
    assert 0 < cost() < {"postgresql": 10, "sqlite": 5 * FILES}[engine.dialect.name]  # a row takes SQLite a dozen
