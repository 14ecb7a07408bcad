"""Does the interface for programs say what the database holds, and does no request make it fail?"""

import csv
import io
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db import jobs
from db.engine import Engine, reading
from db.models import InspectionJob
from db.results import COLUMNS
from tests.console.conftest import draw
from tests.web.conftest import Console
from tests.web.test_journey import NASTY, job_of

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(console: Console) -> Ask:
    """(status, JSON or text) of a request to the interface."""

    def asked(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            f"{console.url}/api/v1{path}",
            data=data,
            method=method,
            headers=given | ({"Content-Type": "application/json"} if data else {}),
        )
        try:
            with urllib.request.urlopen(request) as answer:
                status, text, kind = answer.status, answer.read().decode(), answer.headers["content-type"]
        except urllib.error.HTTPError as error:
            status, text, kind = error.code, error.read().decode(), error.headers["content-type"]
        return status, json.loads(text) if kind.startswith("application/json") else text

    return asked


def test_a_job_is_told_with_its_ledger(console: Console, ask: Ask, tmp_path: Path) -> None:
    job = job_of(console.rows, tmp_path / "images")
    status, found = ask("GET", f"/jobs/{job}")
    assert (status, found["job"], found["state"], found["model"]) == (200, job, "done", "castings-1")
    assert found["ledger"] == {
        "submitted": 45,
        "pass": 30,
        "fail": 2,
        "review": 12,
        "unreadable": 1,
        "cancelled": 0,
    }
    assert ask("GET", "/jobs")[1]["jobs"] == [found]
    assert ask("GET", "/jobs/99") == (
        404,
        {"detail": "There is no job 99. `inspectq jobs list` shows those there are."},
    )


def test_the_list_of_jobs_comes_in_pages(console: Console, ask: Ask, tmp_path: Path) -> None:
    job_of(console.rows, tmp_path / "images")
    for _ in range(4):
        console.rows.add_job(tmp_path / "images", [console.rows.Verdict(path="a.png", score=0.1)])
    seen, after = [], ""
    while True:
        page = ask("GET", f"/jobs?limit=2{after}")[1]
        seen += [job["job"] for job in page["jobs"]]
        if page["after"] is None:
            break
        after = f"&after={page['after']}"
    assert seen == [5, 4, 3, 2, 1]


def test_verdicts_come_in_pages_and_each_once(console: Console, ask: Ask, tmp_path: Path) -> None:
    job = job_of(console.rows, tmp_path / "images")
    seen, after = [], ""
    while True:
        page = ask("GET", f"/jobs/{job}/results?limit=7&sort=score{after}")[1]
        seen += page["results"]
        if page["after"] is None:
            break
        after = f"&after={page['after']}"
    assert len(seen) == len({row["path"] for row in seen}) == 45
    assert [row["score"] for row in seen[:2]] == [0.95, 0.9]
    assert (seen[0]["path"], seen[0]["final_disposition"], seen[0]["review"]) == (NASTY, "FAIL", None)
    assert set(seen[0]) <= set(COLUMNS)
    status, sentence = ask("GET", f"/jobs/{job}/results?after=nonsense")
    assert (status, sentence["detail"]) == (409, "That page is not there. Begin with the first one.")


def test_all_verdicts_are_streamed_as_the_command_line_writes_them(console: Console, ask: Ask, tmp_path: Path) -> None:
    job = job_of(console.rows, tmp_path / "images")
    table = list(csv.DictReader(io.StringIO(ask("GET", f"/jobs/{job}/results.csv")[1], newline="")))
    lines = [json.loads(line) for line in ask("GET", f"/jobs/{job}/results.jsonl")[1].splitlines()]
    assert list(table[0]) == list(lines[0]) == list(COLUMNS)
    assert [row["path"] for row in table] == [row["path"] for row in lines]
    assert len(lines) == 45


def test_a_decision_is_made_and_told(console: Console, ask: Ask, tmp_path: Path) -> None:
    job = job_of(console.rows, tmp_path / "images")
    status, made = ask("POST", f"/jobs/{job}/reviews", {"path": NASTY, "decision": "PASS", "reason_code": "dust"})
    assert (status, made["decision"], made["previous_disposition"]) == (201, "PASS", "FAIL")
    assert ask("POST", f"/jobs/{job}/reviews", {"path": NASTY, "decision": "FAIL"})[0] == 409  # it was seen before
    again = {"path": NASTY, "decision": "UNSURE", "seen": made["review"]}
    assert ask("POST", f"/jobs/{job}/reviews", again)[0] == 201
    found = ask("GET", f"/jobs/{job}/reviews?limit=1")[1]
    assert ([row["decision"] for row in found["reviews"]], found["after"]) == (["PASS"], made["review"])
    rest = ask("GET", f"/jobs/{job}/reviews?after={found['after']}")[1]
    assert ([row["decision"] for row in rest["reviews"]], rest["after"]) == (["UNSURE"], None)
    result = ask("GET", f"/jobs/{job}/results?text=bold")[1]["results"][0]["result"]
    assert ask("GET", f"/results/{result}")[1]["final_disposition"] == "REVIEW"


def test_a_folder_is_submitted_once_however_often_it_is_asked_with_one_key(
    console: Console, ask: Ask, engine: Engine, tmp_path: Path
) -> None:
    console.rows.add_model()
    draw(tmp_path / "monday", "a.png")
    wish = {"folder": str(tmp_path / "monday"), "audit_rate": 0.5}
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, "POST", "/jobs", wish, Idempotency_Key="monday-1") for _ in range(8)]
        answers = [done.result() for done in asked]
    assert {(status, found["job"]) for status, found in answers} == {(201, 1)}
    status, sentence = ask("POST", "/jobs", wish | {"priority": 3}, Idempotency_Key="monday-1")
    assert (status, "something else was asked then" in sentence["detail"]) == (409, True)
    assert ask("POST", "/jobs", wish, Idempotency_Key="monday-2")[1]["job"] == 2
    assert ask("POST", "/jobs", wish)[1]["job"] == 3
    with reading(engine) as session:
        assert session.scalar(select(func.count(InspectionJob.id))) == 3
        assert jobs.get(session, 1).audit_rate == 0.5


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({}, "folder: Field required"),
        ({"folder": "/nowhere"}, "There is no folder /nowhere"),
        ({"folder": "/", "priority": 5000}, "priority: Input should be less than or equal to 1000"),
        ({"folder": "/", "surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_a_submission_that_cannot_be_used_is_one_sentence(
    console: Console, ask: Ask, wish: dict[str, Any], sentence: str
) -> None:
    console.rows.add_model()
    status, answer = ask("POST", "/jobs", wish)
    assert status in (409, 422)
    assert sentence in answer["detail"]


def test_no_request_that_the_description_allows_makes_it_fail(console: Console, tmp_path: Path) -> None:
    job_of(console.rows, tmp_path / "images")
    program = shutil.which("schemathesis", path=Path(sys.executable).parent)
    assert program is not None
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    address = f"{console.url}/api/v1/openapi.json"
    command = [program, "run", address, "--checks", checks, "--seed", "1", "--phases", "coverage,fuzzing"]
    command += ["--max-examples", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    with urllib.request.urlopen(address) as answer:
        operations = sum(len(path) for path in json.load(answer)["paths"].values())
    assert f"Selected: {operations}/{operations}" in done.stdout, done.stdout[-3000:]
