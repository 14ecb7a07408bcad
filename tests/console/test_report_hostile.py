"""Can anything that a report shows run in the browser of its reader? Every text of the database is hostile here."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Enum, String, literal, update

from console.report.evaluation import evaluation_page
from console.report.job import job_page
from db.engine import Engine
from db.models import Base, DatasetSnapshot, InspectionJob, JobState, TrainingRun
from tests.tampering import tampering

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
RUNS = "document.documentElement.dataset.ran='yes'"
BREAKS_OUT = f"\"'></style></title></svg><script>{RUNS}</script><img src=x onerror={RUNS}>"
HOSTILE = f"{BREAKS_OUT}{{{{ 7 * 7 }}}}{{% raw %}}&lt;\x1b[31m\u202e"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
CHROMIUM_SECONDS = 120


def poison(engine: Engine) -> int:
    """Put HOSTILE in front of every text of every row, so that what belonged together still does. How many columns."""
    columns = 0
    with tampering(engine) as session:
        session.query(InspectionJob).one().state = JobState.FAILED
        session.query(InspectionJob).one().state_reason = "reason"
        for run in session.query(TrainingRun):
            run.recipe = run.library_versions = {HOSTILE: HOSTILE}
        for dataset in session.query(DatasetSnapshot):
            dataset.counts = {HOSTILE: {HOSTILE: 1}}
        for name, table in Base.metadata.tables.items():
            texts = [c for c in table.columns if isinstance(c.type, String) and not isinstance(c.type, Enum)]
            columns += len(texts)
            for column in texts:
                assert not column.primary_key or name in ("service_heartbeat", "leadership", "stage_time")
                session.execute(update(table).values({column: literal(HOSTILE) + column}))
    return columns


@pytest.fixture
def pages(rows: Any, tmp_path: Path) -> dict[str, str]:
    """Both reports of a database in which nothing but hostile text stands."""
    model = rows.add_model()
    verdicts = [
        rows.Verdict(path=f"a/{n}.png", score=score, sha256="0" * 64) for n, score in enumerate((0.1, 0.5, 0.9))
    ]
    job = rows.add_job(tmp_path, [*verdicts, rows.Verdict(path="u.png", score=None, reason="corrupt")])
    judged = [
        rows.Judged(path=f"{actual}{n}.png", actual=actual, score=score, sha256="0" * 64)
        for actual in ("defective", "ok")
        for n, score in enumerate((0.2, 0.8))
    ]
    judged.append(rows.Judged(path="u.png", actual="ok", score=None))
    number = rows.add_evaluation(model, tmp_path, judged, twins=1)
    assert poison(rows.engine) > 30
    return {
        "job": job_page(rows.engine, job, made_at=NOON),
        "evaluation": evaluation_page(rows.engine, number, made_at=NOON),
    }


@pytest.mark.parametrize("name", ["job", "evaluation"])
def test_no_text_becomes_an_element_an_attribute_or_a_template(rows: Any, pages: dict[str, str], name: str) -> None:
    seen = rows.read(pages[name])
    assert not {"script", "iframe", "object", "embed", "base", "form"} & set(seen.tags)
    assert not [attribute for _, attribute, _ in seen.attributes if attribute.startswith("on")]
    assert not [value for _, attribute, value in seen.attributes if attribute == "style" and "<" in value]
    assert "x" not in seen.pictures
    assert seen.words.count("{{ 7 * 7 }}") > 10, "the text is shown, and as it is"
    assert "\x1b" not in pages[name]
    assert "\u202e" not in pages[name]
    assert POLICY.search(pages[name])


def ran(page: str, folder: Path) -> bool:
    """Whether a script of the page ran in Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail("Chromium is not installed, and CI has to have it.")
        pytest.skip("Chromium is not installed.")
    folder.mkdir()
    (folder / "page.html").write_text(page, encoding="utf-8")
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [chromium, *switches, f"--user-data-dir={folder}", "--dump-dom", (folder / "page.html").as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=CHROMIUM_SECONDS, check=True
    )
    opening = re.search(r"<html[^>]*>", done.stdout)
    assert opening
    return "data-ran" in opening[0]


def test_nothing_runs_in_a_real_browser_and_the_policy_holds_on_its_own(pages: dict[str, str], tmp_path: Path) -> None:
    both = pages["job"] + pages["evaluation"]
    broken = pages["job"].replace("<main>", f"<main><p>{BREAKS_OUT}</p>", 1)
    without: Callable[[str], str] = lambda page: POLICY.sub("", page)  # noqa: E731
    cases = {"escaping alone": without(both), "policy alone": broken, "neither": without(broken)}
    with ThreadPoolExecutor(2) as pool:
        seen = dict(zip(cases, pool.map(lambda name: ran(cases[name], tmp_path / name), cases), strict=True))
    assert seen == {"escaping alone": False, "policy alone": False, "neither": True}
