"""Do seconds add up by host and stage, on either database, and only where their transaction is committed?"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from db import stage_times
from db.engine import Engine, reading, writing
from db.models import StageTime


def add(engine: Engine, host: str, **seconds: float) -> None:
    with writing(engine) as session:
        stage_times.add(session, host, seconds)


def rows_of(engine: Engine) -> dict[tuple[str, str], float]:
    with reading(engine) as session:
        return {(row.host, row.stage): row.seconds for row in session.scalars(select(StageTime))}


def test_each_batch_adds_to_its_own_hosts_rows(engine: Engine) -> None:
    add(engine, "left", read=1.5, decode=0.25)
    add(engine, "right", read=4)
    add(engine, "left", read=0.5, infer=2)
    assert rows_of(engine) == {
        ("left", "decode"): 0.25,
        ("left", "infer"): 2,
        ("left", "read"): 2,
        ("right", "read"): 4,
    }
    with reading(engine) as session:
        assert stage_times.by_stage(session) == {"decode": 0.25, "infer": 2, "read": 6}


def test_what_is_not_committed_adds_nothing_and_no_stage_is_no_row(engine: Engine) -> None:
    add(engine, "left")
    with pytest.raises(KeyboardInterrupt), writing(engine) as session:
        stage_times.add(session, "left", {"read": 1.0})
        raise KeyboardInterrupt
    assert rows_of(engine) == {}


def test_workers_of_one_host_that_save_at_once_lose_nothing(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add(engine, "left", read=1, hash=0.5, decode=0.25), range(40)))
    assert rows_of(engine) == {("left", "decode"): 10, ("left", "hash"): 20, ("left", "read"): 40}
