"""Can a person and a program ask to be told of a job's end, where an operator allows it, and see how far that is?"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import expect

from console.web.serving import serve
from db import jobs, webhooks
from db.engine import Engine, writing
from scheduler.receivers import receivers
from scheduler.webhooks import deliver
from tests.console.conftest import draw
from tests.receiver import SECRET, Receiver, receiving
from tests.rows import add_job
from tests.web.conftest import Console, Looked


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(500) as made:
        yield made


@pytest.fixture
def telling(serve: Callable[..., Console], receiver: Receiver, tmp_path: Path) -> Console:
    """A console where that receiver may be told."""
    console = serve(webhook_secret=SECRET, webhook_hosts=receiver.host)
    console.rows.add_model()
    draw(tmp_path / "monday", "a.png")
    return console


def asked(url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def tell(console: Console, engine: Engine) -> bool | None:
    to = receivers(console.settings)
    assert to is not None
    return deliver(engine, to)


def test_a_program_asks_to_be_told_and_is_told_what_it_would_be_answered(
    telling: Console, engine: Engine, receiver: Receiver, tmp_path: Path
) -> None:
    api = f"{telling.url}/api/v1/jobs"
    wish = {"folder": str(tmp_path / "monday"), "notify": receiver.url}
    status, refused = asked(api, wish | {"notify": "http://169.254.169.254/"})
    assert (status, "does not name 169.254.169.254" in refused["detail"]) == (409, True)
    status, made = asked(api, wish)
    assert (status, made["notify"]["url"], made["notify"]["told_at"]) == (201, receiver.url, None)
    with writing(engine) as session:
        jobs.cancel(session, made["job"], actor="anna")
    assert tell(telling, engine) is False
    notify = asked(f"{api}/{made['job']}")[1]["notify"]
    assert (notify["attempts"], notify["problem"], notify["told_state"]) == (1, "It answered 500.", None)
    assert notify["next_at"] is not None
    said = json.loads(receiver.asked[0].body)["data"]
    answered = asked(f"{api}/{made['job']}")[1]
    for moment in ("submitted_at", "finished_at"):
        assert datetime.fromisoformat(said.pop(moment)) == datetime.fromisoformat(answered[moment])
    assert said == {name: answered[name] for name in said}


def test_a_person_asks_to_be_told_and_sees_how_far_that_is(
    telling: Console, looked: Looked, engine: Engine, receiver: Receiver, tmp_path: Path
) -> None:
    page = looked.page
    page.goto(telling.url)
    page.get_by_label("Folder on this machine").fill(str(tmp_path / "monday"))
    page.get_by_label("Tell of the end").fill("http://localhost:6379/<b>")
    page.get_by_role("button", name="Inspect").click()
    expect(page.get_by_text("INSPECTQ_WEBHOOK_HOSTS does not name localhost:6379")).to_be_visible()
    looked.said.clear()  # the browser logs the status of a form that was refused
    page.get_by_label("Tell of the end").fill(receiver.url)
    page.get_by_role("button", name="Inspect").click()
    expect(page.get_by_text(f"{receiver.url} is told when the job has ended.")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(f"{receiver.url} is about to be told.")).to_be_visible()
    assert tell(telling, engine) is False
    page.reload()
    expect(page.get_by_text("is not told, after 1 attempt: It answered 500. The next attempt is at")).to_be_visible()


def test_where_nobody_may_be_told_nobody_is_asked_for(console: Console, at_desk: Looked) -> None:
    console.rows.add_model()
    at_desk.page.goto(console.url)
    expect(at_desk.page.get_by_label("Folder on this machine")).to_be_visible()
    expect(at_desk.page.get_by_label("Tell of the end")).to_have_count(0)


def test_a_console_that_inspects_by_itself_delivers_too(
    telling: Console, engine: Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add_job(engine, [["a.png"]])
    with writing(engine) as session:
        webhooks.add(session, job, receiver.url)
        jobs.cancel(session, job, actor="anna")
    monkeypatch.setattr(uvicorn.Server, "run", lambda _: receiver.was_asked.wait(30))
    serve(engine, telling.settings, lambda _: None)
    assert [asked.headers["webhook-id"].startswith(f"job-{job}-") for asked in receiver.asked] == [True]
