"""Does a tick plan, send, recover and finish, whatever the queue does meanwhile?"""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from db import batches, heartbeats, jobs, leadership, plans
from db.batches import Message
from db.clock import database_now
from db.engine import Engine, reading, writing
from db.errors import BrokerAway
from db.models import Batch, BatchState, InspectionJob, JobState, Leadership
from db.settings import Settings
from scheduler import loop
from scheduler.loop import Scheduler
from scheduler.planning import PlanningBounds
from scheduler.submission import Submission, submit
from tests.rows import add_job, add_model, claim_next, verdicts


class Queue:
    """A queue that can be away and can lose what it holds."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.away = False

    def publish(self, messages: list[Message]) -> None:
        if self.away:
            raise BrokerAway("Redis does not answer.")
        self.messages += messages

    def held(self) -> set[tuple[int, int]]:
        return {(message.batch, message.attempt) for message in self.messages}


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def scheduler(engine: Engine, queue: Queue) -> Scheduler:
    return make_scheduler(engine, queue.publish, queue)


def make_scheduler(
    engine: Engine,
    publish: Callable[[list[Message]], None],
    queue: Queue,
    lost_after: float = loop.LOST_AFTER_SECONDS,
) -> Scheduler:
    return Scheduler(
        engine,
        publish=publish,
        held=queue.held,
        window=4,
        max_attempts=2,
        storage_patience=60,
        bounds=PlanningBounds(),
        lost_after=lost_after,
    )


@pytest.fixture
def eager(engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """To it every message is late, and it looks for it with every tick."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", 0)
    return make_scheduler(engine, queue.publish, queue, lost_after=-1)


def states(engine: Engine) -> list[BatchState]:
    with reading(engine) as session:
        return list(session.scalars(select(Batch.state).order_by(Batch.id)))


def inspect_sent(engine: Engine, queue: Queue) -> None:
    with writing(engine) as session:
        for message in queue.messages:
            held = batches.claim(session, message.batch, message.attempt, worker="w", lease_seconds=60)
            assert held is not None
            batches.finish(session, held, verdicts(held))
    queue.messages.clear()


def test_a_job_is_planned_sent_and_finished(engine: Engine, scheduler: Scheduler, queue: Queue, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    with writing(engine) as session:
        add_model(session)
    job = submit(engine, Submission(folder=tmp_path, model="tiny"), Settings(batch_images=2))
    assert scheduler.tick()
    assert [message.images for message in queue.messages] == [2, 2, 1]
    inspect_sent(engine, queue)
    assert scheduler.tick()
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.DONE
        assert jobs.ledger(session, job).passed == 5
    assert not scheduler.tick(), "an idle scheduler should pause"


def test_no_more_than_the_window_is_on_the_queue(engine: Engine, scheduler: Scheduler, queue: Queue) -> None:
    add_job(engine, [[str(number)] for number in range(10)])
    scheduler.tick()
    scheduler.tick()
    assert len(queue.messages) == 4


def test_while_the_broker_is_away_nothing_counts_as_sent(engine: Engine, scheduler: Scheduler, queue: Queue) -> None:
    add_job(engine, [["a"], ["b"]])
    queue.away = True
    with pytest.raises(BrokerAway):
        scheduler.tick()
    assert states(engine) == [BatchState.PLANNED] * 2
    queue.away = False
    scheduler.tick()
    assert len(queue.messages) == 2


def test_messages_that_the_queue_lost_are_sent_again(engine: Engine, eager: Scheduler, queue: Queue) -> None:
    add_job(engine, [["a"], ["b"]])
    eager.tick()
    eager.tick()
    assert len(queue.messages) == 2, "what the queue still holds is not sent twice"
    queue.messages.clear()
    eager.tick()
    assert len(queue.messages) == 2


def test_only_the_message_that_is_missing_is_sent_again(engine: Engine, eager: Scheduler, queue: Queue) -> None:
    add_job(engine, [["a"], ["b"], ["c"]])
    eager.tick()
    lost = queue.messages.pop(1)
    eager.tick()
    assert sorted(message.batch for message in queue.messages) == [1, 2, 3]
    assert queue.messages[-1] == lost


def test_a_claimed_batch_is_not_sent_again(engine: Engine, eager: Scheduler, queue: Queue) -> None:
    add_job(engine, [["a"]])
    eager.tick()
    message = queue.messages.pop()
    with writing(engine) as session:
        assert batches.claim(session, message.batch, message.attempt, worker="w", lease_seconds=60)
    eager.tick()
    assert queue.messages == []


def test_the_queue_is_not_looked_at_with_every_tick(engine: Engine, queue: Queue) -> None:
    scheduler = make_scheduler(engine, queue.publish, queue, lost_after=-1)
    add_job(engine, [["a"]])
    scheduler.tick()
    queue.messages.clear()
    scheduler.tick()
    assert queue.messages == []


def test_a_job_is_finished_also_while_the_broker_is_away(engine: Engine, scheduler: Scheduler, queue: Queue) -> None:
    done = add_job(engine, [["a"]])
    scheduler.tick()
    inspect_sent(engine, queue)
    add_job(engine, [["b"]])
    queue.away = True
    with pytest.raises(BrokerAway):
        scheduler.tick()
    with reading(engine) as session:
        assert jobs.get(session, done).state is JobState.DONE


def test_a_batch_whose_worker_died_is_sent_again_as_the_next_attempt(
    engine: Engine, scheduler: Scheduler, queue: Queue
) -> None:
    add_job(engine, [["a"]])
    claim_next(engine, lease_seconds=-1)
    scheduler.tick()
    assert [message.attempt for message in queue.messages] == [2]


def test_a_batch_that_kills_every_worker_fails_its_job_and_only_it(
    engine: Engine, scheduler: Scheduler, queue: Queue
) -> None:
    doomed = add_job(engine, [["poison"]])
    with writing(engine) as session:
        session.execute(update(Batch).values(faults=2))
    other = add_job(engine, [["a"]])
    scheduler.tick()
    with reading(engine) as session:
        row = jobs.get(session, doomed)
    assert row.state is JobState.FAILED
    assert f"inspectq jobs retry {doomed}" in (row.state_reason or "")
    assert [message.job for message in queue.messages] == [other]


def test_the_loop_beats_and_stops_when_it_is_told_to(engine: Engine, queue: Queue) -> None:
    job = add_job(engine, [["a"]])
    stop, sent = threading.Event(), threading.Event()

    def publish(messages: list[Message]) -> None:
        queue.publish(messages)
        sent.set()

    scheduler = make_scheduler(engine, publish, queue)
    thread = threading.Thread(target=scheduler.run, args=("s@here", stop))
    thread.start()
    assert sent.wait(30)
    with reading(engine) as session:
        assert heartbeats.alive(session, role="scheduler", on_host="here") == ["s@here"]
        assert heartbeats.alive(session, role="scheduler", on_host="elsewhere") == []
        assert heartbeats.alive(session, role="worker") == []
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    inspect_sent(engine, queue)
    scheduler.tick()
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.DONE


def test_while_the_broker_is_away_the_pauses_grow_and_then_begin_anew(
    engine: Engine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_job(engine, [["a"]])
    queue.away = True
    pauses: list[float] = []

    class Stop(threading.Event):
        """Notes for how long it is waited for, and waits for nothing."""

        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            if len(pauses) == 6:
                queue.away = False
            if timeout == 0:  # a message was sent
                queue.away = True
                add_job(engine, [["b"]])
            if len(pauses) == 9:
                self.set()
            return self.is_set()

    make_scheduler(engine, queue.publish, queue).run("s@here", Stop())
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 0.0, 1.0, 2.0]


def test_a_pause_ends_when_a_job_comes_and_when_it_can_end(
    engine: Engine, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "TICK_SECONDS", 3600.0)
    with writing(engine) as session:
        add_model(session)
    (tmp_path / "a.jpg").write_bytes(b"")
    idle, sent, ended, stop = (threading.Event() for _ in range(4))

    def publish(messages: list[Message]) -> None:
        queue.publish(messages)
        sent.set()

    scheduler = make_scheduler(engine, publish, queue)
    tick = scheduler.tick

    def noted() -> bool:
        worked = tick()
        with reading(engine) as session:
            if session.scalar(select(InspectionJob.state)) is JobState.DONE:
                ended.set()
        if not worked:
            idle.set()
        return worked

    monkeypatch.setattr(scheduler, "tick", noted)
    thread = threading.Thread(target=scheduler.run, args=("s@here", stop))
    thread.start()
    assert idle.wait(30)
    job = submit(engine, Submission(folder=tmp_path, model="tiny"), Settings(batch_images=2))
    assert sent.wait(30)
    idle.clear()
    assert idle.wait(30)
    inspect_sent(engine, queue)
    assert ended.wait(30)
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.DONE
    stop.set()
    thread.join(30)


def test_one_scheduler_leads_and_the_next_takes_over_its_folders(engine: Engine, queue: Queue, tmp_path: Path) -> None:
    """The first dies: stopped without a word, half-way through a folder."""
    with writing(engine) as session:
        assert leadership.lead(session, "dead@here")
        add_model(session)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    job = submit(engine, Submission(folder=tmp_path / "images", model="tiny"), Settings(batch_images=2))
    with writing(engine) as session:
        assert plans.claim(session) is not None
    sent, stop = threading.Event(), threading.Event()

    def publish(messages: list[Message]) -> None:
        queue.publish(messages)
        sent.set()

    with writing(engine) as session:
        assert not leadership.lead(session, "heir@here"), "a lead that has not run out is respected"
        session.execute(update(Leadership).values(lease_until=database_now(-1)))
    thread = threading.Thread(target=make_scheduler(engine, publish, queue).run, args=("heir@here", stop))
    thread.start()
    assert sent.wait(30)
    with writing(engine) as session:
        assert not leadership.lead(session, "third@here")
    stop.set()
    thread.join(30)
    assert [message.job for message in queue.messages] == [job]
    with writing(engine) as session:
        assert leadership.lead(session, "third@here"), "who stops lets the next one begin at once"


def test_a_job_whose_files_are_away_for_too_long_fails_with_the_reason(
    engine: Engine, scheduler: Scheduler, queue: Queue
) -> None:
    job = add_job(engine, [["a"]])
    held = claim_next(engine)
    with writing(engine) as session:
        assert batches.wait(session, held, reason="the disk is away", pause_seconds=0)
    scheduler.tick()
    assert [(message.batch, message.attempt) for message in queue.messages] == [(held.batch, 2)]
    with writing(engine) as session:
        session.execute(
            update(Batch).values(state=BatchState.PLANNED, dispatched_at=None, waiting_since=database_now(-61))
        )
    scheduler.tick()
    with reading(engine) as session:
        row = jobs.get(session, job)
    assert row.state is JobState.FAILED
    assert "the disk is away" in (row.state_reason or "")
