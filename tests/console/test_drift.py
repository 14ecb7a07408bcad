"""Do `jobs show` and the report say that a job looks like something else, and what its defect rate is?"""

import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.drift import defect_rate_words, drift_words
from console.report.job import job_page
from db import drift, jobs
from db.engine import reading
from db.models import InspectionJob, JobDrift, JobState
from scheduler.comparing import compare_finished, compare_job
from tests.console.shell import type_here

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def scores(images: int, defects: float, seed: int) -> list[tuple[str, float]]:
    draw = random.Random(seed)  # noqa: S311 - made-up scores
    kinds = ["defective" if draw.random() < defects else "ok" for _ in range(images)]
    return [(kind, min(max(draw.gauss(0.85 if kind == "defective" else 0.1, 0.05), 0.0), 1.0)) for kind in kinds]


@pytest.fixture
def model(rows: Any) -> int:
    return int(rows.add_model())


@pytest.fixture
def evaluation(rows: Any, model: int, tmp_path: Path) -> int:
    images = [
        rows.Judged(path=f"{number}.png", actual=kind, score=score, novelty=0.5)
        for number, (kind, score) in enumerate(scores(120, 0.3, 1))
    ]
    return int(rows.add_evaluation(model, tmp_path, images))


def add_job(rows: Any, folder: Path, novelty: float) -> int:
    verdicts = [
        rows.Verdict(path=f"{number:03}.png", score=score, novelty=novelty)
        for number, (_, score) in enumerate(scores(80, 0.1, 2))
    ]
    return int(rows.add_job(folder, verdicts))


def page_of(rows: Any, job: int) -> str:
    return job_page(rows.engine, job, made_at=NOON)


def test_an_ordinary_job_says_so_with_its_corrected_defect_rate(
    rows: Any,
    evaluation: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", str(rows.engine.url))
    job = add_job(rows, tmp_path, 0.5)
    assert "Not yet compared with what the model was judged on." in rows.read(page_of(rows, job)).words
    assert type_here(capsys, "jobs", "show", str(job), "--format", "json").json["drift"] is None
    compare_finished(rows.engine, limit=1)
    seen = rows.read(page_of(rows, job))
    sentence = f"Looks like what the model was judged on (evaluation e{evaluation})"
    assert sentence in seen.words
    assert "does not look like" not in seen.words
    assert f"corrected by evaluation e{evaluation}" in seen.words
    assert "What is in REVIEW counts as not failed" in seen.words
    assert any("mixed so that they fit best" in value for tag, name, value in seen.attributes if name == "aria-label")
    shown = type_here(capsys, "jobs", "show", str(job)).out
    assert sentence in " ".join(shown.split())
    assert re.search(r"judged_by +engine torch, precision fp32, device cpu, worker w1, images 80 *$", shown, re.M)
    fields = type_here(capsys, "jobs", "show", str(job), "--format", "json").json["drift"]
    assert (fields["likeness"], fields["evaluation"], fields["images"]) == ("alike", f"e{evaluation}", 80)
    assert fields["corrected_rate_lcl"] <= fields["corrected_rate"] <= fields["corrected_rate_ucl"]


def test_a_job_of_something_else_says_so_on_top(rows: Any, evaluation: int, tmp_path: Path) -> None:
    job = add_job(rows, tmp_path, 3.0)
    compare_job(rows.engine, job)
    page = page_of(rows, job)
    words = rows.read(page).words
    assert "This job does not look like what the model was judged on." in words
    assert "100% of the images are far from anything seen in training (evaluation: 0%)" in words
    assert "Do not rely on it" in words
    assert words.index("This job does not look like") < words.index("Where every image ended up")


def test_the_words_for_what_cannot_be_told(rows: Any, model: int, tmp_path: Path) -> None:
    job = add_job(rows, tmp_path, 0.5)
    compare_job(rows.engine, job)
    with reading(rows.engine) as session:
        row = drift.of_job(session, jobs.get(session, job))
    assert "the model has no evaluation" in str(defect_rate_words(row))
    assert "the model has no evaluation" in rows.read(page_of(rows, job)).words
    known: dict[str, Any] = {"evaluation_id": 7, "defect_rate": 0.25, "likeness": "alike"}
    one_class = JobDrift(**known, sensitivity=None, specificity=0.9)
    assert "images of one class alone" in str(defect_rate_words(one_class))
    useless = JobDrift(**known, sensitivity=0.1, specificity=0.9)
    assert "FAIL is no sign of a defect" in str(defect_rate_words(useless))
    assert defect_rate_words(None) is None
    assert drift_words(InspectionJob(state=JobState.RUNNING), None) is None
