"""Is it the saved file that is judged, by the workers' code, and does every image get its row?"""

import hashlib
from pathlib import Path

import pytest

from trainer.dataset import Dataset
from trainer.errors import DatasetError
from trainer.evaluation import Judging, evaluate
from trainer.metrics import compute_metrics
from trainer.opening import open_dataset
from trainer.recipe import report_recipe
from trainer.training import TrainingOutcome, TrainingPlan, train
from vision.checkpoint import CheckpointAltered
from vision.inspection import score_images
from vision.saved_network import load_checkpoint
from vision.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def trained(dataset: Dataset, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOutcome:
    folder = tmp_path_factory.mktemp("trained")
    recipe = report_recipe(weights=str(weights_file), image_size=32, epochs=1, batch_size=8, num_workers=0)
    return train(
        TrainingPlan(
            dataset=dataset, recipe=recipe, checkpoint=folder / "m.safetensors", state_folder=folder, device="cpu"
        )
    )


def test_scores_are_those_that_a_worker_gives(trained: TrainingOutcome, dataset: Dataset) -> None:
    judged = evaluate(trained.checkpoint, trained.digest, dataset, Judging(device="cpu"))
    runtime = TorchRuntime(load_checkpoint(trained.checkpoint), "cpu")
    paths = [dataset.root / image.path for image in judged.images]
    assert [image.score for image in judged.images] == [answer.score for answer in score_images(paths, runtime)]
    assert [image.path for image in judged.images] == [sample.path for sample in dataset.part("test")]
    for path, image in zip(paths, judged.images, strict=True):
        assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (image.width, image.height) == (72, 72)


def test_the_metrics_are_those_of_the_images(trained: TrainingOutcome, dataset: Dataset) -> None:
    judged = evaluate(trained.checkpoint, trained.digest, dataset, Judging(split=None, device="cpu"))
    assert judged.metrics == compute_metrics(
        [image.label == "defective" for image in judged.images],
        [image.score >= 0.5 for image in judged.images],
        [image.score for image in judged.images],
        class_names=("defective", "ok"),
    )
    assert judged.metrics.samples == len(dataset.samples) == 24
    assert (judged.checkpoint_digest, judged.dataset_fingerprint) == (trained.digest, dataset.fingerprint)
    assert (judged.engine, judged.precision, judged.device) == ("torch", "fp32", "cpu")


def test_a_score_at_the_threshold_is_defective(trained: TrainingOutcome, dataset: Dataset) -> None:
    score = evaluate(trained.checkpoint, None, dataset, Judging(device="cpu")).images[0].score
    judged = evaluate(trained.checkpoint, None, dataset, Judging(threshold=score, device="cpu"))
    assert (judged.images[0].predicted, judged.images[0].predicted_defective) == ("defective", True)


def test_a_file_that_is_not_the_recorded_one_is_not_judged(trained: TrainingOutcome, dataset: Dataset) -> None:
    with pytest.raises(CheckpointAltered):
        evaluate(trained.checkpoint, "0" * 64, dataset, Judging(device="cpu"))


def test_unreadable_images_are_named_whenever_they_were_found(trained: TrainingOutcome, folders: Path) -> None:
    (folders / "test/ok/empty.png").touch()
    (folders / "train/ok/empty.png").touch()
    dataset = open_dataset(folders)
    (folders / "test/ok/part 00.png").write_text("overwritten since")
    judged = evaluate(trained.checkpoint, trained.digest, dataset, Judging(device="cpu"))
    assert [(skip.path, skip.reason) for skip in judged.skipped] == [
        ("test/ok/empty.png", "empty_file"),
        ("test/ok/part 00.png", "not_an_image"),
    ]
    assert judged.metrics.samples == len(judged.images) == 5


def test_when_no_image_can_be_read_there_is_nothing_to_judge(trained: TrainingOutcome, folders: Path) -> None:
    dataset = open_dataset(folders)
    for sample in dataset.part("test"):
        (folders / sample.path).unlink()
    with pytest.raises(DatasetError, match="nothing to judge"):
        evaluate(trained.checkpoint, trained.digest, dataset, Judging(device="cpu"))
