"""Do the page and the figures say what the database holds, and is a database that is away told?"""

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect
from prometheus_client.parser import text_string_to_metric_families

from db import batches, heartbeats, jobs, stage_times
from db.engine import Engine, writing
from tests.rows import add_job, claim_next
from tests.web.conftest import Console, Looked
from tests.web.test_journey import job_of


def got(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def figures(console: Console) -> dict[tuple[str, str], float]:
    """(name, label) -> value."""
    _, text = got(f"{console.url}/metrics")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_database(console: Console, engine: Engine, tmp_path: Path) -> None:
    job_of(console.rows, tmp_path / "images")
    add_job(engine, [["a", "b"], ["c"]])
    claim_next(engine)
    with writing(engine) as session:
        heartbeats.beat(session, name="w@h", role="worker", refused_messages=3)
    found = figures(console)
    images = {word: found["inspectq_images", word] for word in ("pass", "fail", "review", "unreadable", "cancelled")}
    assert images == {"pass": 30, "fail": 2, "review": 12, "unreadable": 1, "cancelled": 0}
    assert found["inspectq_jobs", "done"] == found["inspectq_jobs", "running"] == 1
    batches = {state: found["inspectq_open_batches", state] for state in ("planned", "dispatched", "running")}
    assert batches == {"planned": 0, "dispatched": 1, "running": 1}
    assert found["inspectq_open_images", ""] == 3
    assert found["inspectq_oldest_open_job_timestamp_seconds", ""] > 1e9
    assert found["inspectq_services_alive", "worker"] == 1
    assert found["inspectq_refused_messages", ""] == 3
    assert found["inspectq_batch_faults", ""] == found["inspectq_batch_retries_total", ""] == 0


def test_what_only_grows_is_a_counter_and_what_a_retry_forgets_is_none(console: Console, engine: Engine) -> None:
    job = add_job(engine, [["a"], ["b"]])
    claim_next(engine, lease_seconds=-1)
    with writing(engine) as session:
        assert batches.take_back_expired(session) == 1
        stage_times.add(session, "left", {"read": 1.5, "infer": 6})
        stage_times.add(session, "right", {"read": 2})
    found = figures(console)
    stages = {stage: seconds for (name, stage), seconds in found.items() if name == "inspectq_stage_seconds_total"}
    assert stages == {"infer": 6, "read": 3.5}
    counted = ("inspectq_lease_expiries_total", "inspectq_batch_retries_total", "inspectq_batch_faults")
    assert [found[name, ""] for name in counted] == [1, 1, 1]
    with writing(engine) as session:
        jobs.fail(session, job, "A test.")
        jobs.retry(session, job, actor="anna")
    found = figures(console)
    assert [found[name, ""] for name in counted] == [1, 3, 0]


def test_the_readme_lists_every_figure(console: Console, repository_root: Path) -> None:
    text = (repository_root / "README.md").read_text(encoding="utf-8")
    paragraph = text[text.index("`/metrics` counts up") :].partition("\n\n")[0]
    told = re.findall(r"^# TYPE (\S+)", got(f"{console.url}/metrics")[1], flags=re.MULTILINE)
    assert set(re.findall(r"`(inspectq_[a-z_]+)`", paragraph)) == set(told) - {"inspectq_info"}


def test_the_page_names_services_and_what_waits(
    console: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    add_job(engine, [["a", "b"], ["c"]])
    with writing(engine) as session:
        heartbeats.beat(session, name="w<b>@h", role="worker")
        stage_times.add(session, "h", {"infer": 6000, "read": 2000})
    at_desk.page.goto(console.url)
    at_desk.page.get_by_role("link", name="Health").click()
    expect(at_desk.page.get_by_role("row", name="w<b>@h worker alive")).to_be_visible()
    expect(at_desk.page.get_by_role("row", name="read 2,000.0 25.0% opening the file, and its bytes")).to_be_visible()
    expect(at_desk.page.get_by_text("The oldest job with a batch that is not done")).to_be_visible()


def test_a_database_that_is_away_is_told(serve: Callable[..., Console], engine: Engine) -> None:
    console = serve()
    assert got(f"{console.url}/healthz") == got(f"{console.url}/readyz") == (200, "ok")
    file = Path(engine.url.database or "")
    engine.dispose()
    file.unlink()
    file.mkdir()
    assert got(f"{console.url}/healthz") == (200, "ok")
    status, sentence = got(f"{console.url}/readyz")
    assert (status, sentence) == (503, "the database does not answer")
    status, sentence = got(f"{console.url}/jobs")
    assert (status, "waits for its database" in sentence, str(file) in sentence) == (503, True, False)
