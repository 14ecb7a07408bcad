"""Is the temperature the one that was there, and does it change neither order nor verdict?"""

import numpy as np
import pytest
import torch
from scipy.special import expit

from trainer.calibration import calibrate, calibrated_loss, cool, margins_of
from vision.network import build_network


def overconfident(temperature: float, images: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Margins that are `temperature` times what they should be."""
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, images)
    return honest * temperature, generator.random(images) < expit(honest)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_there_is_found(temperature: float) -> None:
    found = calibrate(*overconfident(temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    assert found.images == 20_000
    assert found.ece_after < 0.01
    assert found.ece_after <= found.ece_before + 1e-3


def test_images_that_are_all_right_show_no_more_than_so_few_can() -> None:
    found = calibrate(np.array([-2.0, -2.0, 2.0, 2.0]), np.array([False, False, True, True]))
    assert expit(2.0 / found.temperature) == pytest.approx(3 / 4, abs=1e-3)  # (2 + 1) / (2 + 2)


def test_a_better_ranking_on_more_images_is_trusted_more() -> None:
    margins = np.random.default_rng(3).uniform(0.5, 6.0, 400)
    few = calibrate(np.concatenate([margins[:30], -margins[:30]]), np.repeat([True, False], 30))
    many = calibrate(np.concatenate([margins, -margins]), np.repeat([True, False], 400))
    assert many.temperature < few.temperature


@pytest.mark.parametrize("furthest", [6.0, 40.0, 1000.0])
def test_scores_that_differed_still_differ_in_single_precision(furthest: float) -> None:
    margins = np.linspace(0.5, furthest, 200)
    found = calibrate(np.concatenate([margins, -margins]), np.repeat([True, False], 200))
    scores = torch.sigmoid(torch.tensor(margins / found.temperature, dtype=torch.float32))
    assert float(scores.max()) < 1.0


def test_a_cooled_networks_margins_are_divided_and_nothing_else() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build_network(pretrained_state=None).eval()
        pixels = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        before = margins_of(network(pixels))
        cool(network, 2.5)
        assert margins_of(network(pixels)) == pytest.approx(before / 2.5, rel=1e-4, abs=1e-6)


def test_the_calibrated_loss_knows_the_ranking_and_not_how_sure_it_is() -> None:
    margins, truth = overconfident(1.0, images=400)
    weights = np.ones(400)
    loss, _ = calibrated_loss(margins, truth, weights)
    assert calibrated_loss(margins * 2.5, truth, weights)[0] == pytest.approx(loss, rel=1e-4)
    shuffled = np.random.default_rng(1).permutation(margins)
    assert calibrated_loss(shuffled, truth, weights)[0] > loss + 0.1


def test_an_image_of_twice_the_weight_counts_as_two() -> None:
    margins, truth = overconfident(1.0, images=400)
    twice, _ = calibrated_loss(np.append(margins, margins[:50]), np.append(truth, truth[:50]), np.ones(450))
    weights = np.where(np.arange(400) < 50, 2.0, 1.0)
    loss, _ = calibrated_loss(margins, truth, weights)
    assert loss == pytest.approx(twice, rel=2e-3)  # but for n in (n + 1) / (n + 2)


def test_the_standard_error_is_by_how_much_the_loss_of_other_images_would_differ() -> None:
    margins, truth = overconfident(1.0, images=400)
    weights = np.where(truth, 3.0, 1.0)
    generator = np.random.default_rng(3)
    others = [generator.integers(400, size=400) for _ in range(300)]
    losses = [calibrated_loss(margins[drawn], truth[drawn], weights[drawn])[0] for drawn in others]
    assert calibrated_loss(margins, truth, weights)[1] == pytest.approx(np.std(losses), rel=0.15)


def test_a_network_that_answers_no_numbers_has_no_loss() -> None:
    assert np.isnan(calibrated_loss(np.array([1.0, np.nan]), np.array([True, False]), np.ones(2))).all()
