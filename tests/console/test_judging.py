"""Are a model's runtimes judged on the same images, compared, and kept with the digest of what was judged?"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.exits import ExitCode
from console.judging import Judge
from console.report.evaluation import evaluation_page
from console.runtimes import parity_line
from console.training import machine_readable, printed
from db import evaluations, runtimes
from db.engine import Engine, connect, reading, writing
from db.models import RuntimeParity, TrainingRun
from db.settings import settings_with
from tests.console.shell import Said, type_here
from tests.exports import ExportedModel
from tests.rows import add_model
from tests.tampering import tampering
from trainer.errors import DatasetError
from trainer.evaluation import Judging
from trainer.finding import Reading
from trainer.grouping import GroupRule
from trainer.opening import open_dataset
from trainer.recipe import report_recipe
from vision.checkpoint import CheckpointAltered
from vision.runtimes import file_of, name_of

ByHand = Callable[..., Said]


@pytest.fixture
def engine(sqlite_with_tables: str) -> Iterator[Engine]:
    made = connect(sqlite_with_tables)
    yield made
    made.dispose()


@pytest.fixture
def judge(engine: Engine, exported_model: ExportedModel, tmp_path: Path) -> Judge:
    """A judge of the exported model, whose files are links to those of the session."""
    chosen = settings_with(home=tmp_path, database_url="", broker_url="")
    chosen.models_folder.mkdir()
    for path in exported_model.folder.iterdir():
        (chosen.models_folder / path.name).symlink_to(path)
    with writing(engine) as session:
        checkpoint = add_model(session, digest=exported_model.digest)
    return Judge(
        engine=engine,
        settings=chosen,
        checkpoint=checkpoint,
        dataset=exported_model.dataset,
        judging=Judging(device="cpu"),
    )


def rows_of(judge: Judge) -> dict[str, RuntimeParity]:
    with reading(judge.engine) as session:
        return {row.name: row for row in runtimes.of_checkpoint(session, judge.checkpoint.id)}


def test_the_reference_is_judged_once_for_all_that_are_compared_with_it(
    judge: Judge, exported_model: ExportedModel
) -> None:
    onnx, int8 = judge.by("onnx"), judge.by("onnx-int8")
    rows = rows_of(judge)
    assert set(rows) == {"torch", "onnx", "onnx-int8"}
    with reading(judge.engine) as session:
        judged = evaluations.of_checkpoint(session, judge.checkpoint.id)
        made_of = [(row.engine, row.precision) for row in judged]
    assert made_of == [("onnxruntime", "int8"), ("onnxruntime", "fp32"), ("torch", "fp32")]
    reference = judged[2].id
    assert (rows["torch"].evaluation_id, rows["torch"].reference_evaluation_id) == (reference, None)
    for name, outcome in (("onnx", onnx), ("onnx-int8", int8)):
        assert (rows[name].evaluation_id, rows[name].reference_evaluation_id) == (outcome.evaluation, reference)
    assert {name: row.file_digest for name, row in rows.items() if name != "torch"} == {
        file.name: file.digest for file in exported_model.files
    }


def test_the_figures_are_those_of_the_scores(judge: Judge) -> None:
    reference, onnx, int8 = (judge.by(name) for name in ("torch", "onnx", "onnx-int8"))
    for judged in (onnx, int8):
        pairs = list(zip(reference.outcome.images, judged.outcome.images, strict=True))
        (row,) = judged.runtimes
        assert row.images == len(pairs) == 8
        assert row.largest_difference == pytest.approx(max(abs(one.score - two.score) for one, two in pairs))
        assert row.flipped == sum(one.predicted != two.predicted for one, two in pairs)
    assert onnx.runtimes[0].accepted
    assert onnx.runtimes[0].largest_difference < 1e-5
    assert int8.runtimes[0].largest_difference > 1e-5


def test_a_runtime_is_judged_again_only_from_the_file_that_was_compared(judge: Judge) -> None:
    judge.by("onnx")
    file = file_of("onnx", judge.settings.models_folder, judge.checkpoint.digest)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(CheckpointAltered):
        judge.by("onnx")


def test_what_was_held_out_of_the_training_images_is_judged_as_the_validation_part(judge: Judge) -> None:
    held = replace(
        judge,
        trained_by=report_recipe(validation_share=0.25),
        judging=Judging(split="validation", device="cpu"),
    )
    outcome = held.by_reference().outcome
    train = {sample.path for sample in judge.dataset.part("train")}
    assert {image.path for image in outcome.images} < train
    assert {image.is_defective for image in outcome.images} == {True, False}
    with reading(judge.engine) as session:
        (row,) = evaluations.newest_by_runtime(session, judge.checkpoint.id, "validation")
        assert row.dataset.fingerprint == judge.dataset.fingerprint
        assert evaluations.newest(session, judge.checkpoint.id) is None, "nothing that tells how good it is"


def test_what_the_model_knows_from_its_training_is_told_stored_and_shown(judge: Judge) -> None:
    first = judge.by_reference()
    assert first.leakage is None, "what this model was trained on was not written down"
    tested = judge.dataset.part("test")
    known = [
        evaluations.KnownImage(path="old/a.png", sha256=tested[0].sha256, group=None, signature=tested[0].signature),
        evaluations.KnownImage(path="old/b.png", sha256="0" * 64, group=None, signature=bytes(1024)),
    ]
    with writing(judge.engine) as session:
        learned_from = session.get_one(TrainingRun, judge.checkpoint.training_run_id).dataset
        evaluations.add_training_images(session, learned_from, known)
        evaluations.add_training_images(session, learned_from, known)  # as a second training on it would
    judged = judge.by_reference()
    assert "leaking: 1 of 8 test images have a twin in training (1 of the same bytes)" in printed(judged)
    assert "leaks: not known, for what this model was trained on was not written down" in printed(first)
    assert machine_readable(judged)["leaking"] == 1
    with reading(judge.engine) as session:
        row = evaluations.get(session, judged.evaluation)
        assert (row.leaking, [leak["training_path"] for leak in row.leaks or []]) == (1, ["old/a.png"])
    page = evaluation_page(judge.engine, judged.evaluation, made_at=datetime(2026, 3, 4, tzinfo=UTC))
    assert "1 of 8 test images have a twin in training" in page
    assert "old/" in page


@pytest.mark.parametrize(("split", "of"), [(None, 24), ("train", 16)])
def test_training_images_that_are_judged_themselves_are_told_whichever_split_is_asked_for(
    judge: Judge, split: str | None, of: int
) -> None:
    known = [
        evaluations.KnownImage(path=f"elsewhere/{one.path}", sha256=one.sha256, group=None, signature=one.signature)
        for one in judge.dataset.part("train")
    ]
    with writing(judge.engine) as session:
        learned_from = session.get_one(TrainingRun, judge.checkpoint.training_run_id).dataset
        evaluations.add_training_images(session, learned_from, known)
    judged = replace(judge, judging=Judging(split=split, device="cpu")).by_reference()
    assert f"leaking: 16 of {of} test images have a twin in training (16 of the same bytes)" in printed(judged)
    with reading(judge.engine) as session:
        assert evaluations.get(session, judged.evaluation).leaking == 16


@pytest.mark.parametrize(
    ("rule", "own", "known"), [("block:4", False, 0), ("block:4", True, 8), ("name:(.).png", False, 8)]
)
def test_a_block_of_one_folder_is_no_block_of_another_but_a_name_means_the_same(
    judge: Judge, rule: str, own: bool, known: int
) -> None:
    dataset = open_dataset(judge.dataset.root, Reading(group=GroupRule.parse(rule)))
    trained = [
        evaluations.KnownImage(path=f"{at}.png", sha256=f"{at:064}", group=str(at), signature=bytes(1024))
        for at in range(10)
    ]
    with tampering(judge.engine) as session:
        learned_from = session.get_one(TrainingRun, judge.checkpoint.training_run_id).dataset
        learned_from.group_rule = rule
        learned_from.fingerprint = dataset.fingerprint if own else learned_from.fingerprint
        evaluations.add_training_images(session, learned_from, trained)
    leakage = replace(judge, dataset=dataset).by_reference().leakage
    assert leakage is not None
    assert [leak.kind for leak in leakage.leaks] == ["same group"] * known


def test_a_model_that_held_nothing_out_has_no_validation_part(judge: Judge) -> None:
    for recipe in (None, report_recipe()):
        held = replace(judge, trained_by=recipe, judging=Judging(split="validation", device="cpu"))
        with pytest.raises(DatasetError, match=r"held no image of .* out for validation"):
            held.by_reference()


def test_the_line_says_what_came_of_it() -> None:
    row = RuntimeParity(
        name="onnx", images=8, largest_difference=2e-6, mean_difference=1e-7, flipped=0, accepted=True, reason="Good."
    )
    assert parity_line(row) == (
        "runtime onnx: accepted; scores differ by at most 2e-06, 1e-07 on average; 0 of 8 verdicts flipped"
    )
    row.accepted, row.reason = False, "Accuracy falls by 1.00 points; it may by 0.5."
    assert parity_line(row) == (
        "runtime onnx: refused. Accuracy falls by 1.00 points; it may by 0.5. "
        "(scores differ by at most 2e-06, 1e-07 on average; 0 of 8 verdicts flipped)"
    )


@pytest.fixture
def export_by_hand(judge: Judge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> ByHand:
    """Type `models export` where the judge's model is the one there is."""
    monkeypatch.setenv("INSPECTQ_HOME", str(judge.settings.home))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", judge.engine.url.render_as_string())
    return lambda *words: type_here(
        capsys, "models", "export", judge.checkpoint.name, judge.dataset.root, "--device", "cpu", *words
    )


def test_an_older_model_is_exported_and_compared_by_hand(
    export_by_hand: ByHand, judge: Judge, exported_model: ExportedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its files are the session's: exporting them takes half a minute, and is tested in tests/trainer.
    monkeypatch.setattr("trainer.export.export", lambda *_: exported_model.files)
    said = export_by_hand()
    assert said.code == ExitCode.DONE, said.err
    assert {name for name, row in rows_of(judge).items() if row.accepted} >= {"torch", "onnx"}
    assert re.findall(r"^runtime (\S+): ", said.out, re.MULTILINE) == ["onnx", "onnx-int8"]


def test_each_accepted_runtime_also_scores_the_images_that_limits_are_read_off(
    judge: Judge, exported_model: ExportedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.export.export", lambda *_: exported_model.files)  # as above
    held = replace(judge, trained_by=report_recipe(validation_share=0.25))
    compared = held.by_exports()
    accepted = {row.name for row in compared if row.accepted}
    with reading(judge.engine) as session:
        rows = evaluations.newest_by_runtime(session, judge.checkpoint.id, "validation")
        assert {name_of(row.engine, row.precision) for row in rows} == accepted >= {"onnx"}
        assert {row.id for row in runtimes.of_checkpoint(session, judge.checkpoint.id)} >= {row.id for row in compared}
        assert {row.images for row in rows} == {4}


def test_a_model_that_cannot_be_exported_is_no_success(export_by_hand: ByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trainer.export", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = export_by_hand("--format", "json")
    assert (said.code, said.json) == (ExitCode.ENDED_BADLY, [])
    assert "Not exported: the package onnx is not here." in said.err


def test_without_the_exporters_packages_a_model_is_of_use_and_it_is_said(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "trainer.export", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)  # as import finds it where it is not installed
    assert judge.by_exports() == ()
    assert "Not exported: the package onnx is not here." in capsys.readouterr().err
    assert judge.by("torch").outcome.metrics.samples == 8
