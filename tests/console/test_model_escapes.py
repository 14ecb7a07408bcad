"""Is a model told how many defective parts it lets pass, over all of its jobs, each by what passed in it?"""

from pathlib import Path

import pytest

from console.escapes import escapes
from console.model_escapes import model_fields, model_words
from db import jobs, reviews, samples
from db.engine import writing
from db.models import ReviewDecision
from db.samples import Sampled
from tests.console.conftest import Rows
from tests.console.shell import type_here
from trainer.bounds import exact_bounds


def sampled(passed: int, good: int, defective: int = 0, unsure: int = 0) -> Sampled:
    drawn = good + defective + unsure
    return Sampled(passed=passed, drawn=drawn, good=good, defective=defective, unsure=unsure)


def test_a_job_counts_by_what_passed_and_not_by_how_closely_it_was_looked_at() -> None:
    told = escapes(sampled(9000, 99, 1), sampled(1000, 810, 90))
    assert told is not None
    assert (told.decided, told.defective) == (1000, 91)
    assert told.rate == pytest.approx(0.9 * 0.01 + 0.1 * 0.1)  # not 91 of 1,000


def test_one_job_is_told_as_on_its_own_page() -> None:
    (one,) = model_fields({2: [sampled(500, 97, 3)]})
    bounds = exact_bounds(3, 100)
    assert (one["escape_share"], one["escape_share_lcl"], one["escape_share_ucl"]) == (0.03, bounds.lcl, bounds.ucl)
    assert "Each job counts" not in " ".join(model_words([sampled(500, 97, 3)]))


def test_a_job_in_which_nobody_has_decided_is_said_to_be_unknown_and_changes_nothing() -> None:
    looked, waiting = sampled(500, 97, 3, 2), Sampled(passed=10_000, drawn=40, good=0, defective=0, unsure=0)
    (alone,), (both,) = model_fields({2: [looked]}), model_fields({2: [looked, waiting]})
    assert both == {**alone, "jobs_undecided": 1}
    assert both["passed"] == 500
    assert "In 1 job nobody has decided" in model_words([looked, waiting])[-1]
    assert len(model_words([waiting])) == 1
    (none,) = model_fields({2: [waiting]})
    assert (none["jobs"], none["escape_share"], none["escape_share_ucl"]) == (0, None, None)


def test_a_person_reads_the_denominator_the_bounds_and_what_doubt_would_mean() -> None:
    words = model_words([sampled(900, 99, 1, 1), sampled(100, 49, 1)])
    assert words[0] == "Of 1000 images that passed in 2 jobs 151 were drawn at random: 150 are decided."
    assert words[1].startswith("2 of these 150 are defective: 1.10% of what passes (")
    assert words[2].startswith("If the 1 that somebody was not sure of are defective: at most ")
    assert words[3] == "Each job counts by what passed in it."


def test_each_operating_point_is_told_by_itself() -> None:
    told = model_fields({3: [sampled(10, 5)], 2: [sampled(20, 5, 1)]})
    assert [(one["operating_point"], one["passed"], one["defective"]) for one in told] == [(3, 10, 0), (2, 20, 1)]


def decided_job(rows: Rows, root: Path, passed: int, defective: int) -> int:
    """A job whose whole sample, all that passed, is decided."""
    job = rows.add_job(root, [rows.Verdict(path=f"{at}.png", score=0.1, sha256=f"{at:064}") for at in range(passed)])
    with writing(rows.engine) as session:
        samples.draw(session, jobs.get(session, job), images=passed, drawn_by="test")
        for at in range(passed):
            decision = ReviewDecision.FAIL if at < defective else ReviewDecision.PASS
            new = reviews.NewReview(
                job=job, path=f"{at}.png", decision=decision, reviewer="ann", account="line1", seen=None, blind=True
            )
            reviews.decide(session, new)
    return job


def test_models_show_tells_it_to_people_and_scripts(
    rows: Rows,
    sqlite_with_tables: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", sqlite_with_tables)
    rows.add_model()
    assert type_here(capsys, "models", "show", "1", "--format", "json").json["samples_of_passed"] == []
    decided_job(rows, tmp_path, 6, 1)
    decided_job(rows, tmp_path, 4, 0)
    (told,) = type_here(capsys, "models", "show", "1", "--format", "json").json["samples_of_passed"]
    assert (told["operating_point"], told["jobs"], told["passed"], told["escape_share"]) == (2, 2, 10, 0.1)
    assert "10.00% of what passes" in " ".join(type_here(capsys, "models", "show", "1").out.split())
