"""Is a verdict taken over where, and only where, the network would have said the same?"""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from db import batches, checkpoints, operating_points, results
from db.engine import Engine, reading, writing
from db.models import InspectionResult
from db.settings import Settings
from tests.rows import add_job
from tests.tampering import tampering
from vision.runtime import Answers, Pixels
from vision.torch_runtime import TorchRuntime
from worker.inspection import Inspector, from_settings

NAMES = [f"{number}.png" for number in range(6)]


class Counting(TorchRuntime):
    """Counts the images that the network is asked about."""

    asked = 0

    def score(self, pixels: Pixels) -> Answers:
        Counting.asked += len(pixels)
        return super().score(pixels)


@pytest.fixture
def inspector(sqlite_url: str, tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> Inspector:
    monkeypatch.setattr("vision.torch_runtime.TorchRuntime", Counting)
    return from_settings("w@here", Settings(home=tmp_path, database_url=sqlite_url, device="cpu"))


def scanned(engine: Engine, inspector: Inspector, folder: Path, names: list[str], *, reuse: bool = True) -> int:
    """A job over these images, done; `Counting.asked` then tells how many of them the network saw."""
    job = add_job(engine, [names], root=str(folder), reuse=reuse)
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    Counting.asked = 0
    inspector.inspect(message.batch, message.attempt)
    return job


def rows_of(engine: Engine, job: int) -> list[dict[str, Any]]:
    with reading(engine) as session:
        return list(results.of_job(session, job))


def test_an_identical_file_gets_the_verdict_of_the_first_one(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    first = scanned(engine, inspector, folder, NAMES)
    assert Counting.asked == 6
    original = rows_of(engine, first)
    assert {row["reused_from"] for row in original} == {None}
    for _ in range(2):
        again = rows_of(engine, scanned(engine, inspector, folder, NAMES))
        assert Counting.asked == 0
        for before, after in zip(original, again, strict=True):
            assert after["reused_from"] == before["result"], "the one that the network gave, however often"
            own = {"job", "batch", "time", "result", "reused_from"}
            assert {key: after[key] for key in after.keys() - own} == {key: before[key] for key in before.keys() - own}


def test_the_name_of_a_file_does_not_matter(engine: Engine, inspector: Inspector, folder: Path) -> None:
    scanned(engine, inspector, folder, NAMES)
    shutil.copy(folder / "3.png", folder / "copy.png")
    (row,) = rows_of(engine, scanned(engine, inspector, folder, ["copy.png"]))
    assert Counting.asked == 0
    assert row["reused_from"] is not None


def test_a_changed_file_and_one_that_was_unreadable_are_looked_at(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(b"")
    scanned(engine, inspector, folder, NAMES)
    (folder / "2.png").write_bytes(whole)
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes() + b" ")
    found = rows_of(engine, scanned(engine, inspector, folder, NAMES))
    assert [row["reused_from"] is None for row in found] == [True, False, True, False, False, False]
    assert Counting.asked == 2


def test_a_job_may_refuse(engine: Engine, inspector: Inspector, folder: Path) -> None:
    scanned(engine, inspector, folder, NAMES)
    found = rows_of(engine, scanned(engine, inspector, folder, NAMES, reuse=False))
    assert Counting.asked == 6
    assert {row["reused_from"] for row in found} == {None}


def test_identical_files_of_one_job_are_all_looked_at(engine: Engine, inspector: Inspector, folder: Path) -> None:
    shutil.copy(folder / "0.png", folder / "copy.png")
    found = rows_of(engine, scanned(engine, inspector, folder, ["0.png", "copy.png"]))
    assert [row["reused_from"] for row in found] == [None, None]


@pytest.mark.parametrize("other", ["operating point", "precision", "engine"])
def test_what_was_judged_in_another_way_is_judged_anew(
    engine: Engine, inspector: Inspector, folder: Path, digest: str, other: str
) -> None:
    scanned(engine, inspector, folder, NAMES)
    with tampering(engine) as session:
        if other == "operating point":
            model = checkpoints.find(session, digest)
            point = operating_points.propose(session, model, pass_below=0.1, fail_from=0.2, actor="test")
            operating_points.approve(session, point, by="M. Keller", reason="A test.", account="test")
        else:
            session.execute(update(InspectionResult).values({other: "another"}))
    found = rows_of(engine, scanned(engine, inspector, folder, NAMES))
    assert Counting.asked == 6
    assert {row["reused_from"] for row in found} == {None}
