"""Is the mean over mirror images what every runtime answers, and the same however the picture is mirrored?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.networks import save_random_model
from vision.flips import MIRRORED, Mirrored
from vision.network import Network, build_network, layers_before
from vision.preprocessing import Flips, Preprocessing
from vision.runtime import Pixels
from vision.saved_network import load_checkpoint
from vision.torch_runtime import TorchRuntime

SIZE = 32


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.random.default_rng(3).integers(0, 255, (5, 3, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return build_network(pretrained_state=None).eval()


@pytest.mark.parametrize(("flips", "ways"), [("none", 1), ("horizontal", 2), ("all", 4)])
def test_logits_are_the_mean_over_all_mirror_images(network: Network, pixels: Pixels, flips: Flips, ways: int) -> None:
    squares = Preprocessing(size=SIZE).normalise(torch.from_numpy(pixels))
    with torch.no_grad():
        features, own = Mirrored(layers_before(network, "head"), flips)(squares)
        each = [network(torch.flip(squares, way) if way else squares) for way in MIRRORED[flips]]
        assert len(each) == ways
        torch.testing.assert_close(network.fc(features), torch.stack(each).mean(dim=0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network.fc(own), each[0], rtol=1e-4, atol=1e-5)


def test_a_model_with_all_mirror_images_says_the_same_of_each_of_them(tmp_path: Path, pixels: Pixels) -> None:
    digest = save_random_model(tmp_path, pixels=SIZE)
    checkpoint = load_checkpoint(tmp_path / f"{digest}.safetensors")
    looking = replace(checkpoint.info.preprocessing, flips="all")
    runtime = TorchRuntime(replace(checkpoint, info=replace(checkpoint.info, preprocessing=looking)), "cpu")
    straight = runtime.score(pixels)
    for way in MIRRORED["all"][1:]:
        turned = runtime.score(np.ascontiguousarray(np.flip(pixels, way)))
        np.testing.assert_allclose(turned.scores, straight.scores, atol=1e-5)
    plain = TorchRuntime(checkpoint, "cpu").score(pixels)
    assert not np.allclose(plain.scores, straight.scores, atol=1e-4)
    assert plain.novelties is not None
    assert straight.novelties is not None
    np.testing.assert_allclose(straight.novelties, plain.novelties, atol=1e-4, err_msg="of the picture itself")
