"""Does every epoch see every image once, in an order of its own, whichever processes make the batches?"""

import multiprocessing
from contextlib import closing
from dataclasses import replace
from itertools import chain

import pytest
import torch

from trainer.backbone import Backbone
from trainer.batches import Batch, Source, epoch_batches, epoch_order
from trainer.dataset import Dataset
from trainer.recipe import Recipe
from vision.network import build_network, freeze_before, load_weights


def source(dataset: Dataset, recipe: Recipe) -> Source:
    network = build_network(pretrained_state=load_weights(recipe.weights).state)
    freeze_before(network, "head")
    return Source(dataset=dataset, recipe=recipe, backbone=Backbone(network, recipe))


def batches(source: Source, *epochs: int) -> list[Batch]:
    return list(epoch_batches(source, epochs))


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own(small_recipe: Recipe) -> None:
    first, again, second = (epoch_order(small_recipe, 21, epoch) for epoch in (1, 1, 2))
    assert first == again != second
    assert [len(batch) for batch in first] == [8, 8, 5]
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(second)) == list(range(21))


def test_an_image_that_would_be_alone_is_left_out_where_batch_norm_learns(small_recipe: Recipe) -> None:
    learning = replace(small_recipe, weights="none", train_from="stem")
    assert [len(batch) for batch in epoch_order(small_recipe, 17, 1)] == [8, 8, 1]
    assert [len(batch) for batch in epoch_order(learning, 17, 1)] == [8, 8]
    assert epoch_order(learning, 1, 1) == [[0]]


def test_the_targets_are_those_of_the_order(dataset: Dataset, small_recipe: Recipe) -> None:
    samples = dataset.part("train")
    order = epoch_order(small_recipe, len(samples), 1)
    made = batches(source(dataset, small_recipe), 1)
    assert [batch.targets.tolist() for batch in made] == [
        [int(samples[number].is_defective) for number in numbers] for numbers in order
    ]


@pytest.mark.parametrize(("cores", "rows_here"), [(2, []), (3, [8, 8])])
def test_processes_that_fill_the_cores_compute_features_and_the_same_ones(
    dataset: Dataset,
    small_recipe: Recipe,
    rows_seen: list[int],
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    rows_here: list[int],
) -> None:
    alone = batches(source(dataset, small_recipe), 1)
    rows_seen.clear()
    monkeypatch.setattr("trainer.batches.usable_cores", lambda: cores)
    helped = batches(source(dataset, replace(small_recipe, num_workers=2)), 1)
    assert rows_seen == rows_here
    assert all(torch.equal(one.features, other.features) for one, other in zip(alone, helped, strict=True))


def test_no_more_processes_compute_than_there_are_cores(
    dataset: Dataset, small_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.batches.usable_cores", lambda: 1)
    with closing(epoch_batches(source(dataset, replace(small_recipe, num_workers=3)), [1])) as made:
        next(made)
        assert len(multiprocessing.active_children()) == 1


def test_the_same_processes_serve_every_epoch_and_end_with_the_last(dataset: Dataset, small_recipe: Recipe) -> None:
    seen = set()
    with closing(epoch_batches(source(dataset, replace(small_recipe, num_workers=2)), range(1, 100))) as made:
        for _ in range(3 * 2):  # three epochs of two batches
            next(made)
            seen |= {process.pid for process in multiprocessing.active_children()}
    assert len(seen) == 2
    assert multiprocessing.active_children() == []
