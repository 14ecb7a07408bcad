"""The whole cluster of docker-compose.yml, as local processes: a folder is scanned by two workers, and Flower shows it.

Every process is the compose file's own command; a client uses what `inspectq up` prints.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from console.cluster import LocalCluster
from console.postgres import postgres_programs
from console.servers import redis_programs
from tests.web.conftest import Looked
from vision.inspection import score_images
from vision.saved_network import load_checkpoint
from vision.torch_runtime import TorchRuntime

TASK = "inspectq.inspect_batch"
PROGRAM = Path(sys.executable).parent / "inspectq"
BATCH_IMAGES = 2  # small, so that a small folder keeps both workers busy
DEADLINE_SECONDS = 120


def inspectq(cluster: LocalCluster, *words: str | Path, typed: str = "") -> str:
    """What the command prints on standard output; its standard error where it fails."""
    environment = os.environ | cluster.environment | {"INSPECTQ_BATCH_IMAGES": str(BATCH_IMAGES)}
    done = subprocess.run([PROGRAM, *words], env=environment, input=typed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"inspectq {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def flower(cluster: LocalCluster, path: str) -> Any:
    """The JSON that Flower's API answers with."""
    login = base64.b64encode(":".join(cluster.flower_login).encode()).decode()
    request = urllib.request.Request(cluster.flower_url + path, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def eventually(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What is seen once it holds; what was seen last where it never does, for the assertion to show."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


@pytest.fixture(scope="module")
def cluster(server_folder: Path) -> Iterator[LocalCluster]:
    if not redis_programs() or postgres_programs() is None:
        pytest.skip("Redis or PostgreSQL is not installed.")
    with LocalCluster(server_folder / "cluster", workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def folder(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good images and a few bad files; a model for them is approved."""
    pictures = tmp_path_factory.mktemp("pictures")
    inspectq(cluster, "sample", pictures, "--images", "40")
    inspectq(
        cluster,
        "train",
        pictures,
        "--weights",
        "none",
        "--epochs",
        "1",
        "--image-size",
        "64",
        "--name",
        "tiny",
        "--no-export",
    )
    inspectq(cluster, "models", "approve", "tiny")
    return pictures / "incoming"


@pytest.fixture(scope="module")
def job(cluster: LocalCluster, folder: Path) -> str:
    """The id of a job that was scanned to its end."""
    return inspectq(cluster, "scan", folder, "--wait").strip()


@pytest.fixture(scope="module")
def tasks(cluster: LocalCluster, job: str, folder: Path) -> dict[str, Any]:
    """What Flower shows of the tasks, once its events have caught up with the job that has ended."""
    batches = -(-sum(path.is_file() for path in folder.rglob("*")) // BATCH_IMAGES)
    seen: dict[str, Any] = eventually(
        lambda: flower(cluster, "/api/tasks"),
        lambda tasks: len(tasks) >= batches and all(task["state"] == "SUCCESS" for task in tasks.values()),
    )
    return seen


def test_the_scan_prints_the_job_and_nothing_else(job: str) -> None:
    assert job.isdigit()


def test_the_ledger_of_the_job_is_closed(cluster: LocalCluster, job: str, folder: Path) -> None:
    ledger = json.loads(inspectq(cluster, "jobs", "show", job, "--format", "json"))["ledger"]
    assert set(ledger) == {"submitted", "pass", "fail", "review", "unreadable", "cancelled"}
    files = sum(path.is_file() for path in folder.rglob("*"))
    assert ledger["submitted"] == files > 2 * BATCH_IMAGES
    assert sum(count for name, count in ledger.items() if name != "submitted") == files
    assert ledger["cancelled"] == 0
    assert ledger["unreadable"] > 0, "the folder holds bad files"
    assert ledger["pass"] + ledger["fail"] + ledger["review"] > 0


def test_every_image_has_one_result_row_in_postgres(cluster: LocalCluster, job: str, folder: Path) -> None:
    url = cluster.environment["INSPECTQ_DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT path) FROM v_results WHERE job = %s", [int(job)])
        files = sum(path.is_file() for path in folder.rglob("*"))
        assert rows.fetchone() == (files, files)


def test_the_verdicts_are_those_of_a_single_process(cluster: LocalCluster, job: str, folder: Path) -> None:
    rows = json.loads(inspectq(cluster, "results", job, "--format", "json"))
    digest = rows[0]["checkpoint_digest"]
    file = Path(cluster.environment["INSPECTQ_HOME"]) / "models" / f"{digest}.safetensors"
    alone = list(
        score_images([folder / row["path"] for row in rows], TorchRuntime(load_checkpoint(file, digest), "cpu"))
    )
    assert [row["reason_code"] for row in rows] == [score.reason for score in alone]
    for row, score in zip(rows, alone, strict=True):
        assert row["score"] == pytest.approx(score.score, abs=1e-5)
        if score.score is not None:
            assert row["disposition"] == ("FAIL" if score.score >= 0.5 else "PASS")


def test_flower_shows_every_batch_as_a_named_task_that_succeeded(tasks: dict[str, Any], folder: Path) -> None:
    assert {task["name"] for task in tasks.values()} == {TASK}
    assert {task["state"] for task in tasks.values()} == {"SUCCESS"}
    files = sum(path.is_file() for path in folder.rglob("*"))
    assert len(tasks) >= -(-files // BATCH_IMAGES)


def test_flower_shows_which_batch_of_which_job_a_task_is_and_how_large(tasks: dict[str, Any], job: str) -> None:
    for task in tasks.values():
        assert re.search(rf"job {job}, batch \d+, attempt 1, [12] image", task["args"])


def test_flower_shows_both_workers_by_device_and_host(cluster: LocalCluster, tasks: dict[str, Any]) -> None:
    workers = eventually(lambda: flower(cluster, "/api/workers?refresh=1"), lambda seen: len(seen) == 2)
    names = sorted(workers)
    assert len(names) == 2
    assert {name.rpartition("@")[2] for name in names} == {os.uname().nodename}
    assert all(name.startswith(("cpu", "cuda", "auto")) for name in names)
    assert all(TASK in workers[name]["registered"] for name in names)
    assert {task["worker"] for task in tasks.values()} <= set(names)


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/api/workers", "/api/tasks"])
def test_flower_shows_nothing_without_the_login(cluster: LocalCluster, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(cluster.flower_url + path, timeout=30)
    with refusal.value:
        assert refusal.value.code == 401


def test_flower_keeps_its_tasks_when_it_is_started_again(cluster: LocalCluster, tasks: dict[str, Any]) -> None:
    process = cluster.processes["flower"]
    process.stop()
    process.start()

    def look() -> Any:
        try:
            return flower(cluster, "/api/tasks")
        except urllib.error.URLError:
            return {}

    assert set(eventually(look, bool)) >= set(tasks)


def tab_to(page: Page, wanted: Locator) -> None:
    """As somebody without a mouse gets there."""
    for _ in range(80):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"the tabulator key does not lead to {wanted}")


def test_an_inspector_signs_in_submits_and_decides_without_a_mouse(
    cluster: LocalCluster, folder: Path, job: str, at_desk: Looked
) -> None:
    password = "four words nobody guesses"
    inspectq(cluster, "users", "add", "Ines", "--role", "inspector", "--password-stdin", typed=password)
    page, keys = at_desk.page, at_desk.page.keyboard
    page.goto(cluster.web_url)
    tab_to(page, page.get_by_label("Name"))
    keys.type("Ines")
    tab_to(page, page.get_by_label("Password"))
    keys.type(password)
    keys.press("Enter")
    tab_to(page, page.locator("summary", has_text="Inspect a folder"))
    keys.press("Enter")
    tab_to(page, page.get_by_label("Folder on this machine"))
    keys.type(str(folder))
    tab_to(page, page.get_by_label("Sample of passed images"))
    keys.type("100")
    keys.press("Enter")
    expect(page.locator(".state")).to_have_text("done", timeout=DEADLINE_SECONDS * 1000)
    made = page.url.rpartition("/")[2]
    assert int(made) > int(job)
    review = page.get_by_role("link", name=re.compile("Review .* images?"))
    expect(review).to_be_visible()  # the sample is drawn a moment after the end
    tab_to(page, review)
    keys.press("Enter")
    place = page.locator("[data-path]")
    for key in "pfu":
        expect(page.locator("[data-decide=PASS]")).to_be_enabled()
        before = place.inner_text()
        keys.press(key)
        expect(place).not_to_have_text(before)
    keys.press("z")
    expect(place).to_have_text(before)
    url = cluster.environment["INSPECTQ_DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        query = "SELECT decision, reviewer, account, blind FROM review WHERE job_id = %s ORDER BY id"
        rows = connection.execute(query, [int(made)]).fetchall()
        assert [row[0] for row in rows] == ["PASS", "FAIL", "UNSURE", "UNDONE"]
        assert {row[1:] for row in rows} == {("Ines", "Ines", True)}
        submitted_by = connection.execute("SELECT submitted_by FROM inspection_job WHERE id = %s", [int(made)])
        assert submitted_by.fetchone() == ("Ines",)
    page.goto(f"{cluster.web_url}/jobs/{made}/images")
    tab_to(page, page.locator(".shot a").first)
    keys.press("Enter")
    heat = page.get_by_role("button", name="Heat map")
    expect(heat).to_be_enabled()
    keys.press("h")
    expect(heat).to_have_attribute("aria-pressed", "true", timeout=60_000)


def test_the_log_of_every_process_is_kept(cluster: LocalCluster, job: str) -> None:
    logs = {path.stem for path in (cluster.folder / "logs").glob("*.log")}
    assert logs >= {"migrate", "scheduler", "worker-1", "worker-2", "flower", "web"}
