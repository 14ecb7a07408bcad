"""Does the study find what a model says differently, and only that?"""

from pathlib import Path

import numpy as np
import pytest

from tests.exports import ExportedModel
from tests.networks import save_random_model
from trainer.errors import DatasetError
from trainer.repeatability import Condition, Study, study
from vision.inspection import score_images
from vision.perturbation import PERTURBATIONS
from vision.runtime import Answers, Pixels
from vision.runtimes import open_runtime
from vision.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def paths(exported_model: ExportedModel) -> list[Path]:
    return [exported_model.dataset.root / sample.path for sample in exported_model.dataset.part("test")]


@pytest.fixture(scope="module")
def found(exported_model: ExportedModel, paths: list[Path]) -> Study:
    torch, int8 = (open_runtime(name, exported_model.folder, exported_model.digest) for name in ("torch", "onnx-int8"))
    broken = paths[0].parent / "broken.png"
    broken.write_bytes(b"no image")
    try:
        return study([*paths, broken], torch, {"int8": int8}, pass_below=0.4, fail_from=0.6)
    finally:
        broken.unlink()


def by_name(found: Study) -> dict[str, Condition]:
    return {condition.name: condition for condition in found.conditions}


def test_every_condition_is_tried_on_every_image(found: Study) -> None:
    assert (found.images, found.unreadable) == (8, 1)
    sizes = ("batches of 1", "batches of 8", "batches of 32")
    assert list(by_name(found)) == ["repeat 1", "repeat 2", *sizes, "int8", *PERTURBATIONS]
    assert {condition.images for condition in found.conditions} == {8}


def test_a_repeat_is_the_same_to_the_bit_and_the_company_nearly_so(found: Study) -> None:
    assert {by_name(found)[f"repeat {number}"].largest_difference for number in (1, 2)} == {0}
    assert max(by_name(found)[f"batches of {size}"].largest_difference for size in (1, 8, 32)) < 1e-5


def test_another_runtime_and_other_light_are_told(found: Study) -> None:
    assert by_name(found)["int8"].largest_difference > 1e-4
    assert by_name(found)["brightness +5%"].largest_difference > 1e-3
    for condition in found.conditions:
        assert 0 <= condition.p95_difference <= condition.largest_difference
        assert condition.bounds.lcl <= condition.flipped_share <= condition.bounds.ucl


def test_a_flip_is_another_verdict_not_another_score(exported_model: ExportedModel, paths: list[Path]) -> None:
    class Elsewhere(TorchRuntime):
        """The same scores but for the first image's, which is a sure one here."""

        def score(self, pixels: Pixels) -> Answers:
            scores = super().score(pixels).scores.copy()
            scores[0] = 0.0 if scores[0] >= 0.5 else 1.0
            return Answers(scores=scores, novelties=None)

    from vision.saved_network import load_checkpoint

    checkpoint = load_checkpoint(exported_model.folder / f"{exported_model.digest}.safetensors")
    base, other = TorchRuntime(checkpoint, "cpu"), Elsewhere(checkpoint, "cpu")
    one_off = by_name(study(paths, base, {"other": other}, pass_below=0.5, fail_from=0.5))["other"]
    assert (one_off.flipped, one_off.flipped_share) == (1, 1 / 8)
    nothing_fails = by_name(study(paths, base, {"other": other}, pass_below=1.0, fail_from=1.0))["other"]
    assert nothing_fails.flipped <= 1


def test_of_a_model_that_looks_at_tiles_every_tile_is_asked_about_and_the_worst_one_decides(
    tmp_path: Path, paths: list[Path]
) -> None:
    from vision.saved_network import load_checkpoint

    seen: list[int] = []

    class WorstAlone(TorchRuntime):
        """The same score of the worst tile, and nothing wrong with the others."""

        def score(self, pixels: Pixels) -> Answers:
            seen.append(len(pixels))
            scores = super().score(pixels).scores
            return Answers(scores=np.where(scores == scores.max(), scores, np.float32(0)), novelties=None)

    digest = save_random_model(tmp_path / "models", tile=32)  # a part of 72 x 72 pixels has nine tiles of 32
    checkpoint = load_checkpoint(tmp_path / "models" / f"{digest}.safetensors")
    base, other = TorchRuntime(checkpoint, "cpu"), WorstAlone(checkpoint, "cpu")
    other.batch_size = 9  # a picture at a time
    scanned = sorted(one.score for one in score_images(paths, base) if one.score is not None)
    between = sum(scanned[3:5]) / 2  # half of them pass by what a scan says
    found = by_name(study(paths, base, {"other": other}, pass_below=between, fail_from=1.0))
    assert seen == [9] * len(paths)
    assert max(found[name].largest_difference for name in found if name not in PERTURBATIONS) < 1e-5
    assert {found[name].flipped for name in found if name not in PERTURBATIONS} == {0}
    assert min(found[name].largest_difference for name in PERTURBATIONS) > 0


def test_without_a_picture_there_is_no_study(exported_model: ExportedModel, tmp_path: Path) -> None:
    runtime = open_runtime("torch", exported_model.folder, exported_model.digest)
    with pytest.raises(DatasetError, match="nothing to study"):
        study([tmp_path / "gone.png"], runtime, {}, pass_below=0.5, fail_from=0.5)
