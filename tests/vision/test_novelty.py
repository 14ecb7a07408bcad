"""Is novelty a distance: nothing for what was seen, whatever its length, and the same in every runtime?"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from tests.vision.conftest import blocks
from vision.checkpoint import CheckpointFormat, CheckpointInfo
from vision.network import Network, layers_before
from vision.novelty import Novelty
from vision.runtime import InvalidScore, Pixels
from vision.saved_network import load_checkpoint, save_checkpoint
from vision.torch_runtime import TorchRuntime


def vectors(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 512, generator=torch.Generator().manual_seed(seed))


@given(seed=some.integers(0, 2**31), length=some.floats(1e-3, 1e3), radius=some.floats(0.01, 2))
def test_it_is_the_cosine_distance_to_the_nearest_in_radii_whatever_the_lengths(
    seed: int, length: float, radius: float
) -> None:
    seen, asked = vectors(5, seed), vectors(3, seed + 1)
    found = Novelty(seen * length, radius)(asked / length).numpy()
    rows, columns = asked.double().numpy(), seen.double().numpy()
    cosines = rows @ columns.T / np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1))
    assert found == pytest.approx((1 - cosines.max(axis=1)) / radius, abs=1e-5 / radius)


def test_what_was_seen_is_not_new_and_no_direction_at_all_is_a_right_angle() -> None:
    seen = vectors(5, 1)
    novelty = Novelty(seen, 0.25)
    assert novelty(seen * 3).numpy() == pytest.approx(np.zeros(5), abs=1e-5)
    assert (novelty(seen) >= 0).all()
    assert novelty(torch.zeros(1, 512)).item() == 4


@pytest.fixture
def knowing(tmp_path: Path, network: Network, info: CheckpointInfo) -> Path:
    """A checkpoint that has seen one picture."""
    runtime = TorchRuntime(load_checkpoint(saved(tmp_path / "plain", network, info, None)), "cpu")
    with torch.inference_mode():
        pixels = runtime.preprocessing.normalise(torch.from_numpy(picture(0)))
        features = layers_before(network, "head")(pixels)
    return saved(tmp_path / "model.safetensors", network, info, Novelty(features, 0.125))


def saved(path: Path, network: Network, info: CheckpointInfo, novelty: Novelty | None) -> Path:
    radius = None if novelty is None else novelty.radius
    save_checkpoint(path, network, dataclasses.replace(info, novelty_radius=radius), novelty)
    return path


def picture(seed: int) -> Pixels:
    return np.ascontiguousarray(blocks(seed, 64, 64).transpose(2, 0, 1))[None]


def test_a_checkpoint_keeps_it_and_the_runtime_tells_it_with_the_same_scores(
    knowing: Path, tmp_path: Path, network: Network
) -> None:
    batch = np.concatenate([picture(0), picture(1)])
    answers = TorchRuntime(load_checkpoint(knowing), "cpu").score(batch)
    assert answers.novelties is not None
    assert answers.novelties.dtype == np.float32
    assert answers.novelties[0] == pytest.approx(0, abs=1e-4)
    assert answers.novelties[1] > 0.01
    without = TorchRuntime(load_checkpoint(tmp_path / "plain"), "cpu").score(batch)
    assert without.novelties is None
    assert (without.scores == answers.scores).all()
    assert network.state_dict().keys() == load_checkpoint(knowing).network.state_dict().keys()


def test_a_file_that_does_not_hold_what_it_describes_is_refused(
    knowing: Path, tmp_path: Path, network: Network, info: CheckpointInfo
) -> None:
    with pytest.raises(ValueError, match="the same radius"):
        save_checkpoint(tmp_path / "none", network, dataclasses.replace(info, novelty_radius=0.5))
    odd = saved(tmp_path / "odd", network, info, Novelty(torch.ones(2, 3), 0.5))
    with pytest.raises(CheckpointFormat, match="do not fit"):
        load_checkpoint(odd)
    with pytest.raises(CheckpointFormat, match="novelty_radius must be a positive number"):
        dataclasses.replace(info, novelty_radius=0.0)


def test_a_description_without_it_is_written_as_before_there_was_one(info: CheckpointInfo) -> None:
    assert "novelty" not in info.to_json()
    older = dataclasses.replace(info, format=1)
    assert CheckpointInfo.from_json(older.to_json(), source="a file") == older


def test_a_novelty_that_is_no_number_gives_no_verdict(knowing: Path) -> None:
    checkpoint = load_checkpoint(knowing)
    assert checkpoint.novelty is not None
    checkpoint.novelty.features.fill_(float("nan"))
    with pytest.raises(InvalidScore):
        TorchRuntime(checkpoint, "cpu").score(picture(0))
