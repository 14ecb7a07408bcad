"""Do folded layers say what the unfolded ones say, and do layers that learn keep learning?"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from trainer.backbone import Backbone
from trainer.recipe import Recipe
from vision.network import PARTS, Network, build_network, freeze_before, layers_from

PIXELS = torch.randint(0, 256, (10, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network() -> Network:
    """Random weights, and BatchNorm statistics that are not at their neutral values."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        made = build_network(pretrained_state=None)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.2)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
    freeze_before(made, "head")
    return made


def recipe_for(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, image_size=64, **changes)  # type: ignore[arg-type]


def features_of(network: Network, recipe: Recipe) -> torch.Tensor:
    """As the whole network computes them, layer by layer."""
    seen: list[torch.Tensor] = []
    handle = network.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network.eval()(Backbone(network, recipe)._preprocessing.normalise(PIXELS))
    handle.remove()
    return seen[0]


def test_folded_layers_say_the_same(network: Network, small_recipe: Recipe) -> None:
    recipe = recipe_for(small_recipe)
    expected = features_of(network, recipe)
    assert expected.abs().max() > 1
    given = Backbone(network, recipe)(PIXELS)
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)
    assert not given.requires_grad


def test_folding_takes_every_batch_norm_away_and_leaves_the_network_as_it_was(
    network: Network, small_recipe: Recipe
) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layers = Backbone(network, recipe_for(small_recipe))._layers
    assert not any(isinstance(module, nn.BatchNorm2d) for module in layers.modules())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_half_precision_gives_nearly_the_same_as_single_precision_numbers(
    network: Network, small_recipe: Recipe
) -> None:
    single = Backbone(network, recipe_for(small_recipe))(PIXELS)
    half = Backbone(network, recipe_for(small_recipe, precision="bfloat16"))(PIXELS)
    assert half.dtype == torch.float32
    assert 0 < (half - single).abs().max() < 0.05 * single.abs().max()


def test_no_more_rows_than_a_batch_pass_at_once(network: Network, small_recipe: Recipe, rows_seen: list[int]) -> None:
    Backbone(network, recipe_for(small_recipe, batch_size=4))(PIXELS)
    assert rows_seen == [4, 4, 2]


def test_on_a_cpu_a_large_batch_passes_in_parts_that_stay_in_its_cache(
    network: Network, small_recipe: Recipe, rows_seen: list[int]
) -> None:
    Backbone(network, recipe_for(small_recipe, batch_size=32))(PIXELS)
    assert rows_seen == [8, 2]


def test_where_the_whole_network_learns_the_features_are_normalised_pixels(
    network: Network, small_recipe: Recipe
) -> None:
    recipe = recipe_for(small_recipe, weights="none", train_from="stem")
    made = Backbone(network, recipe)
    assert not made.computes
    assert torch.equal(made(PIXELS), made._preprocessing.normalise(PIXELS))


@pytest.mark.parametrize("part", PARTS)
def test_frozen_layers_and_those_behind_them_are_the_whole_network(
    network: Network, small_recipe: Recipe, part: str
) -> None:
    recipe = recipe_for(small_recipe, train_from=part)
    made = Backbone(network, recipe)
    features = made(PIXELS)
    assert features.shape[1:] == made.shape
    with torch.no_grad():
        expected = network.eval()(made._preprocessing.normalise(PIXELS))
        torch.testing.assert_close(layers_from(network, part)(features), expected, rtol=1e-4, atol=1e-4)
