"""Does a batch of real files become the right verdicts, and a fault of the world none?"""

import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select, update

from db import batches, jobs, results
from db.batches import Claim
from db.clock import database_now
from db.engine import Engine, Session, reading, writing
from db.errors import DatabaseAway
from db.models import AuditEvent, Batch, BatchState, Disposition, JobState, StageTime
from db.paths import to_text
from db.results import NewResult
from db.settings import Settings
from tests.networks import save_random_model
from tests.poison import marked, poison_decoders
from tests.rows import add_job, claim_next
from vision.inspection import score_images
from vision.runtime import DeviceFailed, DeviceOutOfMemory
from vision.saved_network import load_checkpoint
from vision.stages import seconds_by_stage
from vision.torch_runtime import TorchRuntime
from worker.inspection import Inspector, from_settings
from worker.lease import Leases
from worker.verdicts import SUBFOLDER_PATIENCE_SECONDS, judge

NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.inspection.REST_SECONDS", 0)


@pytest.fixture
def environment(sqlite_url: str, tmp_path: Path, digest: str) -> Settings:
    return Settings(home=tmp_path, database_url=sqlite_url, device="cpu")


@pytest.fixture
def inspector(environment: Settings) -> Inspector:
    return from_settings("w@here", environment)


def sent(engine: Engine) -> tuple[int, int]:
    with writing(engine) as session:
        (message,) = batches.dispatch(session, window=1)
    return message.batch, message.attempt


def rows_of(engine: Engine, job: int) -> list[dict[str, object]]:
    with reading(engine) as session:
        return list(results.of_job(session, job))


def the_batch(engine: Engine) -> Batch:
    with reading(engine) as session:
        return session.scalars(select(Batch)).one()


def batch_state(engine: Engine) -> tuple[BatchState, int]:
    row = the_batch(engine)
    return row.state, row.attempt


def fail_once(engine: Engine) -> None:
    """The next batch comes back with a fault, so that its next attempt is a careful one."""
    held = claim_next(engine, window=1)
    with writing(engine) as session:
        assert batches.give_back(session, held, fault="its worker died")


def test_every_image_gets_the_verdict_that_the_evaluation_code_gives(
    engine: Engine, inspector: Inspector, folder: Path, models_folder: Path, digest: str
) -> None:
    names = [f"{number}.png" for number in range(6)]
    job = add_job(engine, [names], root=str(folder))
    seen: list[int] = []
    outcome = inspector.inspect(*sent(engine), on_image=lambda job: seen.append(job))
    runtime = TorchRuntime(load_checkpoint(models_folder / f"{digest}.safetensors", digest), "cpu")
    scored = list(score_images([folder / name for name in names], runtime))
    expected = [score.score for score in scored]
    rows = rows_of(engine, job)
    assert [row["score"] for row in rows] == expected
    assert [row["novelty"] for row in rows] == [score.novelty for score in scored]
    assert None not in [score.novelty for score in scored]
    assert [row["disposition"] for row in rows] == ["FAIL" if (score or 0) >= 0.5 else "PASS" for score in expected]
    assert {row["checkpoint_digest"] for row in rows} == {digest}
    assert {(row["engine"], row["precision"], row["device"], row["worker"]) for row in rows} == {
        ("torch", "fp32", "cpu", "w@here")
    }
    assert (rows[0]["width"], rows[0]["height"], rows[0]["size"]) == (30, 20, (folder / "0.png").stat().st_size)
    assert seen == [job] * 6
    assert f"job {job}" in outcome


def test_bad_files_are_unreadable_and_their_neighbours_keep_their_verdicts(
    engine: Engine, inspector: Inspector, folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").write_text("no image")
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "secret.png").write_bytes(whole)
    (folder / "4.png").unlink()
    (folder / "4.png").symlink_to(tmp_path / "secret.png")
    names = [f"{number}.png" for number in range(7)]
    job = add_job(engine, [names], root=str(folder))
    inspector.inspect(*sent(engine))
    assert [row["reason_code"] for row in rows_of(engine, job)] == [
        None,
        "empty_file",
        "not_an_image",
        "truncated",
        "outside_root",
        None,
        "vanished",
    ]
    alone = add_job(engine, [["0.png", "5.png"]], root=str(folder))
    inspector.inspect(*sent(engine))
    neighbours = [row["score"] for row in rows_of(engine, job) if row["score"] is not None]
    assert neighbours == pytest.approx([row["score"] for row in rows_of(engine, alone)], abs=1e-5)


def test_the_event_of_a_batch_names_the_code_that_judged_it(engine: Engine, inspector: Inspector, folder: Path) -> None:
    add_job(engine, [NAMES], root=str(folder))
    inspector.inspect(*sent(engine))
    with reading(engine) as session:
        (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "results.add"))
    assert event.details["versions"] == {name: version(name) for name in ("inspectq", "torch", "pillow", "numpy")}


def seconds_added(engine: Engine) -> dict[tuple[str, str], float]:
    with reading(engine) as session:
        return {(row.host, row.stage): row.seconds for row in session.scalars(select(StageTime))}


def test_the_time_of_a_batch_is_added_with_its_verdicts_and_that_of_a_refused_one_with_the_next(
    engine: Engine, inspector: Inspector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_job(engine, [NAMES[:3], NAMES[3:]], root=str(folder))
    really = batches.finish

    def finish_late(session: Session, held: Claim, rows: list[NewResult], **more: Any) -> bool:
        session.execute(update(Batch).where(Batch.id == held.batch).values(token="another's"))
        return really(session, held, rows, **more)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "finish", finish_late)
        patch.setattr(batches, "draw", lambda *_, **__: None)
        inspector.inspect(*sent(engine))
    assert seconds_added(engine) == {}
    read_before = seconds_by_stage()["read"]
    inspector.inspect(*sent(engine))
    added = seconds_added(engine)
    assert [host for host, _ in added] == ["here"] * len(added)
    assert {stage for _, stage in added} == {"read", "hash", "decode", "resize", "infer", "write"}
    both, second = added["here", "read"], seconds_by_stage()["read"] - read_before
    assert both > second


def test_odd_names_are_opened_by_their_bytes(engine: Engine, inspector: Inspector, folder: Path) -> None:
    odd = folder / "caf\udce9 new\nline.png"
    (folder / "0.png").rename(odd)
    job = add_job(engine, [[to_text(str(odd.relative_to(folder)))]], root=str(folder))
    inspector.inspect(*sent(engine))
    assert [(row["path"], row["reason_code"]) for row in rows_of(engine, job)] == [("caf\\xe9 new\nline.png", None)]


def test_a_late_message_does_nothing(engine: Engine, inspector: Inspector, folder: Path) -> None:
    job = add_job(engine, [["0.png"]], root=str(folder))
    message = sent(engine)
    inspector.inspect(*message)
    assert "nothing to do" in inspector.inspect(*message)
    assert len(rows_of(engine, job)) == 1


@pytest.mark.parametrize("mount_point_stays", [False, True])
def test_a_folder_that_is_not_mounted_gives_the_batch_back_instead_of_vanished_verdicts(
    engine: Engine, inspector: Inspector, folder: Path, mount_point_stays: bool
) -> None:
    job = add_job(engine, [["0.png", "1.png"]], root=str(folder))
    message = sent(engine)
    folder.rename(folder.with_name("unmounted"))
    if mount_point_stays:
        folder.mkdir()
    assert "waits" in inspector.inspect(*message)
    assert rows_of(engine, job) == []
    assert_waits(engine, "is it mounted?" if mount_point_stays else "cannot be opened")


def assert_waits(engine: Engine, why: str) -> None:
    batch = the_batch(engine)
    assert (batch.state, batch.attempt, batch.faults) == (BatchState.PLANNED, 2, 0)
    assert batch.waiting_since is not None
    assert why in (batch.note or "")


def assert_failed_once(engine: Engine, why: str) -> None:
    batch = the_batch(engine)
    assert (batch.state, batch.attempt, batch.faults) == (BatchState.PLANNED, 2, 1)
    assert batch.waiting_since is None
    assert why in (batch.note or "")


def test_a_checkpoint_that_this_worker_does_not_have_is_left_to_others(
    engine: Engine, inspector: Inspector, folder: Path, models_folder: Path, digest: str
) -> None:
    (models_folder / f"{digest}.safetensors").unlink()
    job = add_job(engine, [["0.png"]], root=str(folder))
    assert "given back" in inspector.inspect(*sent(engine))
    assert_failed_once(engine, digest)
    with reading(engine) as session:
        assert jobs.get(session, job).state is JobState.RUNNING


def test_an_altered_checkpoint_stops_the_job_with_the_reason(
    engine: Engine, inspector: Inspector, folder: Path, models_folder: Path, digest: str
) -> None:
    file = models_folder / f"{digest}.safetensors"
    save_random_model(models_folder, seed=1)
    next(other for other in models_folder.iterdir() if other != file).replace(file)
    job = add_job(engine, [["0.png"]], root=str(folder))
    assert "failed" in inspector.inspect(*sent(engine))
    with reading(engine) as session:
        row = jobs.get(session, job)
    assert row.state is JobState.FAILED
    assert row.state_reason
    assert rows_of(engine, job) == []


def test_a_batch_cancelled_while_it_is_inspected_saves_nothing(
    engine: Engine, inspector: Inspector, folder: Path
) -> None:
    job = add_job(engine, [[f"{number}.png" for number in range(6)]], root=str(folder))

    def cancel_once(_: int) -> None:
        with reading(engine) as session:
            is_open = jobs.get(session, job).state is JobState.RUNNING
        if is_open:
            with writing(engine) as session:
                jobs.cancel(session, job, actor="anna")

    assert "not saved" in inspector.inspect(*sent(engine), on_image=cancel_once)
    assert rows_of(engine, job) == []


def test_an_interrupt_gives_the_batch_back_at_once(engine: Engine, inspector: Inspector, folder: Path) -> None:
    add_job(engine, [["0.png"]], root=str(folder))

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspector.inspect(*sent(engine), on_image=interrupt)
    assert batch_state(engine) == (BatchState.PLANNED, 1)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0.0, ("ok", Disposition.PASS)),
        (0.19, ("ok", Disposition.PASS)),
        (0.2, ("ok", Disposition.REVIEW)),
        (0.79, ("ok", Disposition.REVIEW)),
        (0.8, ("defective", Disposition.FAIL)),
        (1.0, ("defective", Disposition.FAIL)),
    ],
)
def test_scores_are_judged_by_the_limits_of_the_operating_point(
    engine: Engine, digest: str, folder: Path, score: float, verdict: tuple[str, Disposition]
) -> None:
    add_job(engine, [["0.png"]], root=str(folder))
    held = replace(claim_next(engine), pass_below=0.2, fail_from=0.8)
    assert judge(score, held) == verdict


def test_after_a_fault_a_poison_image_costs_only_itself(
    engine: Engine, inspector: Inspector, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "2.png").write_bytes(marked((folder / "2.png").read_bytes(), "SIGSEGV"))
    poison_decoders(tmp_path / "site", monkeypatch)
    calm = add_job(engine, [NAMES], root=str(folder))
    inspector.inspect(*sent(engine))
    careful = add_job(engine, [NAMES], root=str(folder))
    fail_once(engine)
    assert "5 " in inspector.inspect(*sent(engine))
    expected, found = rows_of(engine, calm), rows_of(engine, careful)
    assert [row["reason_code"] for row in found] == [None, None, "crashed_worker", None, None, None]
    assert "SIGSEGV" in str(found[2]["detail"])
    assert found[2]["sha256"] == expected[2]["sha256"]
    for calmly, carefully in zip(expected[:2] + expected[3:], found[:2] + found[3:], strict=True):
        assert carefully["score"] == pytest.approx(calmly["score"], abs=1e-6)
        for name in ("path", "sha256", "width", "height", "size", "label", "disposition"):
            assert carefully[name] == calmly[name]


def test_an_image_that_hangs_longer_than_a_stall_is_a_verdict_under_guard(
    engine: Engine, environment: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "2.png").write_bytes(marked((folder / "2.png").read_bytes(), "HANG"))
    poison_decoders(tmp_path / "site", monkeypatch)
    job = add_job(engine, [NAMES], root=str(folder))
    fail_once(engine)
    ends: list[str] = []
    tight = environment.model_copy(update={"stall_seconds": 1.5, "decode_seconds": 2.5})
    from_settings("w@here", tight, end_process=ends.append).inspect(*sent(engine))
    assert [row["reason_code"] for row in rows_of(engine, job)] == [None, None, "decode_timeout", None, None, None]
    assert ends == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"device": "cuda:99"}, "'cuda:99' was asked for"),
        ({"roots": "/somewhere/else"}, "below none of the allowed folders"),
    ],
)
def test_what_this_worker_lacks_counts_as_a_fault(
    engine: Engine, environment: Settings, folder: Path, changed: dict[str, str], why: str
) -> None:
    add_job(engine, [NAMES], root=str(folder))
    lacking = from_settings("w@here", environment.model_copy(update=changed))
    assert "given back" in lacking.inspect(*sent(engine))
    assert_failed_once(engine, why)


def test_a_lack_of_memory_counts_as_a_fault(
    engine: Engine, inspector: Inspector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    add_job(engine, [NAMES], root=str(folder))
    monkeypatch.setattr(Image, "open", no_room)
    assert "given back" in inspector.inspect(*sent(engine))
    assert_failed_once(engine, "not enough memory")


@pytest.mark.parametrize(("error", "ends"), [(DeviceFailed, True), (DeviceOutOfMemory, False)])
def test_a_device_that_failed_ends_the_process_and_one_that_is_full_does_not(
    engine: Engine,
    environment: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    ends: bool,
) -> None:
    class Broken(TorchRuntime):
        def score(self, batch: object) -> object:  # type: ignore[override]
            raise error("cuda:0 has had it")

    monkeypatch.setattr("vision.torch_runtime.TorchRuntime", Broken)
    reasons: list[str] = []
    add_job(engine, [NAMES], root=str(folder))
    broken = from_settings("w@here", environment, end_process=reasons.append)
    assert "given back" in broken.inspect(*sent(engine))
    assert_failed_once(engine, "cuda:0 has had it")
    assert reasons == (["cuda:0 has had it"] if ends else [])


def test_an_input_output_error_is_waited_for(engine: Engine, inspector: Inspector) -> None:
    job = add_job(engine, [["mem"]], root="/proc/self")  # reading it gives a real one
    assert "waits" in inspector.inspect(*sent(engine))
    assert rows_of(engine, job) == []
    assert_waits(engine, "Input/output error")


def test_a_file_that_was_away_for_a_moment_has_not_vanished(engine: Engine, inspector: Inspector, folder: Path) -> None:
    job = add_job(engine, [NAMES], root=str(folder))
    away = (folder / "3.png").rename(folder / "away")

    def back(_: int) -> None:
        if away.exists():
            away.rename(folder / "3.png")

    assert "waits" in inspector.inspect(*sent(engine), on_image=back)
    assert rows_of(engine, job) == []
    assert_waits(engine, "3.png was away for a moment")
    fresh(engine)
    inspector.inspect(*sent(engine))
    assert {row["reason_code"] for row in rows_of(engine, job)} == {None}
    assert the_batch(engine).waiting_since is None


@pytest.mark.parametrize("empty", [False, True])
def test_a_sub_folder_that_is_away_is_waited_for_and_after_a_while_was_removed(
    engine: Engine, inspector: Inspector, folder: Path, empty: bool
) -> None:
    if empty:
        (folder / "line").mkdir()
    job = add_job(engine, [["0.png", "line/1.png"]], root=str(folder))
    assert "waits" in inspector.inspect(*sent(engine))
    assert_waits(engine, "the folder of line/1.png is not there, or empty")
    fresh(engine, waiting_since=database_now(-SUBFOLDER_PATIENCE_SECONDS - 1))
    inspector.inspect(*sent(engine))
    assert [row["reason_code"] for row in rows_of(engine, job)] == [None, "vanished"]


def fresh(engine: Engine, **values: object) -> None:
    """The batch may be sent again now."""
    with writing(engine) as session:
        session.execute(update(Batch).values(not_before=None, **values))


def test_a_worker_that_is_told_to_stop_gives_its_batch_back_uncounted(
    engine: Engine, environment: Settings, folder: Path
) -> None:
    job = add_job(engine, [NAMES], root=str(folder))
    told = threading.Event()
    inspector = from_settings("w@here", environment, stopping=told.is_set)
    seen: list[None] = []

    def tell(_: int) -> None:
        seen.append(None)
        told.set()

    assert "the worker stops" in inspector.inspect(*sent(engine), on_image=tell)
    batch = the_batch(engine)
    assert (batch.state, batch.attempt, batch.faults, batch.not_before) == (BatchState.PLANNED, 1, 0, None)
    assert len(seen) == 1, "not one more image is waited for"
    assert rows_of(engine, job) == []
    told.clear()
    inspector.inspect(*sent(engine))
    assert len(rows_of(engine, job)) == 6


def test_a_batch_in_which_nothing_moves_is_given_back_and_its_process_ended(
    engine: Engine, environment: Settings, folder: Path
) -> None:
    job = add_job(engine, [NAMES], root=str(folder))
    ended, reasons = threading.Event(), []

    def end_process(reason: str) -> None:
        reasons.append((reason, the_batch(engine).state))
        ended.set()

    def block(_: int) -> None:
        assert ended.wait(60)

    quick = environment.model_copy(update={"stall_seconds": 1.5})
    inspector = from_settings("w@here", quick, end_process=end_process)
    assert "not saved" in inspector.inspect(*sent(engine), on_image=block)
    assert len(reasons) == 1
    assert "no image got through for 1.5 seconds" in reasons[0][0]
    assert reasons[0][1] is BatchState.PLANNED, "given back before the process ends"
    assert_failed_once(engine, "no image got through")
    assert rows_of(engine, job) == []


def test_verdicts_that_wait_for_the_database_are_no_stall_and_are_saved_when_it_is_back(
    engine: Engine, inspector: Inspector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds: list[Leases] = []
    still: list[float] = []

    def watched(*arguments: Any, **options: Any) -> Leases:
        holds.append(Leases(*arguments, **options))
        return holds[-1]

    def away_once(session: Session, held: Claim, rows: list[NewResult], **more: Any) -> bool:
        still.append(holds[0].still_seconds)
        if len(still) == 1:
            raise DatabaseAway("the database is away")
        return finish(session, held, rows, **more)

    finish = batches.finish
    monkeypatch.setattr("worker.inspection.Leases", watched)
    monkeypatch.setattr(batches, "finish", away_once)
    job = add_job(engine, [NAMES], root=str(folder))
    inspector.inspect(*sent(engine))
    assert still == [0.0, 0.0]
    assert len(rows_of(engine, job)) == 6
