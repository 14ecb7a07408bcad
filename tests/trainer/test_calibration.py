"""Is the temperature the one that was there, and does it change neither order nor verdict?"""

import numpy as np
import pytest
import torch
from scipy.special import expit

from trainer.calibration import calibrate, cool, margins_of
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


def test_images_that_are_all_right_do_not_ask_for_certainty_without_end() -> None:
    found = calibrate(np.array([-3.0, -2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    assert 1 / 21 < found.temperature < 0.06


def test_a_cooled_networks_margins_are_divided_and_nothing_else() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build_network(pretrained_state=None).eval()
        pixels = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        before = margins_of(network(pixels))
        cool(network, 2.5)
        assert margins_of(network(pixels)) == pytest.approx(before / 2.5, rel=1e-4, abs=1e-6)
