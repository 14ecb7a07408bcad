"""Is a folder planned whole, in small transactions, also when the planner dies in between?"""

import errno
from pathlib import Path

import pytest
from sqlalchemy import select, update

from db import checkpoints, jobs, plans
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.models import Batch, InspectionJob, JobState
from db.settings import Settings
from scheduler import planning
from scheduler.planning import Planner, PlanningBounds
from scheduler.submission import Submission, submit
from tests.rows import add_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number in range(23):
        file = root / f"line-{number % 3}" / f"{number:02}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    (root / "line-1" / "notes.txt").write_text("")
    (root / "line-2" / "zz.txt").write_text("")
    return root


@pytest.fixture
def job(engine: Engine, folder: Path) -> int:
    with writing(engine) as session:
        add_model(session)
    return submit(engine, Submission(folder=folder, model="tiny"), Settings(batch_images=2))


def claim(engine: Engine, bounds: PlanningBounds = PlanningBounds()) -> Planner:  # noqa: B008 - frozen
    with writing(engine) as session:
        claimed = plans.claim(session)
    assert claimed is not None
    return Planner(engine, claimed, bounds)


def planned(engine: Engine, job: int) -> tuple[InspectionJob, list[str]]:
    with reading(engine) as session:
        batches = session.scalars(select(Batch).order_by(Batch.sequence)).all()
        assert [row.sequence for row in batches] == list(range(len(batches)))
        return jobs.get(session, job), [path for row in batches for path in row.paths]


def every_image(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.jpg"))


def test_every_image_is_planned_once_and_the_rest_counted(
    engine: Engine, job: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCHES_PER_CHUNK", 3)
    planner = claim(engine)
    while planner.advance():
        pass
    row, paths = planned(engine, job)
    assert paths == every_image(folder)
    assert (row.state, row.submitted, row.planned_batches, row.other_files) == (JobState.RUNNING, 23, 12, 2)


@pytest.mark.parametrize("chunks_before_death", [0, 1, 2, 3])
def test_a_killed_planner_is_followed_without_gap_or_repetition(
    engine: Engine, job: int, folder: Path, monkeypatch: pytest.MonkeyPatch, chunks_before_death: int
) -> None:
    monkeypatch.setattr(planning, "BATCHES_PER_CHUNK", 3)
    dead = claim(engine)
    for _ in range(chunks_before_death):
        assert dead.advance()
    with writing(engine) as session:
        session.execute(update(InspectionJob).values(planner_lease_until=None))
    heir = claim(engine)
    assert not dead.advance(), "the dead planner's ghost must not write"
    while heir.advance():
        pass
    row, paths = planned(engine, job)
    assert paths == every_image(folder)
    assert (row.submitted, row.other_files) == (23, 2)


def test_a_cancelled_job_is_not_planned_any_further(engine: Engine, job: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "BATCHES_PER_CHUNK", 3)
    planner = claim(engine)
    assert planner.advance()
    with writing(engine) as session:
        jobs.cancel(session, job, actor="anna")
    assert not planner.advance()
    with reading(engine) as session:
        assert jobs.ledger(session, job).cancelled == 6


@pytest.mark.parametrize("mount_point_stays", [False, True])
@pytest.mark.parametrize("chunks_before", [0, 2])
def test_a_folder_that_is_away_is_waited_for_and_then_planned_whole(
    engine: Engine,
    job: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    chunks_before: int,
    mount_point_stays: bool,
) -> None:
    monkeypatch.setattr(planning, "BATCHES_PER_CHUNK", 3)
    monkeypatch.setattr(planning, "REST_SECONDS", -1)
    planner = claim(engine)
    for _ in range(chunks_before):
        assert planner.advance()
    away = folder.with_name("unmounted")
    folder.rename(away)
    if mount_point_stays:
        folder.mkdir()
    with writing(engine) as session:
        plans.forget_planners(session)
    assert not claim(engine).advance()
    with reading(engine) as session:
        row = jobs.get(session, job)
        assert (row.state, plans.waited_too_long(session, patience_seconds=60)) == (JobState.PLANNING, [])
        assert [waiting for waiting, _ in plans.waited_too_long(session, patience_seconds=-1)] == [job]
    assert "cannot be listed" in (row.state_reason or "")
    if mount_point_stays:
        folder.rmdir()
    away.rename(folder)
    heir = claim(engine)
    while heir.advance():
        pass
    row, paths = planned(engine, job)
    assert paths == every_image(folder)
    assert (row.state, row.state_reason, row.waiting_since) == (JobState.RUNNING, None, None)


def test_a_folder_that_may_not_be_read_fails_the_job_with_the_reason(
    engine: Engine, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root every folder may be read, so the system's answer is put in its mouth.
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/photos")

    monkeypatch.setattr(planning.os, "scandir", refuse)
    assert not claim(engine).advance()
    with reading(engine) as session:
        row = jobs.get(session, job)
    assert row.state is JobState.FAILED
    assert "Permission denied" in (row.state_reason or "")
    assert "inspectq jobs retry" in (row.state_reason or "")


def test_a_job_with_more_images_than_allowed_fails_with_the_reason(engine: Engine, job: int) -> None:
    assert not claim(engine, PlanningBounds(max_files=22)).advance()
    with reading(engine) as session:
        assert "INSPECTQ_MAX_FILES" in (jobs.get(session, job).state_reason or "")


def test_a_folder_outside_the_allowed_roots_is_neither_submitted_nor_planned(
    engine: Engine, job: int, folder: Path, tmp_path: Path
) -> None:
    elsewhere = Settings(roots=str(tmp_path / "elsewhere"))
    with pytest.raises(Refused, match="INSPECTQ_ROOTS"):
        submit(engine, Submission(folder=folder, model="tiny"), elsewhere)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(Refused, match="INSPECTQ_ROOTS"):
        submit(engine, Submission(folder=link, model="tiny"), Settings(roots=str(link.parent / "l")))
    assert submit(engine, Submission(folder=link, model="tiny"), Settings(roots=str(folder.parent))) > job
    assert not claim(engine, PlanningBounds(roots=elsewhere.root_folders)).advance()
    with reading(engine) as session:
        row = jobs.get(session, job)
    assert row.state is JobState.FAILED
    assert "INSPECTQ_ROOTS" in (row.state_reason or "")


def test_a_folder_that_was_emptied_fails_the_job_with_the_reason(engine: Engine, job: int, folder: Path) -> None:
    for file in folder.rglob("*.jpg"):
        file.unlink()
    assert not claim(engine).advance()
    with reading(engine) as session:
        assert "no image" in (jobs.get(session, job).state_reason or "")


def test_a_retired_model_is_refused_when_it_is_named(engine: Engine, folder: Path) -> None:
    from db.errors import NotFound, Refused
    from db.models import ModelStatus

    with pytest.raises(NotFound, match="inspectq train"):
        submit(engine, Submission(folder=folder), Settings(batch_images=2))
    with writing(engine) as session:
        checkpoints.set_status(session, add_model(session), ModelStatus.RETIRED, actor="anna")
    with pytest.raises(Refused, match="retired"):
        submit(engine, Submission(folder=folder, model="tiny"), Settings(batch_images=2))
    with pytest.raises(NotFound, match="No model is approved"):
        submit(engine, Submission(folder=folder), Settings(batch_images=2))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "There is no folder"),
        (lambda path: path.write_text(""), "is a file"),
        (lambda path: path.mkdir(), "There is no image"),
    ],
)
def test_a_folder_that_cannot_be_scanned_is_refused_with_the_reason(
    engine: Engine, tmp_path: Path, make: object, sentence: str
) -> None:
    from db.errors import Refused

    make(tmp_path / "wrong")  # type: ignore[operator]
    with pytest.raises(Refused, match=sentence):
        submit(engine, Submission(folder=tmp_path / "wrong"), Settings(batch_images=2))


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "lone surrogate \ud800"])
def test_what_cannot_be_a_name_is_refused(engine: Engine, tmp_path: Path, name: str) -> None:
    from db.errors import Refused

    with pytest.raises(Refused, match="The folder cannot be looked for"):
        submit(engine, Submission(folder=tmp_path / name), Settings(batch_images=2))


def test_a_folder_above_the_job_that_became_a_link_out_of_the_roots_is_not_listed(
    engine: Engine, tmp_path: Path
) -> None:
    for name in ("allowed/line/job/a.jpg", "secret/job/secret.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    allowed = Settings(roots=str(tmp_path / "allowed"))
    with writing(engine) as session:
        add_model(session)
    job = submit(engine, Submission(folder=tmp_path / "allowed/line/job", model="tiny"), allowed)
    (tmp_path / "allowed/line").rename(tmp_path / "allowed/was-line")
    (tmp_path / "allowed/line").symlink_to(tmp_path / "secret")
    assert not claim(engine, PlanningBounds(roots=allowed.root_folders)).advance()
    row, paths = planned(engine, job)
    assert (row.state, paths) == (JobState.PLANNING, [])
    assert "cannot be listed" in (row.state_reason or "")
