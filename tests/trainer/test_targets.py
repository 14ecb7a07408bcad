"""Do targets move towards what the network says, by their share, no sooner than they may, and their own alone?"""

from dataclasses import replace

import pytest
import torch

from trainer.recipe import Recipe
from trainer.targets import Targets

LABELS = torch.tensor([0, 1, 1])
SURELY_GOOD = torch.tensor([[1.0, 0.0]])


@pytest.fixture
def recipe(small_recipe: Recipe) -> Recipe:
    return replace(small_recipe, label_momentum=0.75, epochs=10)


def test_a_target_begins_as_its_smoothed_label(recipe: Recipe) -> None:
    targets = Targets(LABELS, replace(recipe, label_smoothing=0.1))
    torch.testing.assert_close(targets.of([2, 0]), torch.tensor([[0.05, 0.95], [0.95, 0.05]]))


def test_each_time_a_share_of_it_becomes_what_the_network_says(recipe: Recipe) -> None:
    targets = Targets(LABELS, recipe)
    for stays in (0.75, 0.75**2):
        targets.refine([1], SURELY_GOOD, epoch=10)
        torch.testing.assert_close(targets.of([0, 1, 2]), torch.tensor([[1, 0], [1 - stays, stays], [0, 1]]))


@pytest.mark.parametrize(("head_epochs", "first"), [(0, 5), (1, 6)])
def test_in_two_fifths_of_the_epochs_a_label_is_what_it_is(recipe: Recipe, head_epochs: int, first: int) -> None:
    moved = []
    for epoch in range(1, recipe.epochs + 1):
        targets = Targets(LABELS, replace(recipe, head_epochs=head_epochs))
        targets.refine([1], SURELY_GOOD, epoch)
        if not torch.equal(targets.of([1]), torch.tensor([[0.0, 1.0]])):
            moved.append(epoch)
    assert moved == list(range(first, recipe.epochs + 1))


def test_a_target_never_says_the_opposite_of_its_label(recipe: Recipe) -> None:
    targets = Targets(LABELS, recipe)
    for _ in range(50):
        targets.refine([0, 1], torch.tensor([[0.1, 0.9], [0.8, 0.2]]), epoch=10)
    torch.testing.assert_close(targets.of([0, 1]), torch.tensor([[0.5, 0.5], [0.5, 0.5]]))


def test_another_run_goes_on_from_its_state(recipe: Recipe) -> None:
    targets, later = Targets(LABELS, recipe), Targets(LABELS, recipe)
    targets.refine([0, 2], torch.tensor([[0.6, 0.4], [0.7, 0.3]]), epoch=9)
    later.restore(targets.state())
    assert torch.equal(later.of([0, 1, 2]), targets.of([0, 1, 2]))
