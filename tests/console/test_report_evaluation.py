"""Does the report of an evaluation say how good the model is, and show where it was wrong?"""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.report import evaluation as evaluation_report
from console.report import write_evaluation_report, write_job_report
from console.report.evaluation import evaluation_page
from console.report.job import job_page
from db.errors import NotFound

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
CHROMIUM_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--dump-dom",
)
CHROMIUM_SECONDS = 120  # a first start took 4 s on two idle cores


def reference(rows: Any) -> list[Any]:
    """593 images whose confusion matrix is [[103, 23], [6, 461]]; none of the files is there."""
    groups = ((103, "defective", 0.8), (23, "defective", 0.2), (6, "ok", 0.7), (461, "ok", 0.1))
    return [
        rows.Judged(path=f"{actual}/{score}-{n:03}.png", actual=actual, score=score + n / 10_000, sha256="0" * 64)
        for images, actual, score in groups
        for n in range(images)
    ]


def test_the_matrix_of_the_reference_is_told_in_figures_and_words(rows: Any, tmp_path: Path) -> None:
    number = rows.add_evaluation(rows.add_model(), tmp_path, reference(rows))
    words = rows.read(evaluation_page(rows.engine, number, made_at=NOON)).words
    assert (
        "On 593 labelled images the model missed 23 of 126 defective parts (18.3%) "
        "and rejected 6 of 467 good parts (1.3%) ." in words
    )
    assert "defective 126 images 103 81.7% found 23 18.3% missed ok 467 images 6 1.3% false alarm 461 98.7%" in words
    assert "defective 0.94 0.88 to 0.98 0.82 0.74 to 0.88 0.88 " in words
    assert "accuracy 0.95 0.93 to 0.97 593" in words
    assert "Miss rate 18.3% 11.9% to 26.1% False alarm rate 1.3% 0.5% to 2.8%" in words
    assert "macro avg 0.95 0.90 0.92 593 weighted avg 0.95 0.95 0.95 593" in words
    assert "epochs 10 weights imagenet" in words


def test_a_job_tells_the_misses_of_its_model_and_that_the_limits_differ(rows: Any, tmp_path: Path) -> None:
    rows.add_evaluation(rows.add_model(limits=(0.5, 0.7)), tmp_path, reference(rows), twins=4)
    words = rows.read(job_page(rows.engine, rows.add_job(tmp_path, []), made_at=NOON)).words
    assert "it missed 23 of 126 defective parts (18.3%) and rejected 6 of 467 good parts (1.3%)" in words
    assert "this job was judged by other limits" in words
    assert "This evaluation is leaking: 4 test images have the same bytes as a training image." in words


def test_mistakes_are_pictured_the_worst_first_and_nothing_else(rows: Any, tmp_path: Path) -> None:
    scores = {"bad/a": 0.45, "bad/b": 0.05, "bad/c": 0.9, "good/d": 0.5, "good/e": 0.99, "good/f": 0.1}
    images = [
        rows.Judged(
            path=f"{name}.png",
            actual="defective" if name.startswith("bad") else "ok",
            score=score,
            sha256=rows.draw(tmp_path / "set", f"{name}.png", int(score * 200)),
        )
        for name, score in scores.items()
    ]
    number = rows.add_evaluation(rows.add_model(), tmp_path / "set", images)
    seen = rows.read(evaluation_page(rows.engine, number, made_at=NOON))
    assert [value for tag, name, value in seen.attributes if (tag, name) == ("img", "alt")] == [
        "Missed defect with a score of 0.050: bad/b.png",
        "Missed defect with a score of 0.450: bad/a.png",
        "False alarm with a score of 0.990: good/e.png",
        "False alarm with a score of 0.500: good/d.png",
    ]


def test_a_test_image_that_is_no_longer_the_same_is_not_shown(rows: Any, tmp_path: Path) -> None:
    sha256 = rows.draw(tmp_path, "a.png", 10)
    number = rows.add_evaluation(
        rows.add_model(), tmp_path, [rows.Judged(path="a.png", actual="ok", score=0.9, sha256=sha256)]
    )
    rows.draw(tmp_path, "a.png", 11)
    seen = rows.read(evaluation_page(rows.engine, number, made_at=NOON))
    assert seen.pictures == []
    assert "the file has been changed since it was inspected" in seen.words


def test_more_mistakes_than_are_pictured_are_counted(
    rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_report, "MOST_PICTURES", 5)
    number = rows.add_evaluation(rows.add_model(), tmp_path, reference(rows))
    words = rows.read(evaluation_page(rows.engine, number, made_at=NOON)).words
    assert "18 more, closer to the threshold, are not pictured." in words
    assert "1 more, closer to the threshold, is not pictured." in words


def test_identical_twins_in_training_and_unreadable_files_are_said(rows: Any, tmp_path: Path) -> None:
    images = [*reference(rows), rows.Judged(path="ok/<b>.png", actual="ok", score=None)]
    number = rows.add_evaluation(rows.add_model(), tmp_path, images, twins=1)
    seen = rows.read(evaluation_page(rows.engine, number, made_at=NOON))
    assert "leaking: 1 test image has the same bytes as a training image." in seen.words
    assert "ok/<b>.png truncated The image starts well" in seen.words


def test_an_evaluation_without_good_parts_has_no_curve_and_no_false_rate(rows: Any, tmp_path: Path) -> None:
    images = [rows.Judged(path=f"{n}.png", actual="defective", score=0.9, sha256="0" * 64) for n in range(3)]
    words = rows.read(
        evaluation_page(rows.engine, rows.add_evaluation(rows.add_model(), tmp_path, images), made_at=NOON)
    ).words
    assert "missed 0 of 3 defective parts (0.0%)" in words
    assert "nothing is known about false alarms" in words
    assert "What other thresholds would give" not in words


def test_the_same_evaluation_gives_the_same_page_and_an_unknown_one_a_sentence(rows: Any, tmp_path: Path) -> None:
    number = rows.add_evaluation(rows.add_model(), tmp_path, reference(rows))
    assert evaluation_page(rows.engine, number, made_at=NOON) == evaluation_page(rows.engine, number, made_at=NOON)
    with pytest.raises(NotFound, match="no evaluation 99"):
        write_evaluation_report(rows.engine, 99, tmp_path / "r.html")


def test_a_browser_shows_both_reports_with_their_pictures(rows: Any, tmp_path: Path) -> None:
    sha256 = rows.draw(tmp_path, "f.png")
    number = rows.add_evaluation(rows.add_model(), tmp_path, reference(rows))
    job = rows.add_job(tmp_path, [rows.Verdict(path="f.png", score=0.9, sha256=sha256)])
    write_job_report(rows.engine, job, tmp_path / "job.html")
    write_evaluation_report(rows.engine, number, tmp_path / "evaluation.html")
    shown = _dumped(tmp_path / "job.html", tmp_path / "profile")
    assert "1 image fails" in shown
    assert "data:image/jpeg;base64," in shown
    assert "23 of 126 defective parts (18.3%)" in _dumped(tmp_path / "evaluation.html", tmp_path / "profile")


def _dumped(page: Path, profile: Path) -> str:
    """The page as Chromium understood it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail("Chromium is not installed, and CI has to have it.")
        pytest.skip("Chromium is not installed.")
    command = [chromium, *CHROMIUM_SWITCHES, f"--user-data-dir={profile}", page.as_uri()]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=CHROMIUM_SECONDS, check=True
    ).stdout
