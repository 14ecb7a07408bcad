"""Does a receiver hear of each end once, and can it tell that it was us? A real one, on the loopback address."""

import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from db import jobs, webhooks
from db.clock import database_now
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.models import Disposition, InspectionJob, JobState, Webhook
from db.settings import Settings
from db.webhooks import Due
from scheduler import webhooks as delivery
from scheduler.loop import Scheduler
from scheduler.planning import PlanningBounds
from scheduler.receivers import Receivers, receivers
from scheduler.submission import Submission, submit
from scheduler.webhooks import LONGEST_PAUSE, MOST_ATTEMPTS, Delivering, Message, deliver, headers, pause
from tests.receiver import SECRET, Asked, Receiver, receiving
from tests.rows import add_job, add_model, inspect_all


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def to(receiver: Receiver) -> Receivers:
    return allowed(receiver.host)


def allowed(hosts: str) -> Receivers:
    made = receivers(Settings(webhook_secret=SECRET, webhook_hosts=hosts))
    assert made is not None
    return made


def add_told_job(engine: Engine, url: str) -> int:
    job = add_job(engine, [["a", "b"], ["c"]])
    with writing(engine) as session:
        webhooks.add(session, job, url)
    return job


def ended(engine: Engine, url: str) -> int:
    job = add_told_job(engine, url)
    inspect_all(engine, Disposition.FAIL)
    return job


def hook_of(engine: Engine, job: int) -> Webhook:
    with reading(engine) as session:
        return webhooks.of_jobs(session, [job])[job]


def make_due(engine: Engine, **values: Any) -> None:
    """As if its pause were over."""
    with writing(engine) as session:
        session.execute(update(Webhook).where(Webhook.next_at.is_not(None)).values(next_at=database_now(-1), **values))


def is_signed(asked: Asked) -> bool:
    """As the specification has it, without our own code: https://www.standardwebhooks.com."""
    key = base64.b64decode(SECRET.split("_")[1])
    text = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.{asked.body.decode()}"
    made = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    return asked.headers["webhook-signature"] == f"v1,{made}"


def test_the_signature_is_that_of_the_specifications_own_example() -> None:
    message = Message(id="msg_p5jXN8AQM9LWM0D4loKWxJek", body=b'{"test": 2432232314}', state=JobState.DONE, revision=1)
    made = headers(message, allowed("mes.example.com").key, 1614265330)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_fails_is_sent_again_with_the_same_id_until_it_is_answered(
    engine: Engine, receiver: Receiver, to: Receivers
) -> None:
    receiver.answers = [500, 503]
    job = ended(engine, receiver.url)
    assert deliver(engine, to) is False
    assert deliver(engine, to) is None, "its pause is not over"
    row = hook_of(engine, job)
    assert (row.attempts, row.problem) == (1, "It answered 500.")
    make_due(engine)
    assert deliver(engine, to) is False
    make_due(engine)
    assert deliver(engine, to) is True
    make_due(engine)
    assert deliver(engine, to) is None
    assert len(receiver.asked) == 3
    assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 1
    assert len({asked.body for asked in receiver.asked}) == 1
    assert all(is_signed(asked) for asked in receiver.asked)
    assert {asked.path for asked in receiver.asked} == {"/ends?line=1"}
    row = hook_of(engine, job)
    assert (row.told_state, row.told_revision, row.attempts, row.problem) == (JobState.DONE, 1, 0, None)


def test_it_says_which_job_ended_how_and_with_which_ledger(engine: Engine, receiver: Receiver, to: Receivers) -> None:
    job = ended(engine, receiver.url)
    deliver(engine, to)
    (asked,) = receiver.asked
    said = json.loads(asked.body)
    with reading(engine) as session:
        finished_at = session.get_one(InspectionJob, job).finished_at
        ledger = jobs.ledger(session, job).to_dict()
    assert (said["type"], said["data"]["job"], said["data"]["state"]) == ("job.done", job, "done")
    assert said["data"]["ledger"] == ledger
    assert ledger["fail"] == 3
    assert finished_at is not None
    assert abs((datetime.fromisoformat(said["timestamp"]) - finished_at).total_seconds()) < 60
    assert re.fullmatch(rf"job-{job}-done-\d+", asked.headers["webhook-id"])
    assert asked.headers["content-type"] == "application/json"


def test_a_job_that_ends_again_is_told_again_by_another_id(engine: Engine, receiver: Receiver, to: Receivers) -> None:
    job = add_told_job(engine, receiver.url)
    for _ in range(2):
        with writing(engine) as session:
            jobs.fail(session, job, "Its folder is gone.")
        assert deliver(engine, to) is True
        with writing(engine) as session:
            jobs.retry(session, job, actor="anna")
        assert deliver(engine, to) is None
    with writing(engine) as session:
        jobs.cancel(session, job, actor="anna")
    assert deliver(engine, to) is True
    said = [json.loads(asked.body) for asked in receiver.asked]
    assert [one["type"] for one in said] == ["job.failed", "job.failed", "job.cancelled"]
    assert [one["data"]["reason"] for one in said] == [
        "Its folder is gone.",
        "Its folder is gone.",
        "cancelled by anna",
    ]
    assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(engine: Engine, receiver: Receiver, to: Receivers, status: int) -> None:
    receiver.answers = [status]
    job = ended(engine, receiver.url)
    assert deliver(engine, to) is False
    assert [asked.path for asked in receiver.asked] == ["/ends?line=1"]
    assert hook_of(engine, job).problem == f"It answered {status}, and no redirect is followed."


def test_a_host_that_is_not_named_any_more_is_not_called(engine: Engine, receiver: Receiver) -> None:
    job = ended(engine, receiver.url)
    assert deliver(engine, allowed("mes.example.com")) is False
    assert receiver.asked == []
    assert "INSPECTQ_WEBHOOK_HOSTS does not name" in (hook_of(engine, job).problem or "")
    make_due(engine)
    assert deliver(engine, allowed(receiver.host)) is True, "and is, once it is named again"


def test_a_submission_that_names_another_host_is_refused_and_nothing_is_committed(
    engine: Engine, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with writing(engine) as session:
        add_model(session)
    chosen = Settings(webhook_secret=SECRET, webhook_hosts="mes.example.com")
    asked = Submission(folder=tmp_path, model="tiny", notify=receiver.url)
    with pytest.raises(Refused, match="does not name"):
        submit(engine, asked, chosen)
    with reading(engine) as session:
        assert jobs.newest(session, limit=1) == []
    job = submit(engine, asked, Settings(webhook_secret=SECRET, webhook_hosts=receiver.host))
    assert hook_of(engine, job).url == receiver.url


def test_what_was_asked_with_a_key_is_known_again_with_its_address_and_as_before_without(tmp_path: Path) -> None:
    plain = {"folder": "/a", "model": None, "priority": 0, "reuse": True, "runtime": "auto", "audit_rate": None}
    assert Submission(folder=Path("/a")).identity == plain
    assert Submission(folder=Path("/a"), notify="https://x/").identity == plain | {"notify": "https://x/"}


def test_two_that_deliver_at_once_call_once(engine: Engine, receiver: Receiver, to: Receivers) -> None:
    ended(engine, receiver.url)
    receiver.open.clear()
    first: list[bool | None] = []
    thread = threading.Thread(target=lambda: first.append(deliver(engine, to)))
    thread.start()
    assert receiver.was_asked.wait(30)
    assert deliver(engine, to) is None
    receiver.open.set()
    thread.join(30)
    assert first == [True]
    assert len(receiver.asked) == 1


def test_after_about_a_day_it_is_given_up_until_the_job_ends_again(
    engine: Engine, receiver: Receiver, to: Receivers
) -> None:
    receiver.answers = [500, 500]
    job = ended(engine, receiver.url)
    make_due(engine, attempts=MOST_ATTEMPTS - 2)
    assert deliver(engine, to) is False
    make_due(engine)
    assert deliver(engine, to) is False
    make_due(engine)
    assert deliver(engine, to) is None
    row = hook_of(engine, job)
    assert (row.attempts, row.next_at, row.problem) == (MOST_ATTEMPTS, None, "It answered 500.")


def test_a_receiver_that_says_that_it_is_gone_is_not_called_again(
    engine: Engine, receiver: Receiver, to: Receivers
) -> None:
    receiver.answers = [410]
    job = ended(engine, receiver.url)
    assert deliver(engine, to) is False
    make_due(engine)
    assert deliver(engine, to) is None
    assert (hook_of(engine, job).attempts, hook_of(engine, job).next_at) == (1, None)


def test_pauses_grow_from_seconds_to_an_hour_and_are_over_after_about_a_day() -> None:
    def due(attempt: int) -> Due:
        return Due(id=1, job=1, url="", attempt=attempt, until=datetime.now().astimezone())

    pauses = [pause(due(attempt)) or 0 for attempt in range(1, MOST_ATTEMPTS)]
    assert 7.5 <= pauses[0] <= 10
    assert max(pauses) <= LONGEST_PAUSE
    assert 20 < sum(pauses) / 3600 < 30
    assert len({pause(due(20)) for _ in range(5)}) > 1, "those that failed together come apart"
    assert pause(due(MOST_ATTEMPTS)) is None


def test_a_receiver_that_trickles_or_is_away_is_cut_off_with_a_sentence(
    engine: Engine, receiver: Receiver, to: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ANSWER_SECONDS", 0.1)
    receiver.trickles = True
    receiver.open.clear()
    slow = ended(engine, receiver.url)
    assert deliver(engine, to) is False
    assert hook_of(engine, slow).problem == "It did not answer within 0.1 seconds."
    monkeypatch.undo()
    with receiving() as gone:
        address, hosts = gone.url, gone.host
    away = ended(engine, address)
    assert deliver(engine, allowed(hosts)) is False
    assert (hook_of(engine, away).problem or "").startswith("It could not be reached (")


def test_a_thread_delivers_while_its_scheduler_leads_and_goes_on_after_a_fault_of_ours(
    engine: Engine, receiver: Receiver, to: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(engine, receiver.url)
    asked, failed = threading.Event(), threading.Event()

    def follows() -> bool:
        asked.set()
        return False

    with Delivering(engine, to, follows, look_seconds=0.01):
        assert asked.wait(30)
    assert receiver.asked == []
    really = delivery.deliver

    def fails_once(engine: Engine, to: Receivers) -> bool | None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError("a fault of ours")
        return really(engine, to)

    monkeypatch.setattr(delivery, "deliver", fails_once)
    with Delivering(engine, to, lambda: True, look_seconds=0.01):
        assert receiver.was_asked.wait(30)
    assert failed.is_set()


def test_the_leading_scheduler_delivers(engine: Engine, receiver: Receiver, to: Receivers) -> None:
    ended(engine, receiver.url)
    stop = threading.Event()
    scheduler = Scheduler(
        engine,
        publish=lambda _: None,
        held=set,
        window=1,
        max_attempts=1,
        storage_patience=60,
        bounds=PlanningBounds(),
        receivers=to,
    )
    thread = threading.Thread(target=scheduler.run, args=("s@here", stop))
    thread.start()
    assert receiver.was_asked.wait(30)
    stop.set()
    thread.join(30)
