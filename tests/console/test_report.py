"""Does the report of a job show what the database and the files hold, and nothing else?"""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.report import job as job_report
from console.report import write_job_report
from console.report.job import job_page
from db import jobs, reviews
from db.engine import connect, writing
from db.errors import NotFound, Refused
from db.models import ReviewDecision
from db.paths import to_text
from db.reviews import NewReview
from db.schema import open_database, upgrade

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOSTILE = ("<script>alert(1)</script>.png", "\"onerror='x'.png", "two\nlines\u202egnp.exe.png", to_text(b"caf\xff.png"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parts"


def add_mixed_job(rows: Any, folder: Path) -> int:
    """5 PASS, 3 FAIL, 2 REVIEW, 1 UNREADABLE in three folders."""
    rows.add_model()
    scores = {"a/p0": 0.01, "a/p1": 0.1, "a/p2": 0.2, "b/p3": 0.3, "b/p4": 0.39, "b/r0": 0.4, "b/r1": 0.59}
    scores |= {"a/f0": 0.6, "a/f1": 0.9994, "f2": 0.8}
    verdicts = [
        rows.Verdict(path=f"{name}.png", score=score, sha256=rows.draw(folder, f"{name}.png", int(score * 255)))
        for name, score in scores.items()
    ]
    return rows.add_job(folder, [*verdicts, rows.Verdict(path="b/u0.jpg", score=None, reason="truncated")])


@pytest.fixture
def mixed_job(rows: Any, folder: Path) -> int:
    return add_mixed_job(rows, folder)


def test_the_numbers_are_those_of_the_ledger(rows: Any, mixed_job: int) -> None:
    words = rows.read(job_page(rows.engine, mixed_job, made_at=NOON)).words
    assert "3 images fail of 11 submitted, 2 need a review, 1 could not be read." in words
    assert "The ledger closes: 11 submitted = 5 pass + 3 fail + 2 review + 1 unreadable + 0 cancelled" in words
    assert "PASS below 0.4" in words
    assert "FAIL from 0.6" in words
    assert "by m.keller" in words
    assert "still running" not in words


def test_what_people_decided_is_told_beside_the_verdicts(rows: Any, mixed_job: int) -> None:
    words = rows.read(job_page(rows.engine, mixed_job, made_at=NOON)).words
    assert "What people decided" not in words
    for path, decision in {"b/r0.png": "FAIL", "a/f0.png": "PASS", "b/r1.png": "UNSURE"}.items():
        new = NewReview(
            job=mixed_job,
            path=path,
            decision=ReviewDecision(decision),
            reviewer="ann",
            account="test",
            seen=None,
        )
        with writing(rows.engine) as session:
            reviews.decide(session, new)
    words = rows.read(job_page(rows.engine, mixed_job, made_at=NOON)).words
    assert "3 images fail of 11 submitted" in words
    assert "People decided about 2 images. With their decisions 3 images fail, 6 pass, 1 waits for a person" in words


def test_failures_are_pictured_with_their_scores_the_highest_first(rows: Any, mixed_job: int) -> None:
    page = job_page(rows.engine, mixed_job, made_at=NOON)
    seen = rows.read(page)
    assert len(seen.pictures) == 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in seen.pictures)
    alts = [value for tag, name, value in seen.attributes if (tag, name) == ("img", "alt")]
    assert alts == [
        "FAIL with a score of 0.999: a/f1.png",
        "FAIL with a score of 0.800: f2.png",
        "FAIL with a score of 0.600: a/f0.png",
        "REVIEW with a score of 0.590: b/r1.png",
        "REVIEW with a score of 0.400: b/r0.png",
    ]


def test_postgresql_gives_the_same_report(rows: Any, postgres_url: str, folder: Path) -> None:
    upgrade(connect(postgres_url))
    there = replace(rows, engine=open_database(postgres_url))
    pages = [job_page(where.engine, add_mixed_job(where, folder), made_at=NOON) for where in (rows, there)]
    there.engine.dispose()
    timed = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d|after .*? from submission")
    assert timed.sub("", pages[0]) == timed.sub("", pages[1])


def test_an_unreadable_file_is_listed_with_its_reason(rows: Any, mixed_job: int) -> None:
    words = rows.read(job_page(rows.engine, mixed_job, made_at=NOON)).words
    assert "b/u0.jpg truncated The image starts well, but its end is missing" in words
    assert "seen by the decoder" in words


def test_the_defect_rate_of_each_folder_leaves_out_what_could_not_be_read(rows: Any, mixed_job: int) -> None:
    words = rows.read(job_page(rows.engine, mixed_job, made_at=NOON)).words
    table = words.partition("Defect rate per folder")[2].partition("How good is the model?")[0]
    assert "a/ 5 0 2 40.0%" in table
    assert "(the job’s folder itself) 1 0 1 100.0%" in table
    assert "b/ 5 1 0 0.0%" in table


def test_the_page_asks_the_network_for_nothing_and_runs_nothing(rows: Any, mixed_job: int) -> None:
    seen = rows.read(job_page(rows.engine, mixed_job, made_at=NOON))
    assert not {"script", "iframe", "object", "base", "form"} & set(seen.tags)
    references = [value for _, name, value in seen.attributes if name in ("src", "href", "srcset", "action")]
    assert references
    assert all(value.startswith(("data:", "#")) for value in references)
    styles = " ".join([value for _, name, value in seen.attributes if name == "style"] + seen.text)
    assert not re.search(r"@import|url\((?!#)", styles)
    policy = next(value for tag, name, value in seen.attributes if tag == "meta" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_hostile_file_names_are_shown_and_never_interpreted(rows: Any, folder: Path) -> None:
    rows.add_model()
    folder.mkdir()
    verdicts = [rows.Verdict(path=f"x/{name}", score=0.9, sha256="0" * 64) for name in HOSTILE]
    verdicts += [rows.Verdict(path=f"y/{name}", score=None, reason="corrupt") for name in HOSTILE]
    page = job_page(rows.engine, rows.add_job(folder, verdicts), made_at=NOON)
    seen = rows.read(page)
    assert "script" not in seen.tags
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "\u202e" not in page
    for spelled in (HOSTILE[0], HOSTILE[1], r"two\nlines\u202egnp.exe.png", r"caf\xff.png"):
        assert f"y/{spelled}" in seen.words
        assert f"x/{spelled}" in [value for _, name, value in seen.attributes if name == "title"]


def test_a_file_whose_name_is_not_utf_8_is_pictured(rows: Any, folder: Path) -> None:
    rows.add_model()
    sha256 = rows.draw(folder, "plain.png")
    (folder / "plain.png").rename(Path(f"{folder}/caf\udcff.png"))
    job = rows.add_job(folder, [rows.Verdict(path=to_text(b"caf\xff.png"), score=0.9, sha256=sha256)])
    assert len(rows.read(job_page(rows.engine, job, made_at=NOON)).pictures) == 1


def test_a_missing_or_changed_file_is_not_shown_as_evidence(rows: Any, folder: Path) -> None:
    rows.add_model()
    digests = {
        name: rows.draw(folder, name, shade) for name, shade in (("kept.png", 1), ("gone.png", 2), ("new.png", 3))
    }
    verdicts = [rows.Verdict(path=name, score=0.9, sha256=digest) for name, digest in digests.items()]
    job = rows.add_job(folder, verdicts)
    (folder / "gone.png").unlink()
    rows.draw(folder, "new.png", 200)
    seen = rows.read(job_page(rows.engine, job, made_at=NOON))
    assert len(seen.pictures) == 1
    assert "the file is no longer there. 0.900 gone.png" in seen.words
    assert "the file has been changed since it was inspected. 0.900 new.png" in seen.words


def test_pictures_are_capped_and_the_rest_is_said(rows: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_report, "MOST_FAIL", 3)
    monkeypatch.setattr(job_report, "MOST_UNREADABLE", 2)
    rows.add_model()
    sha256 = rows.draw(folder, "0.png")
    verdicts = [rows.Verdict(path=f"{number}.png", score=0.9, sha256=sha256) for number in range(10)]
    verdicts += [rows.Verdict(path=f"bad{number}.png", score=None, reason="corrupt") for number in range(7)]
    job = rows.add_job(folder, verdicts)
    words = rows.read(job_page(rows.engine, job, made_at=NOON)).words
    assert "7 more with lower scores are not pictured. To list them all: inspectq results 1 --disposition fail" in words
    assert "5 more are not listed here. To list them all: inspectq results 1 --disposition unreadable" in words
    assert words.count("no longer there") == 2  # 1.png and 2.png were never drawn


def test_an_open_job_says_that_its_figures_will_change(rows: Any, folder: Path) -> None:
    rows.add_model()
    job = rows.add_job(folder, [rows.Verdict(path=f"{n:02}.png", score=0.1) for n in range(20)], finished=False)
    words = rows.read(job_page(rows.engine, job, made_at=NOON)).words
    assert "This job is still running." in words
    assert "12 images are waiting for a verdict" in words
    assert "The ledger is still open: 20 submitted = 8 pass" in words


def test_a_job_that_was_cancelled_says_what_was_not_inspected(rows: Any, folder: Path) -> None:
    rows.add_model()
    job = rows.add_job(folder, [rows.Verdict(path=f"{n:02}.png", score=0.1) for n in range(20)], finished=False)
    with writing(rows.engine) as session:
        jobs.cancel(session, job, actor="m.keller")
    words = rows.read(job_page(rows.engine, job, made_at=NOON)).words
    assert "This job was cancelled: 12 planned images were never inspected. Cancelled by m.keller." in words
    assert "The ledger closes: 20 submitted = 8 pass + 0 fail + 0 review + 0 unreadable + 12 cancelled" in words


def test_an_unapproved_and_never_evaluated_model_is_named_as_such(rows: Any, folder: Path) -> None:
    rows.add_model(approved=False)
    words = rows.read(job_page(rows.engine, rows.add_job(folder, []), made_at=NOON)).words
    assert "The model is not approved. castings-1 is a candidate" in words
    assert "This model has never been evaluated" in words


def test_the_same_rows_and_files_give_the_same_page(rows: Any, mixed_job: int) -> None:
    assert job_page(rows.engine, mixed_job, made_at=NOON) == job_page(rows.engine, mixed_job, made_at=NOON)


def test_the_report_is_written_whole_and_each_picture_is_announced(rows: Any, mixed_job: int, tmp_path: Path) -> None:
    announced: list[None] = []
    write_job_report(rows.engine, mixed_job, tmp_path / "r.html", on_image=lambda: announced.append(None))
    assert (tmp_path / "r.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert len(announced) == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_a_report_that_cannot_be_written_or_made_is_one_sentence(rows: Any, mixed_job: int, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="Choose another --out"):
        write_job_report(rows.engine, mixed_job, tmp_path / "missing" / "r.html")
    with pytest.raises(NotFound, match="no job 99"):
        write_job_report(rows.engine, 99, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_writing_a_report_never_loads_torch() -> None:
    code = "import sys, console.report; sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
