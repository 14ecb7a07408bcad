"""Does what people decided become training data with its provenance, and does no test image become part of it?"""

import csv
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from console.exits import ExitCode
from db import checkpoints, evaluations, reviews
from db.engine import Engine, reading, writing
from db.models import AuditEvent, ReviewDecision
from db.reviews import NewReview
from db.schema import open_database
from tests.console.conftest import Rows
from tests.console.shell import Said, type_here
from tests.networks import add_random_model
from trainer.opening import open_dataset
from vision.samples import draw_photograph

PARTS = [Image.fromarray(draw_photograph(2, number, 96).pixels) for number in range(16)]


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Jobs with decisions, and a hand at the keyboard."""

    rows: Rows
    folder: Path
    type: Callable[..., Said]

    def save(self, name: str, part: Image.Image) -> str:
        """A photograph of a job; the sha256 of its bytes."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part.save(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def job(self, root: str, said: Mapping[str, str], *, by: str = "ann", first: int = 0) -> int:
        """A job over photographs below `root`, each another part, and what a person says of each."""
        digests = {name: self.save(f"{root}/{name}", PARTS[at]) for at, name in enumerate(said, first)}
        verdicts = [self.rows.Verdict(path=name, score=0.5, sha256=digests[name]) for name in said]
        job = self.rows.add_job(self.folder / root, verdicts)
        for name, decision in said.items():
            self.decide(job, name, decision, by)
        return job

    def decide(self, job: int, path: str, decision: str, by: str = "ann") -> None:
        with writing(self.rows.engine) as session:
            new = NewReview(
                job=job,
                path=path,
                decision=ReviewDecision(decision),
                reviewer=by,
                account="line1",
                seen=None,
                blind=True,
                reason_code="crack" if decision == "FAIL" else None,
            )
            reviews.decide(session, new)

    def export(self, *words: object, out: str = "out") -> Said:
        return self.type("dataset", "export", "--from-reviews", self.folder / out, *words)


@pytest.fixture
def shop(
    rows: Rows,
    sqlite_with_tables: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shop:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", sqlite_with_tables)
    rows.add_model()
    return Shop(rows=rows, folder=tmp_path, type=lambda *words: type_here(capsys, *words))


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def events(engine: Engine) -> list[AuditEvent]:
    with reading(engine) as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.action == "dataset.export")))


def test_training_takes_what_was_exported_and_each_file_says_where_it_comes_from(shop: Shop) -> None:
    said = {"a.png": "FAIL", "line 1/b.PNG": "PASS", "c.png": "FAIL", "d.png": "PASS", "e.png": "UNSURE"}
    job = shop.job("monday", said)
    told = shop.export("--format", "json")
    assert told.code == ExitCode.DONE, told.err
    assert told.json["images"] == {"defective": 2, "non-defective": 2}
    out = shop.folder / "out"
    dataset = open_dataset(out)
    assert (dataset.positive, len(dataset.samples), dataset.skipped) == ("defective", 4, ())
    lines = {line["path"]: line for line in table(out / "provenance.csv")}
    assert set(lines) == set(said) - {"e.png"}
    for path, line in lines.items():
        content = (out / line["file"]).read_bytes()
        assert content == (shop.folder / "monday" / path).read_bytes()
        assert line["file"].split("/") == [
            {"FAIL": "defective", "PASS": "non-defective"}[said[path]],
            f"{hashlib.sha256(content).hexdigest()}.png",
        ]
        assert (line["job"], line["reviewer"], line["decision"], line["blind"]) == (str(job), "ann", said[path], "True")
        assert (line["verdict"], line["score"], line["model"]) == ("REVIEW", "0.5", "ab" * 32)
    assert lines["a.png"]["reason_code"] == "crack"
    (event,) = events(shop.rows.engine)
    digest = hashlib.sha256((out / "provenance.csv").read_bytes()).hexdigest()
    assert (event.subject, event.details["images"]) == (f"provenance:{digest}", {"defective": 2, "non-defective": 2})
    assert shop.type("audit", "verify", "--skip-model-files").code == ExitCode.DONE


def test_the_same_bytes_are_one_file_and_what_is_decided_both_ways_is_left_out(shop: Shop) -> None:
    shop.job("monday", {"a.png": "FAIL", "b.png": "PASS", "c.png": "FAIL"})
    shop.job("tuesday", {"again.png": "FAIL", "other.png": "FAIL"}, by="bob")
    told = shop.export("--format", "json").json
    assert told["images"] == {"defective": 2}
    assert told["left_out"] == {"decided differently": 2}
    lost = table(shop.folder / "out" / "left-out.csv")
    assert {(line["job"], line["path"]) for line in lost} == {("1", "b.png"), ("2", "other.png")}
    assert lost[0]["detail"] == "PASS by ann in job 1, FAIL by bob in job 2"
    kept = [line["path"] for line in table(shop.folder / "out" / "provenance.csv")]
    assert sorted(kept) == ["a.png", "again.png", "c.png"]
    by_ann = shop.export("--by", "ann", "--format", "json", out="ann").json
    assert by_ann["images"] == {"defective": 2, "non-defective": 1}
    assert by_ann["overruled"] == 1
    said = {line["path"]: line["overruled"] for line in table(shop.folder / "ann" / "provenance.csv")}
    assert said == {"a.png": "", "b.png": "FAIL by bob in job 2", "c.png": ""}
    of_tuesday = shop.export("--job", "2", "--format", "json", out="tuesday's").json
    assert of_tuesday["images"] == {"defective": 2}


def test_no_test_image_is_exported_neither_its_bytes_nor_its_near_twin(shop: Shop) -> None:
    shop.job("monday", {f"{at:02}.png": "FAIL" if at % 2 else "PASS" for at in range(10)})
    same = shop.save("tests/same.png", PARTS[4])
    twin = shop.save("tests/twin.jpg", PARTS[7].transpose(Image.Transpose.ROTATE_90))
    unseen = hashlib.sha256((shop.folder / "monday/02.png").read_bytes()).hexdigest()
    judged = [
        shop.rows.Judged(path=path, actual="ok", score=0.1, sha256=sha256)
        for path, sha256 in (("same.png", same), ("twin.jpg", twin), ("moved away.png", unseen))
    ]
    shop.rows.add_evaluation(1, shop.folder / "tests", judged)
    told = shop.export()
    assert told.code == ExitCode.DONE, told.err
    lost = {line["path"]: (line["why"], line["detail"]) for line in table(shop.folder / "out" / "left-out.csv")}
    assert lost == {
        "04.png": ("test image", "e1: same.png"),
        "02.png": ("test image", "e1: moved away.png"),
        "07.png": ("near twin of a test image", "e1: twin.jpg"),
    }
    assert len(list((shop.folder / "out").glob("*/*"))) == 7
    assert "1 of 3 test images are not where they were judged" in told.err.replace("\n", " ")


def test_a_file_that_changed_or_went_or_never_was_one_is_counted_and_named(shop: Shop) -> None:
    shop.job("monday", {f"{name}.png": "FAIL" for name in ("changed", "gone", "kept", "linked")})
    folder = shop.folder / "monday"
    PARTS[12].save(folder / "changed.png")
    (folder / "gone.png").unlink()
    (folder / "linked.png").rename(shop.folder / "elsewhere.png")
    (folder / "linked.png").symlink_to(shop.folder / "elsewhere.png")
    sound = shop.save("monday/bomb.png", PARTS[13])  # what ended a worker is not decoded, whatever it is by now
    bomb = shop.rows.Verdict(path="bomb.png", score=None, sha256=sound, reason="crashed_worker")
    cut = shop.rows.Verdict(path="cut.png", score=None, reason="truncated")
    job = shop.rows.add_job(folder, [bomb, cut])
    for path in ("bomb.png", "cut.png"):
        shop.decide(job, path, "FAIL")
    shop.job("tuesday", {"elsewhere.png": "FAIL"}, first=1)  # the same bytes as gone.png
    (shop.folder / "tuesday/elsewhere.png").unlink()
    told = shop.export()
    assert told.code == ExitCode.DONE, told.err
    lines = table(shop.folder / "out" / "left-out.csv")
    assert {line["detail"] for line in lines} >= {"crashed_worker", "truncated"}
    assert {line["path"]: line["why"] for line in lines} == {
        "changed.png": "changed since",
        "gone.png": "no longer there",
        "elsewhere.png": "no longer there",
        "linked.png": "cannot be read",
        "bomb.png": "cannot be read",
        "cut.png": "cannot be read",
    }
    assert "6 decided images are left out" in told.err
    assert "one class only" in told.err


def test_a_name_that_acts_stays_in_the_table_as_text(shop: Shop) -> None:
    shop.job("monday", {"=HYPERLINK(1).png": "FAIL", "xb\x1b[31m.png": "FAIL"})
    assert shop.export().code == ExitCode.DONE
    out = shop.folder / "out"
    assert {line["path"] for line in table(out / "provenance.csv")} == {"'=HYPERLINK(1).png", "xb\x1b[31m.png"}
    assert all(path.stem.isalnum() for path in out.glob("*/*"))


def test_a_folder_that_holds_anything_is_left_as_it_is(shop: Shop) -> None:
    shop.job("monday", {"a.png": "FAIL"})
    out = shop.folder / "out"
    out.mkdir()
    (out / "older.txt").write_text("mine")
    told = shop.export()
    assert (told.code, [path.name for path in out.iterdir()]) == (ExitCode.WRONG_USAGE, ["older.txt"])
    assert "no empty folder" in told.err
    assert events(shop.rows.engine) == []
    (out / "older.txt").unlink()
    assert shop.export().code == ExitCode.DONE


def test_where_nothing_is_left_nothing_is_written(shop: Shop) -> None:
    shop.job("monday", {"a.png": "FAIL"})
    (shop.folder / "monday/a.png").unlink()
    told = shop.export()
    assert told.code == ExitCode.WRONG_USAGE
    assert "nothing was written. Left out: 1 no longer there." in told.err.replace("\n", " ")
    assert [path.name for path in shop.folder.iterdir() if "out" in path.name] == []
    assert "There is no job 9" in shop.export("--job", "9").err
    assert "--from-reviews" in shop.type("dataset", "export", shop.folder / "new").err


def test_a_model_that_learned_from_exported_images_is_told_so_when_it_is_judged_on_them(shop: Shop) -> None:
    """From the decision to the evaluation: the images have other names by then, and one other bytes."""
    shop.job("monday", {f"{at}.png": "FAIL" if at % 2 else "PASS" for at in range(8)})
    assert shop.export().code == ExitCode.DONE
    engine = open_database(str(shop.rows.engine.url))
    add_random_model(engine, shop.folder / "models", name="taught")
    learned = open_dataset(shop.folder / "out").samples
    with writing(engine) as session:
        known = [
            evaluations.KnownImage(path=one.path, sha256=one.sha256, group=None, signature=one.signature)
            for one in learned
        ]
        dataset = checkpoints.find(session, "taught").training_run.dataset
        evaluations.add_training_images(session, dataset, known)
    for name, part in (("defective/1.png", PARTS[1]), ("ok/2.jpg", PARTS[2].transpose(Image.Transpose.ROTATE_90))):
        shop.save(f"parts/test/{name}", part)
    for at, label in enumerate(("defective", "ok"), 12):
        shop.save(f"parts/test/{label}/new.png", PARTS[at])
    told = shop.type("evaluate", "taught", shop.folder / "parts", "--device", "cpu", "--format", "json")
    assert told.code == ExitCode.DONE, told.err
    kinds = {leak["path"]: leak["kind"] for leak in told.json["leaks"]}
    assert kinds == {"test/defective/1.png": "same bytes", "test/ok/2.jpg": "near twin"}
    again = shop.export("--format", "json", out="later").json
    assert again["left_out"] == {"test image": 1, "near twin of a test image": 1}
    assert again["images"] == {"defective": 3, "non-defective": 3}
