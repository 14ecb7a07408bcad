"""Does a bundle, and a trace, say what of the evidence does not fit, on SQLite and on PostgreSQL?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from console.exits import ExitCode
from db import evaluations, jobs, operating_points, rejudging, reviews, samples
from db.engine import writing
from db.models import ReviewDecision
from db.reviews import NewReview
from db.schema import open_database
from db.views import VIEWS
from tests.console.conftest import Rows
from tests.console.test_evidence import NASTY, Type, checked, images, made, typed, unpacked
from tests.tampering import tampering

assert images, typed  # fixtures


@pytest.fixture
def rows(database_with_tables: str) -> Iterator[Rows]:
    """An empty database of either kind."""
    engine = open_database(database_with_tables)
    yield Rows(engine=engine)
    engine.dispose()


def bundled(typed: Type, job: int, folder: Path) -> tuple[str, str, int, str]:
    """(what the command says, the README, what check.py returns and says)."""
    out = folder / f"lot-{job}.zip"
    said = typed("bundle", job, "--out", out)
    assert said.code == ExitCode.DONE
    where = unpacked(out)
    return " ".join(said.err.split()), (where / "README.txt").read_text(encoding="utf-8"), *checked(where)


def test_a_failed_job_is_bundled_with_its_images_without_a_verdict_and_fits(
    typed: Type, rows: Rows, images: Path, tmp_path: Path
) -> None:
    made(rows, images)
    failed = rows.add_job(images, [rows.Verdict(path=f"{n:02}.jpg", score=0.1) for n in range(11)], finished=False)
    with writing(rows.engine) as session:
        jobs.fail(session, failed, "no model")
    said, readme, code, words = bundled(typed, failed, tmp_path)
    assert (code, "DOES NOT" in readme) == (0, False), words
    assert "The job is failed: not every image that was submitted has a verdict." in said
    assert "8 pass, 0 fail, 0 review, 0 unreadable, 0 cancelled, 3 without a verdict." in readme
    (tmp_path / f"lot-{failed}" / "job.json").write_text(
        (tmp_path / f"lot-{failed}" / "job.json").read_text().replace('"open_images": 3', '"open_images": 2')
    )
    assert "the ledger does not account for all" in checked(tmp_path / f"lot-{failed}")[1]


def test_a_job_that_was_retried_and_judged_anew_is_bundled_with_every_verdict_and_fits(
    typed: Type, rows: Rows, images: Path, tmp_path: Path
) -> None:
    job = made(rows, images)
    with writing(rows.engine) as session:
        jobs.retry(session, job, actor="test")
    rows.go_on(job, {"line-2/gone.jpg": 0.5})
    with writing(rows.engine) as session:
        row = jobs.get(session, job)
        point = operating_points.propose(session, row.checkpoint, pass_below=0.2, fail_from=0.3, actor="test")
        rejudging.rejudge(session, row, operating_points.get(session, point.id), actor="test")
    said, readme, code, words = bundled(typed, job, tmp_path)
    assert (code, "DOES NOT" in readme) == (0, False), words
    assert "UNAPPROVED" in said
    lines = (tmp_path / f"lot-{job}" / "verdict-rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["revision"] for line in lines] == [1] * 5 + [2] + [3] * 5
    traced = typed("trace", job, "line-2/gone.jpg", "--format", "json").json
    assert (traced["does_not_fit"], len(traced["chain"])) == ([], 2)
    changed = lines[-1].replace('"score":', '"score":1')
    (tmp_path / f"lot-{job}" / "verdict-rows.jsonl").write_text("\n".join([*lines[:-1], changed]))
    assert "the verdicts of revision 3 are not as their event reported them" in checked(tmp_path / f"lot-{job}")[1]


def decided(rows: Rows, job: int, path: str, decision: str, **more: Any) -> None:
    new = NewReview(
        job=job, path=path, decision=ReviewDecision(decision), reviewer="ann", account="test", seen=None, **more
    )
    with writing(rows.engine) as session:
        reviews.decide(session, new)


def test_what_people_decided_is_bundled_and_fits(typed: Type, rows: Rows, images: Path, tmp_path: Path) -> None:
    job = made(rows, images)
    decided(rows, job, NASTY[0], "UNSURE")
    decided(rows, job, NASTY[1], "FAIL", reason_code="crack", note="=from edge to edge")
    decided(rows, job, "line-2/gone.jpg", "FAIL")
    with writing(rows.engine) as session:
        reviews.undo(session, job, reviewer="ann", account="test")
        samples.draw(session, jobs.get(session, job), images=1, drawn_by="test")
    said, _, code, words = bundled(typed, job, tmp_path)
    assert (code, "DOES NOT" in said) == (0, False), words
    where = tmp_path / f"lot-{job}"
    told = {row["path"]: row for row in json.loads((where / "verdicts.json").read_text())}
    assert [told[path]["final_disposition"] for path in (*NASTY[:2], "line-2/gone.jpg")] == [
        "REVIEW",
        "FAIL",
        "UNREADABLE",
    ]
    assert (told[NASTY[1]]["review_reason"], told[NASTY[1]]["reviewed_by"]) == ("crack", "ann")
    traced = typed("trace", job, NASTY[1], "--format", "json").json
    assert (traced["does_not_fit"], traced["final_disposition"]) == ([], "FAIL")
    assert [event["action"] for event in traced["audit_events"] if event["subject"] == f"reviews:{job}"] == [
        "review.decide"
    ]
    shown = typed("trace", job, NASTY[1]).out
    assert "so that it counts as FAIL" in shown
    assert "crack; =from edge to edge" in shown


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE review SET decision = 'PASS'", "Review 1 is not as it was recorded."),
        ("UPDATE review SET reviewer = 'bob'", "Review 1 is not as it was recorded."),
        ("DELETE FROM review", "Review 1 is missing."),
    ],
)
def test_a_decision_that_was_altered_is_not_handed_on_without_a_word(
    typed: Type, rows: Rows, images: Path, tmp_path: Path, change: str, found: str
) -> None:
    job = made(rows, images)
    decided(rows, job, NASTY[0], "FAIL")
    with tampering(rows.engine) as session:
        session.execute(text(change))
    assert found in typed("trace", job, NASTY[0]).out
    said, _, code, words = bundled(typed, job, tmp_path)
    assert (found in said, code) == (True, 1), words


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("verdicts.json", '"final_disposition": "FAIL"', '"final_disposition": "PASS"', "final_disposition is 'PASS'"),
        ("verdicts.json", '"reviewed_by": "ann"', '"reviewed_by": "bob"', "reviewed_by is 'bob'"),
        ("records.jsonl", '"decision":"FAIL"', '"decision":"PASS"', "review 1 is not as its event reported it"),
        ("records.jsonl", '{"record": ["review", 1]}', '{"record": ["review", 2]}', "review 1 is missing"),
    ],
)
def test_a_decision_that_was_altered_in_a_bundle_is_found(
    typed: Type, rows: Rows, images: Path, tmp_path: Path, file: str, old: str, new: str, found: str
) -> None:
    job = made(rows, images)
    decided(rows, job, NASTY[0], "FAIL")
    bundled(typed, job, tmp_path)
    altered = tmp_path / f"lot-{job}" / file
    before = altered.read_text()
    assert old in before
    altered.write_text(before.replace(old, new))
    assert found in checked(tmp_path / f"lot-{job}")[1]


CHANGES = {
    "UPDATE inspection_result SET score = 0.95 WHERE path LIKE 'line-2/caf%'": (
        "Batch 1 of job 1: of 5 verdicts at least one is not as it was recorded.",
        "the verdicts of batch 1 are not as their event reported them",
    ),
    "UPDATE operating_point SET pass_below = 0.35 WHERE id = 2": (
        "Operating point 2 is not as it was recorded.",
        "operating_point 2 is not as its event reported it",
    ),
    "UPDATE confusion_cell SET images = 0 WHERE actual = 'defective' AND predicted = 'ok'": (
        "Evaluation 1, or one of its rows in class metric, confusion cell, evaluation score, is not as it was",
        "evaluation 1 is not as its event reported it",
    ),
    "UPDATE audit_event SET actor = 'nobody' WHERE action = 'job.submit'": (
        "Event 9 is not as it was recorded.",
        "event 9 was altered",
    ),
    "DELETE FROM audit_event WHERE action = 'results.add'": (
        "without an event.",
        "no event reports the verdicts of batch 1",
    ),
    "UPDATE operating_point_approval SET approved_by = 'Q. Boss'": (
        "Approval 1 is not as it was recorded.",
        "'Q. Boss' approved it, its event 'Q. Engineer'",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_that_were_altered_are_not_handed_on_without_a_word(
    typed: Type, rows: Rows, images: Path, tmp_path: Path, change: str
) -> None:
    job, (sentence, found) = made(rows, images), CHANGES[change]
    assert typed("trace", job, "line-2/caf\udce9.jpg", "--format", "json").json["does_not_fit"] == []
    with tampering(rows.engine) as session:
        assert session.execute(text(change)).rowcount  # type: ignore[attr-defined]
    said, readme, code, words = bundled(typed, job, tmp_path)
    assert "DOES NOT FIT what was recorded: " in said
    assert sentence in said
    assert sentence in readme
    assert (code, found in words) == (1, True), words
    traced = typed("trace", job, "line-2/caf\udce9.jpg")
    assert traced.out.startswith("NOTE: this does not fit what was recorded; see inspectq audit verify\n")
    assert sentence in traced.out
    assert traced.out.split("\n\n")[1].startswith("Verdict\n")


def test_a_job_whose_limits_were_exchanged_is_bundled_with_a_note_and_does_not_fit(
    typed: Type, rows: Rows, images: Path, tmp_path: Path
) -> None:
    job = made(rows, images)
    with writing(rows.engine) as session:
        model = jobs.get(session, job).checkpoint
        point = operating_points.propose(session, model, pass_below=0.5, fail_from=0.5, actor="test")
        operating_points.approve(session, point, by="Q. Boss", reason="After the fact.", account="test")
        session.execute(text(f"UPDATE inspection_job SET operating_point_id = {point.id}"))
    said, _, code, words = bundled(typed, job, tmp_path)
    assert "Job 1 says that it is judged by operating point 3, but by the events it is by 2." in said
    assert (code, "by the events the job is judged by 2" in words) == (1, True)


def test_what_the_limits_were_read_off_is_in_the_bundle(typed: Type, rows: Rows, images: Path, tmp_path: Path) -> None:
    job = made(rows, images)
    held_out = [rows.Judged(path=f"{n}.jpg", actual=("defective", "ok")[n % 2], score=n / 10) for n in range(9)]
    number = rows.add_evaluation(1, images, held_out, split="validation")
    with writing(rows.engine) as session:
        row = jobs.get(session, job)
        point = operating_points.propose(
            session,
            row.checkpoint,
            pass_below=0.35,
            fail_from=0.35,
            actor="test",
            targets={"max_miss_rate": 0.5},
            evaluation=evaluations.get(session, number),
        )
        rejudging.rejudge(session, row, operating_points.get(session, point.id), actor="test")
    said, _, code, words = bundled(typed, job, tmp_path)
    assert (code, "DOES NOT FIT" in said) == (0, False), words
    folder = tmp_path / f"lot-{job}"
    read_off, tested = json.loads((folder / "operating-point.json").read_text())["gives"]
    assert (read_off["split"], read_off["missed"], read_off["alarms"], tested["split"]) == ("validation", 2, 2, "test")
    assert f'{{"record": ["evaluation", {number}]}}' in (folder / "records.jsonl").read_text()


def test_leaks_and_evaluations_of_later_are_told(typed: Type, rows: Rows, images: Path, tmp_path: Path) -> None:
    judged = [rows.Judged(path=f"{n}.jpg", actual=("defective", "ok")[n % 2], score=n / 10) for n in range(9)]
    first = made(rows, images)
    rows.add_evaluation(1, images, judged, leaking=2)
    said, readme, code, words = bundled(typed, first, tmp_path)
    assert (code, "Evaluation e2 is leaking" in readme) == (0, False), words
    assert "Evaluation e2 was made after the verdicts were given." in said
    documents = json.loads((tmp_path / f"lot-{first}" / "evaluation.json").read_text())
    assert [(row["evaluation"], row["made_after_the_verdicts"]) for row in documents] == [("e1", False), ("e2", True)]
    second = rows.add_job(images, [rows.Verdict(path="a.jpg", score=0.1)])
    said, readme, code, words = bundled(typed, second, tmp_path)
    assert code == 0, words
    assert "NOTE: Evaluation e2 is leaking: 2 of 9 test images have a twin in training." in readme
    assert "was made after" not in said
    workers = json.loads((tmp_path / f"lot-{second}" / "versions.json").read_text())["inspection"]["workers"]
    assert workers == [{"versions": {"inspectq": "0.1", "torch": "2.9", "pillow": "12"}, "batches": 1}]


def test_a_view_that_shows_something_else_is_named(typed: Type, rows: Rows, images: Path, tmp_path: Path) -> None:
    job = made(rows, images)
    with writing(rows.engine) as session:
        session.execute(text("DROP VIEW v_dispositions"))
        query = VIEWS["v_dispositions"].replace("r.score AS score", "r.score / 2 AS score")
        session.execute(text(f"CREATE VIEW v_dispositions AS {query}"))
    said, _, code, words = bundled(typed, job, tmp_path)
    assert "The view v_dispositions is not as inspectq makes it." in said
    assert (code, "has another verdict in verdict-rows.jsonl" in words) == (1, True)


def test_what_is_not_json_any_more_is_named_and_the_rest_is_checked(
    typed: Type, rows: Rows, images: Path, tmp_path: Path
) -> None:
    job = made(rows, images)
    bundled(typed, job, tmp_path)
    for name in ("job.json", "audit-events.jsonl", "verdicts.json", "records.jsonl"):
        before = (tmp_path / "lot-1" / name).read_text()
        (tmp_path / "lot-1" / name).write_text(before[:-5])
        code, words = checked(tmp_path / "lot-1", images)
        assert (code, "cannot be read to its end" in words) == (1, True), words
        (tmp_path / "lot-1" / name).write_text(before)
    assert checked(tmp_path / "lot-1", images)[0] == 0
