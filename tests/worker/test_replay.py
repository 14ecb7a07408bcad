"""Does a second inspection confirm untouched verdicts, and name every one that does not stand?"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from db import batches, jobs
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.models import Disposition, InspectionJob, InspectionResult
from db.replaying import Recorded
from db.schema import open_database
from db.settings import Settings
from tests.networks import add_random_model
from tests.poison import marked, poison_decoders
from tests.rows import add_job
from tests.tampering import tampering
from trainer import parity
from vision.checkpoint import CheckpointAltered, CheckpointMissing
from vision.decode import Decoded, Limits, decode_file
from vision.faults import Reason, StorageTrouble
from vision.pipeline import ImageScore
from vision.reading import FileBytes, OutsideRoots
from worker.choice import RuntimeRefused
from worker.inspection import Inspector, Workplace, decode_limits
from worker.replay import SAME_DIFFERENCE, Found, Means, Place, Replayed, compared, replay

NAMES = [f"{number}.png" for number in range(6)]


Copies = Callable[[str], AbstractContextManager[str]]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A home in which two jobs over the same images were done; the second took over what it could. Copied, not used."""

    home: Path
    url: str  # of the database
    digest: str
    job: int
    again: int


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    home = tmp_path_factory.mktemp("done")
    if request.param == "sqlite":
        database = shutil.copy(request.getfixturevalue("sqlite_template"), home / "inspectq.db")
        yield inspected_twice(home, f"sqlite:///{database}")
        return
    copy: Copies = request.getfixturevalue("copy_of_postgres")
    with copy(request.getfixturevalue("postgres_template")) as url:
        yield inspected_twice(home, url)


def inspected_twice(home: Path, url: str) -> Done:
    engine = open_database(url)
    digest = add_random_model(engine, home / "models")
    folder = home / "images"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(draw.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    chosen = Settings()
    workplace = Workplace(
        name="w@here",
        models_folder=home / "models",
        device="cpu",
        runtime="auto",
        limits=decode_limits(chosen),
        lease_seconds=chosen.lease_seconds,
        stall_seconds=chosen.stall_seconds,
        decode_threads=None,
    )
    inspector = Inspector(engine, workplace)
    names = [*NAMES, "empty.png", "gone.png", "text.png"]
    numbers = [inspected(engine, inspector, folder, names) for _ in range(2)]
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:  # the file alone is copied, not the log beside it
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return Done(home=home, url=url, digest=digest, job=numbers[0], again=numbers[1])


def inspected(engine: Engine, inspector: Inspector, folder: Path, names: list[str]) -> int:
    """A job over these images, done by a worker."""
    job = add_job(engine, [names], root=str(folder), reuse=True)
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    inspector.inspect(message.batch, message.attempt)
    with writing(engine) as session:
        assert jobs.finish(session, job)
    return job


@pytest.fixture
def url(done: Done, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A copy of what was done."""
    if done.url.startswith("sqlite"):
        shutil.copy(done.home / "inspectq.db", tmp_path)
        yield f"sqlite:///{tmp_path / 'inspectq.db'}"
        return
    copy: Copies = request.getfixturevalue("copy_of_postgres")
    with copy(done.url.rpartition("/")[2]) as made:
        yield made


@pytest.fixture
def place(done: Done, url: str, tmp_path: Path) -> Iterator[Place]:
    """A database and images of the test's own; the model is everybody's."""
    shutil.copytree(done.home / "images", tmp_path / "images")
    engine = open_database(url)
    with tampering(engine) as session:
        session.execute(update(InspectionJob).values(root=str(tmp_path / "images")))
    yield Place(
        engine=engine, models_folder=done.home / "models", limits=decode_limits(Settings()), roots=(), threads=None
    )
    engine.dispose()


@pytest.fixture
def folder(place: Place, tmp_path: Path) -> Path:
    """The images: six with a score, two that cannot be read; one is gone."""
    return tmp_path / "images"


@pytest.fixture
def job(done: Done) -> int:
    return done.job


def replays(place: Place, job: int, paths: list[str] | None = None) -> tuple[dict[str, Replayed], set[Means]]:
    """By path, and what was asked."""
    with reading(place.engine) as session:
        row = jobs.get(session, job)
    found = list(replay(place, row, paths))
    assert len({each.recorded.path for _, each in found}) == len(found)
    return {each.recorded.path: each for _, each in found}, {means for means, _ in found}


def refuted(place: Place, job: int) -> dict[str, Found]:
    return {path: each.found for path, each in replays(place, job)[0].items() if not each.found.confirms}


def tamper(place: Place, path: str, **values: object) -> None:
    """Change a stored verdict, as only the owner of the tables can."""
    with tampering(place.engine) as session:
        session.execute(update(InspectionResult).where(InspectionResult.path == path).values(**values))


def test_untouched_images_are_judged_and_unreadable_as_before(place: Place, job: int) -> None:
    found, (means,) = replays(place, job)
    assert Counter(each.found for each in found.values()) == {Found.SAME: 6, Found.UNREADABLE_AGAIN: 3}
    assert {path: found[path].reason for path in ("empty.png", "gone.png", "text.png")} == {
        "empty.png": "empty_file",
        "gone.png": "vanished",
        "text.png": "not_an_image",
    }
    assert {found[name].difference for name in NAMES} == {0.0}, "beside the same images, bit for bit"
    assert means.is_the_recorded
    assert means.tolerance == SAME_DIFFERENCE


def test_alone_an_image_has_the_same_score_but_for_rounding(place: Place, job: int) -> None:
    found, _ = replays(place, job, ["4.png"])
    assert {path: each.found for path, each in found.items()} == {"4.png": Found.SAME}


def test_a_verdict_that_was_taken_over_is_replayed_like_its_origin(place: Place, done: Done) -> None:
    with reading(place.engine) as session:
        assert session.query(InspectionResult.id).filter(InspectionResult.reused_from.is_not(None)).count() == 6
    tamper(place, "3.png", score=0.123)
    assert set(refuted(place, done.again)) == {"3.png"}


def test_every_change_of_a_file_is_named(place: Place, folder: Path, job: int) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(whole + b" ")
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    swapped = (folder / "3.png").read_bytes(), (folder / "4.png").read_bytes()
    (folder / "4.png").write_bytes(swapped[0])
    (folder / "3.png").write_bytes(swapped[1])
    (folder / "5.png").unlink()
    (folder / "5.png").mkdir()
    (folder / "empty.png").write_bytes(whole)
    (folder / "gone.png").write_bytes(whole)
    (folder / "text.png").unlink()
    assert refuted(place, job) == {
        "0.png": Found.ALTERED,
        "1.png": Found.MISSING,
        "2.png": Found.ALTERED,
        "3.png": Found.ALTERED,
        "4.png": Found.ALTERED,
        "5.png": Found.OTHER_REASON,
        "empty.png": Found.ALTERED,
        "gone.png": Found.ALTERED,
        "text.png": Found.MISSING,
    }


def test_other_bytes_are_not_decoded(place: Place, folder: Path, job: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stranger put there since is no evidence, and may be made to harm."""
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes() + b" ")
    decoded: list[str] = []

    def spied(file: FileBytes, *limits: Any, **more: Any) -> Decoded:
        decoded.append(file.sha256)
        return decode_file(file, *limits, **more)

    monkeypatch.setattr("vision.pipeline.decode_file", spied)
    found, _ = replays(place, job)
    assert found["0.png"].found is Found.ALTERED
    assert len(decoded) == 7, "five images, and two files that are none"
    assert found["0.png"].sha256 not in decoded


def test_changed_rows_are_named(place: Place, job: int) -> None:
    stored, _ = replays(place, job)
    score = stored["0.png"].recorded.score
    assert score is not None
    tamper(place, "0.png", score=score + 1e-5)
    tamper(place, "1.png", disposition=Disposition.REVIEW)
    tamper(place, "2.png", label="another")
    tamper(place, "text.png", reason_code="truncated")
    tamper(place, "empty.png", disposition=Disposition.PASS, score=0.1, label="ok", reason_code=None)
    tamper(place, "3.png", disposition=Disposition.UNREADABLE, score=None, label=None, reason_code="corrupt")
    tamper(place, "4.png", sha256="0" * 64)
    assert refuted(place, job) == {
        "0.png": Found.SCORE_CHANGED,
        "1.png": Found.VERDICT_FLIPPED,
        "2.png": Found.LABEL_CHANGED,
        "text.png": Found.OTHER_REASON,
        "empty.png": Found.OTHER_REASON,
        "3.png": Found.OTHER_REASON,
        "4.png": Found.ALTERED,
    }


def test_a_checkpoint_that_is_not_the_recorded_one_is_refused(
    place: Place, done: Done, job: int, tmp_path: Path
) -> None:
    place = replace(place, models_folder=tmp_path / "models")
    with pytest.raises(CheckpointMissing):
        replays(place, job)
    place.models_folder.mkdir()
    swapped = (done.home / "models" / f"{done.digest}.safetensors").read_bytes()[:-1] + b"!"
    (place.models_folder / f"{done.digest}.safetensors").write_bytes(swapped)
    with pytest.raises(CheckpointAltered, match=f"but {done.digest[:12]} is recorded"):
        replays(place, job)


def test_where_the_device_is_missing_what_is_here_stands_in_and_it_is_said(place: Place, job: int) -> None:
    tamper(place, "0.png", device="cuda:7")
    tamper(place, "1.png", device="cuda:7", precision="bf16")
    found, asked = replays(place, job)
    assert Counter(each.found.confirms for each in found.values()) == {True: 9}
    if any(means.device != "cpu" for means in asked):
        pytest.skip("this machine has a GPU, which stands in")
    told = {(means.by.device, means.by.precision): (means.is_the_recorded, means.tolerance) for means in asked}
    assert told == {
        ("cpu", "fp32"): (True, SAME_DIFFERENCE),
        ("cuda:7", "fp32"): (False, parity.FP32_DIFFERENCE),
        ("cuda:7", "bf16"): (False, parity.FP32_DIFFERENCE),
    }
    assert {(means.engine, means.precision, means.device) for means in asked} == {("torch", "fp32", "cpu")}


def test_a_runtime_that_is_unknown_or_whose_file_was_never_recorded_is_refused(place: Place, job: int) -> None:
    tamper(place, "0.png", engine="abacus")
    with pytest.raises(Refused, match="by abacus in fp32, which this version"):
        replays(place, job)
    tamper(place, "0.png", engine="onnxruntime")
    with pytest.raises(RuntimeRefused, match="its file cannot be verified"):
        replays(place, job)


def test_the_allowed_folders_are_those_of_the_workers(place: Place, folder: Path, job: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(OutsideRoots):
        replays(replace(place, roots=(os.fsencode(tmp_path / "elsewhere"),)), job)
    assert refuted(replace(place, roots=(os.fsencode(folder),)), job) == {}
    secret = tmp_path / "elsewhere" / "0.png"
    (folder / "0.png").rename(secret)
    (folder / "0.png").symlink_to(secret)
    assert refuted(place, job) == {"0.png": Found.OTHER_REASON}


@pytest.mark.parametrize(("away", "words"), [("gone", "cannot be opened"), ("empty", "is it mounted")])
def test_a_folder_that_is_not_mounted_is_not_a_folder_of_missing_images(
    place: Place, folder: Path, job: int, away: str, words: str
) -> None:
    shutil.rmtree(folder)
    if away == "empty":
        folder.mkdir()
    with pytest.raises(StorageTrouble, match=words):
        replays(place, job)


def test_what_only_the_guard_survived_is_left_to_the_guard(
    place: Place, folder: Path, job: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison_decoders(tmp_path / "poison", monkeypatch)
    poison = marked((folder / "3.png").read_bytes(), "SIGSEGV")
    (folder / "3.png").write_bytes(poison)
    unreadable = {"disposition": Disposition.UNREADABLE, "reason_code": "crashed_worker", "score": None, "label": None}
    tamper(place, "3.png", sha256=hashlib.sha256(poison).hexdigest(), **unreadable)
    found, _ = replays(place, job, ["3.png", "5.png"])
    assert {path: each.found for path, each in found.items()} == {
        "3.png": Found.UNREADABLE_AGAIN,
        "5.png": Found.SAME,
    }
    assert found["3.png"].reason == "crashed_worker"


RECORDED = Recorded(
    path="a.png",
    sha256="a" * 64,
    score=0.5,
    label="defective",
    disposition=Disposition.FAIL,
    reason_code=None,
    pass_below=0.4,
    fail_from=0.5,
    positive_class="defective",
    negative_class="ok",
)


@pytest.mark.parametrize(
    ("score", "found"),
    [
        (0.5, Found.SAME),
        (0.5009, Found.SAME),
        (0.502, Found.SCORE_CHANGED),
        (0.4999, Found.VERDICT_FLIPPED),
        (0.1, Found.VERDICT_FLIPPED),
    ],
)
def test_within_the_tolerance_a_score_is_the_same_unless_the_verdict_flips(score: float, found: Found) -> None:
    outcome = ImageScore(index=0, sha256="a" * 64, score=score)
    assert compared(RECORDED, outcome, 0.001).found is found


def test_a_limit_that_was_lowered_since_makes_the_same_bytes_unreadable(place: Place, job: int) -> None:
    found, _ = replays(replace(place, limits=Limits(max_pixels=10)), job)
    assert found["0.png"].found is Found.OTHER_REASON
    assert found["0.png"].reason == Reason.TOO_LARGE_PIXELS
    assert found["text.png"].found is Found.UNREADABLE_AGAIN
