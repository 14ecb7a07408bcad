"""Does a step move what is to learn and nothing else, by its share, and is the mean of the weights their mean?"""

from dataclasses import replace

import pytest
import torch

from trainer.batches import Batch
from trainer.learner import Learner
from trainer.recipe import Recipe
from vision.network import Network, build_network

Weights = dict[str, torch.Tensor]


@pytest.fixture
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return build_network(pretrained_state=None)


@pytest.fixture
def recipe(small_recipe: Recipe) -> Recipe:
    return replace(small_recipe, train_from="layer4", learning_rate=0.01, head_epochs=1)


@pytest.fixture
def batch() -> Batch:
    """What layer4 is given of eight images of 32 pixels."""
    generator = torch.Generator().manual_seed(2)
    return Batch(features=torch.rand(8, 256, 2, 2, generator=generator), targets=torch.tensor([0, 1] * 4))


def weights_of(network: Network) -> Weights:
    return {key: value.clone() for key, value in network.state_dict().items()}


def moved(before: Weights, network: Network) -> set[str]:
    """The parts of which anything has changed."""
    after = network.state_dict()
    return {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}


def test_in_the_first_epochs_the_head_alone_learns_and_then_what_the_recipe_names(
    network: Network, recipe: Recipe, batch: Batch
) -> None:
    learner = Learner(network, recipe, torch.ones(2))
    learner.begin(head_only=True)
    before = weights_of(network)
    learner.learn(batch, 0.01, 0)
    kernels = {key: value for key, value in before.items() if "running" not in key and "tracked" not in key}
    assert moved(kernels, network) == {"fc"}
    learner.begin(head_only=False)
    before = weights_of(network)
    learner.learn(batch, 0.01, 0)
    assert moved(before, network) == {"layer4", "fc"}


def test_what_learns_later_normalises_by_each_batch_from_the_beginning(
    network: Network, recipe: Recipe, batch: Batch
) -> None:
    learner = Learner(network, recipe, torch.ones(2))
    statistics = [network.layer3[0].bn1.running_mean.clone(), network.layer4[0].bn1.running_mean.clone()]
    learner.begin(head_only=True)
    alone = learner.learn(batch, 0.0, 0).loss
    assert torch.equal(network.layer3[0].bn1.running_mean, statistics[0])
    assert not torch.equal(network.layer4[0].bn1.running_mean, statistics[1])
    learner.begin(head_only=False)
    assert learner.learn(batch, 0.0, 0).loss == alone


def test_each_part_learns_by_its_share_of_the_heads_rate(network: Network, recipe: Recipe) -> None:
    learner = Learner(network, replace(recipe, train_from="layer2", depth_decay=0.5), torch.ones(2))
    shares = {id(one): group["share"] for group in learner.optimizer.param_groups for one in group["params"]}
    of_part = {name.partition(".")[0]: shares[id(one)] for name, one in network.named_parameters() if id(one) in shares}
    assert of_part == {"layer2": 0.125, "layer3": 0.25, "layer4": 0.5, "fc": 1.0}


def test_only_matrices_and_kernels_decay(network: Network, recipe: Recipe) -> None:
    learner = Learner(network, replace(recipe, weight_decay=0.1), torch.ones(2))
    decays = {
        one.ndim > 1: group["weight_decay"] for group in learner.optimizer.param_groups for one in group["params"]
    }
    assert decays == {True: 0.1, False: 0.0}


def test_the_running_mean_is_what_is_kept(network: Network, recipe: Recipe, batch: Batch) -> None:
    learner = Learner(network, replace(recipe, averaging=0.75), torch.ones(2))
    learner.begin(head_only=False)
    learner.learn(batch, 0.01, 0)
    expected = network.fc.weight.detach().clone()  # the mean begins with the first step's weights
    for _ in range(3):
        learner.learn(batch, 0.01, 0)
        expected = 0.75 * expected + 0.25 * network.fc.weight.detach()
    kept = learner.kept_weights()
    torch.testing.assert_close(kept["fc.weight"], expected)
    assert not torch.equal(kept["fc.weight"], network.fc.weight)


def test_without_a_mean_the_weights_themselves_are_kept(network: Network, recipe: Recipe, batch: Batch) -> None:
    learner = Learner(network, recipe, torch.ones(2))
    learner.begin(head_only=False)
    learner.learn(batch, 0.01, 0)
    assert torch.equal(learner.kept_weights()["fc.weight"], network.fc.weight)


def test_asking_about_other_images_moves_nothing(network: Network, recipe: Recipe, batch: Batch) -> None:
    learner = Learner(network, recipe, torch.ones(2))
    learner.begin(head_only=False)
    before = weights_of(network)
    halves = [Batch(features=batch.features[part], targets=batch.targets[part]) for part in (slice(3), slice(3, 8))]
    logits, targets = learner.logits_on(halves, kept=True)
    assert moved(before, network) == set()
    network.eval()
    with torch.no_grad():
        expected = network.fc(torch.flatten(network.avgpool(network.layer4(batch.features)), 1))
    assert torch.allclose(logits, expected, atol=1e-5)
    assert torch.equal(targets, batch.targets)


def test_what_would_be_kept_is_asked_or_the_network_itself(network: Network, recipe: Recipe, batch: Batch) -> None:
    learner = Learner(network, replace(recipe, averaging=0.9), torch.ones(2))
    learner.begin(head_only=False)
    for seed in range(3):
        learner.learn(batch, 0.01, seed)
    mean, _ = learner.logits_on([batch], kept=True)
    own, _ = learner.logits_on([batch], kept=False)
    assert not torch.allclose(mean, own, atol=1e-3)


def test_a_target_may_be_shares_of_both_classes(network: Network, recipe: Recipe, batch: Batch) -> None:
    still = replace(recipe, label_momentum=1.0, label_smoothing=0.2)
    moving = replace(recipe, label_momentum=0.9, label_smoothing=0.2)
    smoothed = torch.eye(2)[batch.targets] * 0.8 + 0.1
    told = []
    for values, targets in ((still, batch.targets), (moving, smoothed)):
        learner = Learner(network, values, torch.ones(2))
        learner.begin(head_only=False)
        told.append(learner.learn(replace(batch, targets=targets), 0.0, 0))
    assert told[1].loss == pytest.approx(told[0].loss, rel=1e-6)
    assert torch.equal(told[0].scores, told[1].scores)
    assert torch.allclose(told[0].scores.sum(dim=1), torch.ones(8))
