"""Can a verdict be traced, and a lot be checked with nothing but standard tools?"""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from console.evidence.check import NULLABLE, entry
from console.evidence.checksums import checksum_line
from console.exits import ExitCode
from db import jobs, operating_points
from db.engine import Engine, writing
from db.models import Base
from db.paths import to_text
from db.schema import open_database
from db.seals import RECORDS
from tests.console.shell import Said, type_here
from tests.tampering import tampering

Type = Callable[..., Said]
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SHA256SUM = shutil.which("sha256sum") or "sha256sum"
NASTY = ("line-1/two words\nand a line.jpg", "line-1/back\\slash.jpg", "=1+1.jpg", "line-2/caf\udce9.jpg")
FILES = (
    "README.txt",
    "SHA256SUMS",
    "audit-chain.json",
    "audit-events.jsonl",
    "check.py",
    "confusion-matrix.csv",
    "evaluation.json",
    "images.sha256",
    "job.json",
    "model.json",
    "operating-point.json",
    "records.jsonl",
    "report.html",
    "verdict-rows.jsonl",
    "verdicts.csv",
    "verdicts.json",
    "versions.json",
)


@pytest.fixture
def typed(rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command against the rows' database."""
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", rows.engine.url.render_as_string(hide_password=False))
    return lambda *words: type_here(capsys, *words)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def lot(rows: Any, images: Path) -> int:
    """A job over real files, with an approved operating point and an evaluation."""
    return made(rows, images)


def made(rows: Any, images: Path, **model: Any) -> int:
    number = rows.add_model(**model)
    rows.add_evaluation(
        number,
        images,
        [rows.Judged(path=f"{n}.jpg", actual=CLASS[n % 3], score=SCORE[n % 5]) for n in range(30)],
        leaking=2,
    )
    verdicts = [
        rows.Verdict(path=to_text(name), score=0.1 + 0.2 * n, sha256=rows.draw(images, name, 20 * n))
        for n, name in enumerate(NASTY)
    ]
    lost = rows.Verdict(path="line-2/gone.jpg", score=None, reason="vanished")
    job: int = rows.add_job(images, [*verdicts, lost])
    return job


CLASS = ("defective", "ok", "ok")
SCORE = (0.9, 0.2, 0.4, 0.7, 0.1)


def unpacked(bundle: Path) -> Path:
    folder = bundle.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return folder


def checksums(folder: Path, manifest: Path) -> subprocess.CompletedProcess[bytes]:
    command = [SHA256SUM, "--quiet", "-c", manifest]
    return subprocess.run(
        command, cwd=folder, capture_output=True, check=False, env={"LC_ALL": "C", "PATH": "/usr/bin"}
    )


def checked(bundle: Path, *words: object) -> tuple[int, str]:
    """What the bundle's own program says, run without anything of inspectq within reach."""
    run = [sys.executable, "-I", "-S", bundle / "check.py", *words]
    done = subprocess.run(run, cwd=bundle, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_trace_tells_a_person_the_verdict_first_and_all_that_it_rests_on(typed: Type, lot: int) -> None:
    said = typed("trace", lot, "line-2/caf\udce9.jpg")
    assert said.code == ExitCode.DONE
    assert said.out.startswith("Verdict\n  FAIL: score 0.7000000000000001, PASS below 0.4, FAIL from 0.6\n")
    for words in (
        "on line-2/caf\\xe9.jpg in ",
        "inspected by worker w1, batch 0, attempt 1",
        "operating point 2, version 2, by hand, proposed by test",
        "approved by Q. Engineer on ",
        f"digest {'ab' * 32}",
        f"fingerprint {'f' * 64}",
        f"3 boxes (sha256 {'e' * 64})",
        "missed defective parts  60.00%, with 95% confidence 26.24% to 87.84%",
        "defective, judged ok: 6",
        "make of these images: inspectq threshold show 2",
        "leaking: 2 of ",
        "evaluation 1, worker 0.1 (torch 2.9, pillow 12)",
        f"m.keller  job.submit job:{lot}",
    ):
        assert words in said.out, words
    assert "UNAPPROVED" not in said.out
    assert "sealed" not in said.out, "digests of rows are for scripts"
    assert "\nand a line" not in typed("trace", lot, NASTY[0]).out, "a name cannot forge a line"


def test_a_trace_for_a_script_is_whole(typed: Type, lot: int, images: Path) -> None:
    found = typed("trace", lot, images / NASTY[1], "--format", "json").json
    assert list(found) == [
        "does_not_fit",
        "verdict",
        "revisions",
        "final_disposition",
        "reviews",
        "chain",
        "lost",
        "image",
        "operating_point",
        "model",
        "evaluations",
        "later_evaluations",
        "runtime",
        "worker",
        "batch",
        "code_version",
        "job",
        "origin_job",
        "audit_events",
        "audit_events_left_out",
    ]
    assert (found["verdict"]["disposition"], found["verdict"]["given"], found["lost"]) == ("PASS", "inspected", None)
    assert found["image"]["path"] == NASTY[1]
    assert found["operating_point"]["approved_by_then"] is True
    assert found["model"]["training_run"]["recipe"]["boxes_sha256"] == "e" * 64
    assert found["model"]["dataset"]["fingerprint"] == "f" * 64
    (evaluation,) = found["evaluations"]
    assert evaluation["miss_rate_lcl"] < evaluation["miss_rate"] == 0.6 < evaluation["miss_rate_ucl"]
    assert sum(cell["images"] for cell in evaluation["confusion_matrix"]) == 30
    assert found["code_version"]["worker"] == "0.1"
    assert found["code_version"]["worker_libraries"] == {"torch": "2.9", "pillow": "12"}
    assert found["audit_events"][-1]["action"] == "job.done"


def test_an_unreadable_image_is_traced_and_unapproved_limits_are_called_so(
    typed: Type, rows: Any, images: Path
) -> None:
    job = made(rows, images, limits=(0.5, 0.5))
    said = typed("trace", job, "line-2/gone.jpg").out
    assert "UNREADABLE (vanished): seen by the decoder" in said
    assert "its bytes could not be read" in said
    assert "UNAPPROVED when the verdict was given" in said
    nobody = typed("trace", job, "nobody.jpg")
    assert (nobody.code, nobody.out) == (ExitCode.WRONG_USAGE, "")
    assert f"inspectq results {job}" in nobody.err


def test_a_trace_tells_apart_what_was_known_when_the_verdict_was_given_and_what_came_later(
    typed: Type, rows: Any, lot: int, images: Path
) -> None:
    judged = [rows.Judged(path=f"{n}.jpg", actual=CLASS[n % 3], score=SCORE[n % 5]) for n in range(9)]
    rows.add_evaluation(1, images / "line-1", judged, leaking=3)
    found = typed("trace", lot, "line-2/gone.jpg", "--format", "json").json
    assert [row["evaluation"] for row in found["evaluations"]] == ["e1"]
    assert [row["evaluation"] for row in found["later_evaluations"]] == ["e2"]
    assert "made later: e2, torch fp32, test of " in typed("trace", lot, "line-2/gone.jpg").out
    again = rows.add_job(images, [rows.Verdict(path="line-2/gone.jpg", score=None, reason="vanished")])
    assert "leaking: 3 of 9 test images have a twin in training" in typed("trace", again, "line-2/gone.jpg").out


def test_an_approval_counts_from_its_event_on_whatever_its_row_says(typed: Type, rows: Any, images: Path) -> None:
    job = made(rows, images, limits=(0.5, 0.5))
    with writing(rows.engine) as session:
        point = operating_points.get(session, 1)
        operating_points.approve(session, point, by="Q. Engineer", reason="Late.", account="test")
    with tampering(rows.engine) as session:
        session.execute(text("UPDATE operating_point_approval SET approved_at = '2026-01-01 00:00:00.000000'"))
    said = typed("trace", job, "line-2/gone.jpg")
    assert "UNAPPROVED when the verdict was given" in said.out
    assert "approved by Q. Engineer on 2026-01-01" in said.out
    with tampering(rows.engine) as session:
        session.execute(text("DELETE FROM audit_event WHERE action = 'threshold.approve'"))
    assert "NO EVENT reports this approval" in typed("trace", job, "line-2/gone.jpg").out


def test_a_bundle_is_checked_with_standard_tools_and_names_what_was_altered(
    typed: Type, lot: int, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lot.zip"
    said = typed("bundle", lot, "--out", out)
    assert said.code == ExitCode.DONE
    (tmp_path / "lot.zip.sha256").write_text(said.out)
    assert checksums(tmp_path, tmp_path / "lot.zip.sha256").returncode == 0
    assert "Of the images 1 could not be read" in said.err
    assert "UNAPPROVED" not in said.err
    if (unzip := shutil.which("unzip")) is not None:
        subprocess.run([unzip, "-tq", out], check=True, capture_output=True)
    folder = unpacked(out)
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    assert checksums(folder, folder / "SHA256SUMS").returncode == 0
    assert checksums(images, folder / "images.sha256").returncode == 0
    assert (code_and_words := checked(folder, images))[0] == 0, code_and_words
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == len(FILES) - 1

    with (folder / "verdicts.csv").open(encoding="utf-8", newline="") as stream:
        from_csv = list(csv.DictReader(stream))
    from_json = json.loads((folder / "verdicts.json").read_text())
    assert [row["path"] for row in from_csv if row["path"].startswith("'")] == ["'=1+1.jpg"]
    assert "=1+1.jpg" in {row["path"] for row in from_json}
    assert len(from_csv) == len(from_json) == len(NASTY) + 1
    (evaluation,) = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["miss_rate_ucl"] > evaluation["miss_rate"] > evaluation["miss_rate_lcl"]
    with (folder / "confusion-matrix.csv").open(encoding="utf-8", newline="") as stream:
        assert sum(int(row["images"]) for row in csv.DictReader(stream)) == 30
    assert (point := json.loads((folder / "operating-point.json").read_text()))["approved_by"] == "Q. Engineer"
    assert (point["gives"][0]["missed"], point["gives"][0]["defective"]) == (4, 10), "below 0.4, not below 0.5"
    assert "approved by Q. Engineer" in (folder / "README.txt").read_text()
    events = [json.loads(line) for line in (folder / "audit-events.jsonl").read_text().splitlines()]
    assert json.loads((folder / "audit-chain.json").read_text())["newest_digest"] == events[-1]["digest"]

    altered = bytearray((images / NASTY[0]).read_bytes())
    altered[-1] ^= 1
    (images / NASTY[0]).write_bytes(altered)
    (images / NASTY[2]).unlink()
    named = checksums(images, folder / "images.sha256")
    assert named.returncode == 1
    assert b"\\line-1/two words\\nand a line.jpg: FAILED" in named.stdout
    assert b"=1+1.jpg: FAILED open or read" in named.stdout
    assert len(named.stdout.splitlines()) == 2
    code, words = checked(folder, images)
    assert (code, words.count("WRONG")) == (1, 2)
    assert "two words\\nand a line.jpg' was altered" in words


def test_who_alters_the_bundle_and_its_checksums_is_found_by_what_it_says(
    typed: Type, lot: int, tmp_path: Path
) -> None:
    typed("bundle", lot, "--out", tmp_path / "lot.zip")
    folder = unpacked(tmp_path / "lot.zip")
    events = map(json.loads, (folder / "audit-events.jsonl").read_text(encoding="utf-8").splitlines())
    submitted = next(event["event"] for event in events if event["actor"] == "m.keller")
    for name, old, new, words in (
        ("verdicts.csv", ",PASS,", ",FAIL,", "verdicts.csv and verdicts.json say something else"),
        ("verdicts.json", '"PASS"', '"FAIL"', "the limits say PASS"),
        ("verdicts.json", '"score": 0.1', '"score": 0.2', "has another verdict in verdict-rows.jsonl"),
        ("verdict-rows.jsonl", '"score":0.1', '"score":0.2', "the verdicts of batch 1 are not as their event"),
        ("verdict-rows.jsonl", '"device":"cpu"', '"device":"cuda"', "the verdicts of batch 1 are not as their event"),
        ("operating-point.json", '"fail_from": 0.6', '"fail_from": 0.9', "the limits say REVIEW"),
        ("operating-point.json", '"fail_from": 0.6', '"fail_from": 0.61', "fail_from 0.61, the record 0.6"),
        ("operating-point.json", '"Q. Engineer"', '"Q. Boss"', "'Q. Boss' approved it, its event 'Q. Engineer'"),
        ("operating-point.json", '"operating_point": 2', '"operating_point": 1', "judged by operating point 2"),
        ("records.jsonl", '"fail_from":0.6', '"fail_from":0.61', "operating_point 2 is not as its event reported"),
        ("records.jsonl", '"images":6', '"images":0', "evaluation 1 is not as its event reported it"),
        ("job.json", '"submitted": 5', '"submitted": 6', "does not account for all"),
        ("job.json", '"m.keller"', '"nobody"', "job.json says submitted_by 'nobody', the record 'm.keller'"),
        ("evaluation.json", '"group_rule": null', '"group_rule": "folder"', "group_rule 'folder', the record None"),
        ("operating-point.json", '"missed": 4', '"missed": 0', "says missed 0 of e1, not 4"),
        ("operating-point.json", '"good": ', '"good": 1', "says good 120 of e1, not 20"),
        ("operating-point.json", '"evaluation": null', '"evaluation": "e1"', "evaluation_id 1, the record None"),
        ("model.json", f'"{"ab" * 32}"', f'"{"cd" * 32}"', "model.json says digest"),
        ("model.json", f'"{"f" * 64}"', f'"{"e" * 64}"', "model.json says fingerprint"),
        ("evaluation.json", '"images": 6', '"images": 0', "confusion_matrix says images 0, the record 6"),
        ("evaluation.json", '"miss_rate": 0.6', '"miss_rate": 0.0', "miss_rate 0.0, the record 0.6"),
        ("confusion-matrix.csv", ",6\r", ",5\r", "confusion-matrix.csv says something else of e1"),
        ("images.sha256", "  =1+1.jpg", "  =1+2.jpg", "has another sha256 in images.sha256"),
        ("audit-events.jsonl", '"m.keller"', '"nobody"', f"event {submitted} was altered"),
        ("audit-events.jsonl", *without_event(folder, "job.submit"), "no event reports that job 1 was submitted"),
        ("audit-events.jsonl", *without_event(folder, "results.add"), "no event reports the verdicts of batch 1"),
        ("audit-events.jsonl", *without_event(folder, "evaluation.add"), "no event reports evaluation 1"),
        (
            "audit-events.jsonl",
            *without_event(folder, "threshold.approve"),
            "no event reports operating_point_approval",
        ),
        ("verdict-rows.jsonl", (folder / "verdict-rows.jsonl").read_text(), "", "the verdicts of batch 1 are missing"),
    ):
        before = (folder / name).read_bytes()
        assert old.encode() in before, old
        (folder / name).write_bytes(before.replace(old.encode(), new.encode()))
        assert f"{name}' was altered" in checked(folder)[1]
        resealed(folder, FILES)
        code, said = checked(folder)
        assert code == 1
        assert words in said, (words, said)
        (folder / name).write_bytes(before)
    for name in FILES:
        if name not in ("SHA256SUMS", "check.py", "audit-events.jsonl"):
            resealed(folder, [file for file in FILES if file != name])
            assert f"{name} is not in SHA256SUMS" in checked(folder)[1]
    resealed(folder, FILES)
    assert checked(folder)[0] == 0


def test_the_bundle_knows_every_column_that_may_hold_nothing() -> None:
    tables = ("inspection_job", "checkpoint", "training_run", "dataset_snapshot", "operating_point")
    for name in (*tables, "operating_point_approval", "evaluation", "class_metric", "confusion_cell"):
        covered = RECORDS[name].fixed if name in RECORDS else tuple(Base.metadata.tables[name].columns.keys())
        nullable = tuple(column for column in covered if Base.metadata.tables[name].columns[column].nullable)
        assert NULLABLE.get(name, ()) == nullable


def resealed(folder: Path, files: Sequence[str]) -> None:
    """As whoever alters a file would: its checksum is made anew."""
    sums = b"".join(
        checksum_line(hashlib.sha256((folder / file).read_bytes()).hexdigest(), file.encode())
        for file in files
        if file != "SHA256SUMS"
    )
    (folder / "SHA256SUMS").write_bytes(sums)


def without_event(folder: Path, action: str) -> tuple[str, str]:
    """(the line of the event, nothing)."""
    lines = (folder / "audit-events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    return next(line for line in lines if f'"action": "{action}"' in line), ""


def test_the_same_job_gives_the_same_bytes_on_either_database(
    rows: Any, images: Path, tmp_path: Path, database_with_tables: str
) -> None:
    from console.evidence.bundle import write_bundle

    engine = open_database(database_with_tables)
    job = made(type(rows)(engine=engine), images)
    written = []
    for name in ("one.zip", "two.zip"):
        write_bundle(engine, job, tmp_path / name, made_at=NOON)
        written.append((tmp_path / name).read_bytes())
    engine.dispose()
    assert written[0] == written[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert checked(unpacked(tmp_path / "one.zip"), images)[0] == 0


def test_an_open_job_is_refused_and_leaves_no_file_and_unapproved_limits_are_called_so(
    typed: Type, rows: Any, images: Path, tmp_path: Path
) -> None:
    made(rows, images, limits=(0.5, 0.5))
    still_open = rows.add_job(images, [rows.Verdict(path=f"{n:02}.jpg", score=0.1) for n in range(9)], finished=False)
    out = tmp_path / "lot.zip"
    refused = typed("bundle", still_open, "--out", out)
    assert (refused.code, refused.out) == (ExitCode.WRONG_USAGE, "")
    assert f"Job {still_open} is running: there is evidence for it when it has ended" in refused.err
    assert sorted(file.name for file in tmp_path.iterdir() if "lot" in file.name) == []
    cancel(rows.engine, still_open)
    said = typed("bundle", still_open, "--out", out)
    assert said.code == ExitCode.DONE
    assert "UNAPPROVED" in said.err
    assert "The job is cancelled: not every image that was submitted has a verdict." in " ".join(said.err.split())
    assert checked(unpacked(out))[0] == 0, "what was cancelled is part of the ledger"
    nowhere = typed("bundle", still_open, "--out", tmp_path / "nowhere" / "lot.zip")
    assert nowhere.code == ExitCode.WRONG_USAGE


def cancel(engine: Engine, job: int) -> None:
    with writing(engine) as session:
        jobs.cancel(session, job, actor="anna")


def test_what_cannot_be_replayed_is_one_sentence(typed: Type, rows: Any, images: Path) -> None:
    rows.add_model()
    still_open = rows.add_job(images, [rows.Verdict(path=f"{n:02}.jpg", score=0.1) for n in range(9)], finished=False)
    refused = typed("replay", still_open)
    assert refused.code == ExitCode.WRONG_USAGE
    assert "it can be replayed when it has ended" in refused.err
    both = typed("replay", still_open, "--all", "--sample", 3)
    assert both.code == ExitCode.WRONG_USAGE
    assert "do not go with it" in both.err
    cancel(rows.engine, still_open)
    without_model = typed("replay", still_open)
    assert without_model.code == ExitCode.ENDED_BADLY
    assert "There is no readable model file at" in without_model.err


names = st.binary(min_size=1, max_size=20).filter(lambda raw: not {0, ord("/")} & set(raw) and raw not in (b".", b".."))


@given(names)
@example(b"\\")
@example(b"\r")
@example(b"a\r\n\\r")
def test_a_line_of_checksums_leads_back_to_its_name(name: bytes) -> None:
    line = checksum_line("0" * 64, name)
    assert line.count(b"\n") == 1
    assert entry(line) == ("0" * 64, name)


def test_sha256sum_itself_reads_the_lines(tmp_path: Path) -> None:
    nasty = [b"\\", b"a\nb", b"a\r", b"a\rb", b"\\n", b" a", b"*a", b"caf\xe9", b"-", b"#a", b"a\\\n\r"]
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for name in nasty:
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    manifest = tmp_path / "sums"
    manifest.write_bytes(b"".join(checksum_line(empty, name) for name in nasty))
    done = checksums(tmp_path, manifest)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
