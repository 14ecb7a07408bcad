"""Can a stranger go from nothing to verdicts and reports, on one machine, without any service?"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from console.exits import ExitCode
from db.engine import connect
from tests.console.shell import type_here
from tests.tampering import tampering
from vision.runtimes import file_of, name_of


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A person's terminal: `inspectq` with a home of its own."""

    home: Path
    extra: tuple[tuple[str, str], ...] = ()

    def type(self, *words: object, expect: ExitCode = ExitCode.DONE) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INSPECTQ_")}
        environment |= {"INSPECTQ_HOME": str(self.home), "INSPECTQ_DEVICE": "cpu", **dict(self.extra)}
        done = subprocess.run(
            [sys.executable, "-m", "console.cli", *(str(word) for word in words)],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: object) -> object:
        return json.loads(self.type(*words, "--format", "json").stdout)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def photographs(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "photographs"
    shell.type("sample", folder, "--images", 24)
    odd = folder / "incoming" / "line-1"
    first = next(odd.glob("*.jpg"))
    (odd / "two words\nand a line.JPEG").write_bytes(first.read_bytes())
    (odd / "caf\udce9.jpg").write_bytes(first.read_bytes())
    (odd / "notes.txt").write_text("not for inspection")
    return folder


@pytest.fixture(scope="module")
def job(shell: Shell, photographs: Path) -> int:
    """The job of a scan with a model trained here."""
    trained = shell.type(
        "train",
        photographs,
        "--weights",
        "none",
        "--image-size",
        32,
        "--epochs",
        1,
        "--num-workers",
        0,
        "--name",
        "tiny",
        "--folds",
        2,
    )
    assert "precision" in trained.stdout
    assert trained.stdout.count("true, predicted:") == 2, "of the model on its test images, and of all folds"
    shell.type("models", "approve", "tiny")
    scanned = shell.type("scan", photographs / "incoming")
    assert scanned.stdout.strip().isdigit(), "standard output is the job's id and nothing else"
    return int(scanned.stdout)


def test_every_image_has_one_verdict_and_the_ledger_closes(shell: Shell, job: int, photographs: Path) -> None:
    rows = shell.json("results", job)
    assert isinstance(rows, list)
    files = [file for file in (photographs / "incoming").rglob("*") if file.is_file() and file.suffix != ".txt"]
    assert len({row["path"] for row in rows}) == len(rows) == len(files)
    shown = shell.json("jobs", "show", job)
    assert isinstance(shown, dict)
    ledger = shown["ledger"]
    assert ledger["submitted"] == len(files)
    assert ledger["submitted"] == sum(count for name, count in ledger.items() if name != "submitted")
    assert (shown["state"], shown["other_files"], shown["ledger_closed"]) == ("done", 1, True)


def test_bad_files_are_unreadable_for_their_own_reason_and_odd_ones_are_inspected(shell: Shell, job: int) -> None:
    rows = shell.json("results", job, "--disposition", "unreadable")
    assert isinstance(rows, list)
    assert {row["path"]: row["reason_code"] for row in rows} == {
        "odd/text.png": "not_an_image",
        "odd/truncated.jpg": "truncated",
        "odd/zero-bytes.jpg": "empty_file",
    }
    everything = shell.json("results", job)
    assert isinstance(everything, list)
    paths = {row["path"] for row in everything}
    assert {"line-1/caf\\xe9.jpg", "line-1/two words\nand a line.JPEG", "odd/CAPITALS.TIF"} <= paths


def test_the_formats_tell_the_same(shell: Shell, job: int, tmp_path: Path) -> None:
    import pyarrow.parquet

    rows = shell.json("results", job)
    assert isinstance(rows, list)
    shell.type("results", job, "--format", "csv", "--out", tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as stream:
        from_csv = list(csv.DictReader(stream))
    shell.type("results", job, "--format", "parquet", "--out", tmp_path / "results.parquet")
    from_parquet = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["path"] for row in rows] == [row["path"] for row in from_csv] == [row["path"] for row in from_parquet]
    assert [row["score"] for row in rows] == [row["score"] for row in from_parquet]
    assert list(csv.reader(io.StringIO(",".join(rows[0])))) == [list(from_csv[0])]
    table = shell.type("results", job).stdout
    assert "two words\\nand a line.JPEG" in table, "a line break in a name does not break the table"


def test_a_scan_again_gives_the_same_verdicts_looked_at_or_taken_over(
    shell: Shell, job: int, photographs: Path
) -> None:
    looked_at = shell.type("scan", photographs / "incoming", "--model", "tiny", "--no-reuse", "--wait", "--profile")
    for stage in ("read", "hash", "decode", "resize", "infer", "write"):
        assert re.search(rf"^{stage} +\d", looked_at.stderr, re.MULTILINE), stage
    taken_over = shell.type("scan", photographs / "incoming")
    rows = [shell.json("results", number) for number in (job, int(looked_at.stdout), int(taken_over.stdout))]
    keep = ("path", "score", "disposition", "reason_code", "sha256", "width", "engine")
    first, second, third = ([[row[name] for name in keep] for row in some] for some in rows)  # type: ignore[attr-defined]
    assert first == second == third
    reused = [[row["reused_from"] is not None for row in some] for some in rows]  # type: ignore[attr-defined]
    assert reused[:2] == [[False] * len(first)] * 2
    assert reused[2] == [row["score"] is not None for row in rows[0]]  # type: ignore[attr-defined]


def test_retrying_inspects_the_mended_files_again(shell: Shell, photographs: Path) -> None:
    folder = photographs / "incoming" / "odd"
    job = int(shell.type("scan", folder).stdout)
    broken = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes((folder / "exif-rotated.jpg").read_bytes())
    shell.type("jobs", "retry", job)
    (folder / "truncated.jpg").write_bytes(broken)
    shown = shell.json("jobs", "show", job)
    assert isinstance(shown, dict)
    assert shown["ledger"]["unreadable"] == 2
    assert shown["revision"] == 2


def test_both_reports_are_written(shell: Shell, job: int, tmp_path: Path) -> None:
    shell.type("report", job, "--out", tmp_path / "job.html")
    shell.type("report", "e1", "--out", tmp_path / "evaluation.html")
    assert "<html" in (tmp_path / "job.html").read_text(encoding="utf-8")
    assert "<html" in (tmp_path / "evaluation.html").read_text(encoding="utf-8")


def test_an_evaluation_can_be_had_again_and_as_json(shell: Shell, job: int, photographs: Path) -> None:
    judged = shell.json("evaluate", "tiny", photographs, "--split", "all")
    assert isinstance(judged, dict)
    assert judged["images"] == 24
    assert sum(sum(row) for row in judged["confusion_matrix"]) == 24


def test_verdicts_are_replayed_and_whatever_was_changed_since_is_named(
    shell: Shell,
    job: int,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INSPECTQ_HOME", str(shell.home))
    monkeypatch.setenv("INSPECTQ_DEVICE", "cpu")
    folder = photographs / "incoming"
    whole = type_here(capsys, "replay", job, "--all", "--format", "json")
    assert whole.code == ExitCode.DONE, whole.err
    counts = {name: count for name, count in whole.json["counts"].items() if count}
    assert counts == {"same": whole.json["verdicts"] - 3, "unreadable_again": 3}
    assert (whole.json["confirmed"], whole.json["recorded"], whole.json["differences"]) == (True, True, [])
    assert {means["as_recorded"] for means in whole.json["means"]} == {True}

    scored = sorted(file for file in folder.glob("line-*/*.jpg") if file.stem.isdecimal())[:3]
    bytes_before = {file: file.read_bytes() for file in scored}
    altered, missing, cut = (str(file.relative_to(folder)) for file in scored)
    scored[0].write_bytes(bytes_before[scored[0]] + b" ")
    scored[1].unlink()
    scored[2].write_bytes(bytes_before[scored[2]][:100])
    engine = connect(f"sqlite:///{shell.home / 'inspectq.db'}")
    change = text("UPDATE inspection_result SET score = :score WHERE path = :path")
    with tampering(engine) as session:
        (changed, score), *_ = session.execute(
            text("SELECT path, score FROM inspection_result WHERE job_id = :job AND path LIKE 'odd/%' AND score > 0"),
            {"job": job},
        )
        session.execute(change, {"score": score / 2, "path": changed})
    try:
        named = type_here(capsys, "replay", job, "--all", "--format", "json")
        drawn = [type_here(capsys, "replay", job, "--sample", 5, "--seed", 3, "--format", "json") for _ in range(2)]
        table = type_here(capsys, "replay", job, "--all", "--limit", 3)
    finally:
        for file, content in bytes_before.items():
            file.write_bytes(content)
        with tampering(engine) as session:
            session.execute(change, {"score": score, "path": changed})
        engine.dispose()
    assert named.code == ExitCode.ENDED_BADLY
    assert {each["path"]: each["found"] for each in named.json["differences"]} == {
        altered: "altered",
        missing: "missing",
        cut: "altered",
        changed: "score_changed",
    }
    assert drawn[0].json == drawn[1].json
    assert (drawn[0].json["seed"], drawn[0].json["replayed"]) == (3, 5)
    assert table.code == ExitCode.ENDED_BADLY
    assert "2 are other bytes than those that were judged" in table.out
    assert "the file is not there" in table.out
    assert "1 more differences are not listed" in table.err

    (means,) = whole.json["means"]
    (model,) = shell.home.glob("models/*.safetensors")
    swapped = file_of(name_of(means["engine"], means["precision"]) or "", model.parent, model.stem)
    weights = swapped.read_bytes()
    swapped.write_bytes(weights + b" ")
    try:
        refused = type_here(capsys, "replay", job)
    finally:
        swapped.write_bytes(weights)
    assert refused.code == ExitCode.ENDED_BADLY
    assert "it was altered or replaced" in " ".join(refused.err.split())

    mended = type_here(capsys, "replay", job)
    assert mended.code == ExitCode.DONE
    events = type_here(capsys, "trace", job, scored[0], "--format", "json").json["audit_events"]
    replays = [event["details"] for event in events if event["action"] == "job.replay"]
    assert [details["missing"] for details in replays] == [0, 1, *(d.json["counts"]["missing"] for d in drawn), 1, 0]
    assert f"seed {replays[-1]['seed']}" in mended.out, "drawn anew, and told"

    assert type_here(capsys, "bundle", job, "--out", tmp_path / "lot.zip").code == ExitCode.DONE
    with zipfile.ZipFile(tmp_path / "lot.zip") as archive:
        archive.extractall(tmp_path / "lot")
    run = [sys.executable, "-I", "-S", tmp_path / "lot" / "check.py", folder]
    checked = subprocess.run(run, capture_output=True, text=True, check=False)
    assert checked.stdout.endswith("the images: everything fits.\n"), checked.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("scan", "/nowhere/at/all"), ExitCode.WRONG_USAGE, "There is no folder"),
        (("scan", "PHOTOGRAPHS", "--model", "nobody"), ExitCode.WRONG_USAGE, "There is no model"),
        (("jobs", "show", "99999999999999999999"), ExitCode.WRONG_USAGE, "not in the range"),
        (("report", "²", "--out", "/dev/null"), ExitCode.WRONG_USAGE, "is no job"),
        (("report", "1", "--out", "/nowhere/x.html"), ExitCode.WRONG_USAGE, "/nowhere"),
        (("jobs", "show", "4711"), ExitCode.WRONG_USAGE, "inspectq jobs list"),
        (("results", "4711"), ExitCode.WRONG_USAGE, "There is no job 4711"),
        (("results", "1", "--format", "parquet"), ExitCode.WRONG_USAGE, "--out"),
        (("report", "x1", "--out", "/dev/null"), ExitCode.WRONG_USAGE, "is no job"),
        (("report", "e99", "--out", "/dev/null"), ExitCode.WRONG_USAGE, "no evaluation 99"),
        (("train", "/nowhere", "--weights", "none"), ExitCode.WRONG_USAGE, "not a folder"),
        (("train", "/nowhere", "--boxes", "b.csv"), ExitCode.WRONG_USAGE, "it needs --tile"),
        (("worker",), ExitCode.WRONG_USAGE, "INSPECTQ_BROKER_URL"),
        (("scheduler",), ExitCode.WRONG_USAGE, "INSPECTQ_BROKER_URL"),
        (("flower",), ExitCode.WRONG_USAGE, "INSPECTQ_BROKER_URL"),
        (("health", "worker"), ExitCode.ENDED_BADLY, "No worker"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_the_documented_code(
    shell: Shell, job: int, photographs: Path, words: tuple[str, ...], code: ExitCode, sentence: str
) -> None:
    said = shell.type(*(photographs if word == "PHOTOGRAPHS" else word for word in words), expect=code)
    assert sentence in said.stderr
    assert said.stdout == ""


def test_a_database_that_is_away_is_one_sentence_and_code_3(tmp_path: Path) -> None:
    from console.servers import free_port

    away = f"postgresql+psycopg://anna:s3cret@127.0.0.1:{free_port()}/x"
    said = Shell(home=tmp_path, extra=(("INSPECTQ_DATABASE_URL", away),)).type(
        "jobs", "list", expect=ExitCode.SERVICE_AWAY
    )
    assert "does not answer" in said.stderr
    assert "s3cret" not in said.stderr


def test_a_scan_is_accepted_while_redis_is_away(shell: Shell, job: int, photographs: Path) -> None:
    from console.servers import free_port

    away = Shell(home=shell.home, extra=(("INSPECTQ_BROKER_URL", f"redis://127.0.0.1:{free_port()}/0"),))
    submitted = int(away.type("scan", photographs / "incoming").stdout)
    shown = shell.json("jobs", "show", submitted)
    assert isinstance(shown, dict)
    assert shown["state"] == "pending"
    shell.type("jobs", "cancel", submitted)
