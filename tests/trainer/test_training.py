"""Does training learn, keep what is frozen, survive an interruption to the bit, and leave no half file?"""

import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.backbone import Backbone
from trainer.batches import Source
from trainer.calibration import calibrated_loss, margins_of
from trainer.dataset import Dataset
from trainer.errors import DatasetError, TrainerError, TrainingDiverged, TrainingInterrupted
from trainer.fit import best_epoch, class_weights
from trainer.learner import Learner
from trainer.opening import open_dataset
from trainer.progress import Step
from trainer.recipe import Recipe, report_recipe
from trainer.resume import EpochRecord
from trainer.training import TrainingOutcome, TrainingPlan, train
from trainer.validation import ValidationImages, held_out
from vision.checkpoint import POSITIVE_INDEX
from vision.network import load_weights
from vision.saved_network import load_checkpoint

Plan = Callable[..., TrainingPlan]


@pytest.fixture
def plan(tmp_path: Path, dataset: Dataset, small_recipe: Recipe) -> Plan:
    def make(name: str = "model", **changes: object) -> TrainingPlan:
        whole = TrainingPlan(
            dataset=dataset,
            recipe=small_recipe,
            checkpoint=tmp_path / "models" / f"{name}.safetensors",
            state_folder=tmp_path / "state",
            device="cpu",
        )
        return replace(whole, **changes)  # type: ignore[arg-type]

    return make


def weights_of(outcome: TrainingOutcome) -> dict[str, torch.Tensor]:
    return load_checkpoint(outcome.checkpoint, outcome.digest).network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def interrupt_in_epoch(epoch: int) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        if step.epoch == epoch:
            raise KeyboardInterrupt

    return on_step


def test_the_outcome_and_the_file_say_where_the_model_comes_from(plan: Plan, weights_file: Path) -> None:
    made = plan()
    outcome = train(made)
    info = load_checkpoint(outcome.checkpoint, outcome.digest).info
    assert info == outcome.info
    assert (info.class_names, info.positive_class) == (("ok", "defective"), "defective")
    assert info.dataset_fingerprint == made.dataset.fingerprint
    assert (info.recipe["batch_size"], info.preprocessing.size) == (8, 32)
    assert (outcome.weights_source, outcome.weights_sha256) == (
        weights_file.name,
        load_weights(weights_file).sha256,
    )
    assert [record.epoch for record in outcome.history] == [1, 2]
    assert list(made.checkpoint.parent.iterdir()) == [made.checkpoint]
    assert list(made.state_folder.glob("*")) == []


def test_frozen_layers_and_their_statistics_do_not_move(plan: Plan, weights_file: Path) -> None:
    after = weights_of(train(plan()))
    before = load_weights(weights_file).state
    assert before is not None
    frozen = {key for key in before if not key.startswith("fc.")}
    assert any("running_mean" in key for key in frozen)
    assert all(torch.equal(after[key], before[key]) for key in frozen)


def test_from_random_weights_everything_moves(plan: Plan, small_recipe: Recipe) -> None:
    recipe = report_recipe(weights="none", image_size=32, epochs=1, batch_size=8, num_workers=0)
    first = weights_of(train(plan(recipe=recipe)))
    second = weights_of(train(plan(recipe=replace(recipe, epochs=2))))
    still = [key for key in first if torch.equal(first[key], second[key]) and "num_batches" not in key]
    assert still == []


def test_the_loss_falls(plan: Plan, small_recipe: Recipe) -> None:
    history = train(plan(recipe=replace(small_recipe, epochs=6))).history
    assert history[-1].loss < history[0].loss


def test_the_same_seed_trains_the_same_model_with_any_number_of_workers(plan: Plan, small_recipe: Recipe) -> None:
    alone = weights_of(train(plan("alone")))
    helped = weights_of(train(plan("helped", recipe=replace(small_recipe, num_workers=2))))
    other = weights_of(train(plan("other", recipe=replace(small_recipe, seed=1))))
    assert same(alone, helped)
    assert not same(alone, other)


@pytest.mark.parametrize("views", [0, 2])
def test_what_lies_before_the_first_part_that_learns_stays_and_all_behind_it_moves(
    plan: Plan, small_recipe: Recipe, weights_file: Path, views: int
) -> None:
    before = load_weights(str(weights_file)).state
    assert before is not None
    after = weights_of(train(plan(recipe=replace(small_recipe, train_from="layer3", learning_rate=1e-3, views=views))))
    frozen = ("conv1", "bn1", "layer1", "layer2")
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key for key in before if not key.startswith(frozen)} == moved


def test_kept_views_of_tuned_stages_train_almost_what_the_exact_recipe_trains(plan: Plan, small_recipe: Recipe) -> None:
    """Almost: what a layer is given is kept in half precision."""
    tuned = replace(small_recipe, train_from="layer4", learning_rate=1e-4)
    exact, kept = train(plan("exact", recipe=tuned)), train(plan("kept", recipe=replace(tuned, views=2)))
    assert [one.loss for one in kept.history] == pytest.approx([one.loss for one in exact.history], rel=1e-2)


@pytest.mark.parametrize("weights", ["frozen", "kept", "tuned", "averaged", "all at once", "none"])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    plan: Plan, small_recipe: Recipe, weights: str
) -> None:
    recipe = small_recipe
    if weights == "kept":
        recipe = replace(recipe, views=1)
    if weights == "tuned":
        recipe = replace(recipe, views=1, train_from="layer4", learning_rate=1e-3)
    if weights == "averaged":  # the mean is begun before the interruption, and goes on after it
        recipe = finetuning(recipe, head_epochs=0, epochs=2)
    if weights == "all at once":
        recipe = finetuning(recipe)
    if weights == "none":
        recipe = replace(recipe, weights="none", train_from="stem", learning_rate=1e-3)
    straight = train(plan("straight", recipe=recipe))
    with pytest.raises(TrainingInterrupted, match=r"after epoch 1 of 2.*--resume"):
        train(plan("stopped", recipe=recipe), interrupt_in_epoch(2))
    assert not plan("stopped").checkpoint.exists()
    resumed = train(plan("stopped", recipe=recipe, resume=True))
    assert resumed.resumed_after == 1
    assert same(weights_of(resumed), weights_of(straight))
    assert [record.loss for record in resumed.history] == [record.loss for record in straight.history]


def finetuning(recipe: Recipe, **changes: object) -> Recipe:
    """Everything that can be asked of a training, in two epochs, of which the first is the head's."""
    values: dict[str, object] = {
        "train_from": "layer4",
        "head_epochs": 1,
        "epochs": 1,
        "learning_rate": 1e-3,
        "depth_decay": 0.5,
        "weight_decay": 0.01,
        "label_smoothing": 0.1,
        "label_momentum": 0.8,
        "averaging": 0.5,
        "validation_share": 0.25,
        "vertical_flip_probability": 0.5,
    }
    return replace(recipe, **{**values, **changes})  # type: ignore[arg-type]


def test_the_weights_of_the_best_epoch_on_the_validation_images_are_written(
    plan: Plan, small_recipe: Recipe, dataset: Dataset
) -> None:
    recipe = finetuning(small_recipe, epochs=40, patience=2, averaging=0, learning_rate=0.05)
    outcome = train(plan(recipe=recipe))
    losses = [record.validation_loss for record in outcome.history]
    assert outcome.best_epoch == best_epoch(outcome.history) == len(losses) - 2, "not the last one's"
    assert None not in losses
    parted = held_out(dataset, share=0.25, seed=recipe.seed)
    network = load_checkpoint(outcome.checkpoint, outcome.digest).network
    source = Source(dataset=parted, recipe=recipe, backbone=Backbone(network, recipe), split="validation")
    learner = Learner(network, recipe, class_weights(parted, recipe))
    logits, targets = learner.logits_on(ValidationImages(source).batches(lambda: None), kept=False)
    truth = targets.numpy() == POSITIVE_INDEX
    written, _ = calibrated_loss(margins_of(logits), truth, class_weights(parted, recipe)[targets].double().numpy())
    assert written == pytest.approx(losses[outcome.best_epoch - 1], rel=1e-3)
    assert [loss for loss in losses if loss == pytest.approx(written, rel=1e-3)] == [losses[outcome.best_epoch - 1]]


def test_an_epoch_whose_loss_is_no_number_is_never_the_best_and_hides_no_other() -> None:
    losses = (math.nan, 0.7, math.inf, 0.5, math.nan)
    history = tuple(
        EpochRecord(epoch=number, loss=0.1, learning_rate=0.1, seconds=0.0, validation_loss=loss)
        for number, loss in enumerate(losses, start=1)
    )
    assert [best_epoch(history[:so_far]) for so_far in range(6)] == [None, None, 2, 2, 4, 4]


def test_the_best_epoch_is_the_last_one_that_is_not_clearly_worse_than_another() -> None:
    told = ((0.9, 0.1), (0.5, 0.03), (0.52, 0.2), (0.54, 0.2), (0.4, 0.02), (0.43, 0.2), (0.41, 0.0))
    history = tuple(
        EpochRecord(
            epoch=number, loss=0.1, learning_rate=0.1, seconds=0.0, validation_loss=loss, validation_error=error
        )
        for number, (loss, error) in enumerate(told, start=1)
    )
    assert [best_epoch(history[:so_far]) for so_far in range(1, 8)] == [1, 2, 3, 3, 5, 5, 7]


def test_labels_fade_once_the_network_has_had_time_to_learn_them(plan: Plan, small_recipe: Recipe) -> None:
    recipe = finetuning(small_recipe, head_epochs=0, epochs=3)
    kept, faded = (
        [record.loss for record in train(plan(f"{momentum}", recipe=replace(recipe, label_momentum=momentum))).history]
        for momentum in (1.0, 0.5)
    )
    assert faded[:2] == pytest.approx(kept[:2], rel=1e-4), "the second epoch's targets are those of the first"
    assert faded[2] != pytest.approx(kept[2], rel=1e-2)


def test_epochs_that_better_nothing_end_the_training(plan: Plan, small_recipe: Recipe) -> None:
    outcome = train(plan(recipe=finetuning(small_recipe, epochs=40, patience=2, learning_rate=0.05)))
    best = best_epoch(outcome.history)
    assert best is not None
    assert len(outcome.history) == max(best, 1) + 2 < 41


def test_what_is_held_out_is_not_learned_from(plan: Plan, small_recipe: Recipe) -> None:
    steps: list[Step] = []
    train(plan(recipe=finetuning(small_recipe)), steps.append)
    learning = {step.batches for step in steps if step.epoch <= step.epochs}
    assert learning == {2}, "12 of 16 images, eight at a time"


def test_an_interruption_leaves_the_older_checkpoint_untouched(plan: Plan) -> None:
    made = plan()
    digest = train(made).digest
    with pytest.raises(TrainingInterrupted, match="before its first epoch"):
        train(made, interrupt_in_epoch(1))
    assert load_checkpoint(made.checkpoint, digest).digest == digest


def test_without_resume_an_interrupted_training_starts_over(plan: Plan) -> None:
    with pytest.raises(TrainingInterrupted):
        train(plan(), interrupt_in_epoch(2))
    assert train(plan()).resumed_after == 0


def test_another_recipe_does_not_resume_what_this_one_left(plan: Plan, small_recipe: Recipe) -> None:
    with pytest.raises(TrainingInterrupted):
        train(plan(), interrupt_in_epoch(2))
    assert train(plan(recipe=replace(small_recipe, seed=1), resume=True)).resumed_after == 0


def test_a_damaged_state_is_one_sentence(plan: Plan) -> None:
    with pytest.raises(TrainingInterrupted):
        train(plan(), interrupt_in_epoch(2))
    (state,) = plan().state_folder.iterdir()
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainerError, match="train without --resume"):
        train(plan(resume=True))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing more than `size` bytes to a file is refused, as it is on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_state_that_the_disk_does_not_take_is_one_sentence(plan: Plan) -> None:
    made = plan()
    with largest_file(2**20), pytest.raises(TrainerError, match=r"cannot be kept as .* Make room there"):
        train(made)
    assert not list(made.state_folder.iterdir())


def test_a_checkpoint_whose_folder_went_away_is_written_by_resuming(plan: Plan) -> None:
    made = plan()
    made = replace(made, checkpoint=made.checkpoint.parent / "unmounted" / "model.safetensors")
    with pytest.raises(TrainerError, match=r"No such file.* with --resume writes it"):
        train(made, lambda step: shutil.rmtree(made.checkpoint.parent, ignore_errors=True))
    assert train(replace(made, resume=True)).resumed_after == made.recipe.epochs


def test_a_loss_that_is_no_number_ends_the_training_without_a_checkpoint(
    plan: Plan, small_recipe: Recipe, weights_file: Path, tmp_path: Path
) -> None:
    state = torch.load(weights_file, weights_only=True)
    state["conv1.weight"].fill_(float("nan"))
    torch.save(state, tmp_path / "nan.pth")
    made = plan(recipe=replace(small_recipe, weights=str(tmp_path / "nan.pth")))
    with pytest.raises(TrainingDiverged, match="The loss became nan"):
        train(made)
    assert not made.checkpoint.exists()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("views", [0, 2])
def test_an_image_that_vanishes_while_training_ends_it_by_name(
    folders: Path, plan: Plan, small_recipe: Recipe, workers: int, views: int
) -> None:
    dataset = open_dataset(folders)
    (folders / dataset.part("train")[0].path).unlink()
    with pytest.raises(DatasetError, match=r"part 00\.png cannot be read any more"):
        train(plan(dataset=dataset, recipe=replace(small_recipe, num_workers=workers, views=views)))


def test_classes_weigh_inversely_to_their_frequency(dataset: Dataset, small_recipe: Recipe) -> None:
    few = [sample for sample in dataset.part("train") if sample.is_defective][:4]
    many = [sample for sample in dataset.part("train") if not sample.is_defective]
    uneven = replace(dataset, samples=(*few, *many))
    assert class_weights(uneven, small_recipe).tolist() == pytest.approx([12 / (2 * 8), 12 / (2 * 4)])
    assert class_weights(uneven, replace(small_recipe, class_weighting="none")).tolist() == [1, 1]


STOPPED_BY_CTRL_C = """
import sys
from pathlib import Path
from trainer.errors import TrainingInterrupted
from trainer.opening import open_dataset
from trainer.recipe import report_recipe
from trainer.training import TrainingPlan, train

root, weights, folder = map(Path, sys.argv[1:4])
views, epoch = map(int, sys.argv[4:])
recipe = report_recipe(
    weights=str(weights), image_size=32, epochs=100000, batch_size=8, num_workers=2, views=views
)
plan = TrainingPlan(
    dataset=open_dataset(root), recipe=recipe, checkpoint=folder / "model", state_folder=folder, device="cpu"
)

def wait_for_ctrl_c(step):
    if step.epoch == epoch:
        print("working", flush=True)
        sys.stdin.readline()

try:
    train(plan, wait_for_ctrl_c)
except TrainingInterrupted as stop:
    print(stop)
"""


@pytest.mark.parametrize(
    ("views", "epoch", "said", "left"),
    [
        (0, 2, "after epoch 1 of 100000; no checkpoint was written. The same command with --resume goes on", [".pt"]),
        (2, 0, "before its first epoch.*no checkpoint was written. .* --resume keeps its features", [".features"]),
    ],
)
def test_ctrl_c_ends_a_training_with_its_workers_quietly_and_without_a_model(
    parts: Path, weights_file: Path, tmp_path: Path, repository_root: Path, views: int, epoch: int, said: str, left: str
) -> None:
    """The signal goes to the whole process group, as a terminal sends it."""
    words = [str(parts), str(weights_file), str(tmp_path), str(views), str(epoch)]
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED_BY_CTRL_C, *words],
        cwd=repository_root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        os.killpg(process.pid, signal.SIGINT)
        out, complaints = process.communicate("\n")
    assert re.search(said, out)
    assert (process.returncode, complaints) == (0, "")
    assert sorted(file.suffix for file in tmp_path.iterdir()) == left
