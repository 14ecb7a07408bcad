"""Is frozen frozen, and are the first weights what they claim to be?"""

import hashlib
import io
import urllib.error
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from vision.network import (
    Network,
    WeightsInvalid,
    WeightsUnavailable,
    build_network,
    freeze_before,
    load_weights,
)

STAND_IN = Path(__file__).parents[2].parent / "shared" / "weights" / "resnet18_imagenet.pth"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights as torchvision would give them: its keys, a thousand classes."""
    torch.manual_seed(1)
    state = Network().state_dict()
    return {**state, "fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}


def train_one_step(network: Network) -> None:
    network.train()
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=0.01)
    images, labels = torch.randn(4, 3, 64, 64) * 3 + 1, torch.tensor([0, 1, 1, 0])
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def changed(before: dict[str, Tensor], network: Network) -> set[str]:
    return {key for key, value in network.state_dict().items() if not torch.equal(before[key], value)}


def copied(network: Network) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_a_training_step_moves_nothing_frozen_not_even_batchnorm_statistics(state: dict[str, Tensor]) -> None:
    network = build_network(pretrained_state=state)
    freeze_before(network, "head")
    before = copied(network)
    train_one_step(network)
    assert changed(before, network) == {"fc.weight", "fc.bias"}
    assert network.training
    assert network.fc.training


def test_without_freezing_the_same_step_moves_weights_and_statistics(state: dict[str, Tensor]) -> None:
    network = build_network(pretrained_state=state)
    before = copied(network)
    train_one_step(network)
    assert {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.running_var", "fc.weight"} <= changed(before, network)


def test_the_backbone_is_taken_over_and_the_head_is_new(state: dict[str, Tensor]) -> None:
    network = build_network(pretrained_state=state)
    assert torch.equal(network.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    assert network.fc.weight.shape == (2, 512)


def test_none_means_random_weights_that_follow_the_seed() -> None:
    assert load_weights("none").state is None
    torch.manual_seed(3)
    first = build_network(pretrained_state=None).conv1.weight
    torch.manual_seed(3)
    assert torch.equal(first, build_network(pretrained_state=None).conv1.weight)


def test_half_precision_files_are_read_as_single_precision(tmp_path: Path, state: dict[str, Tensor]) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    pickled, plain = tmp_path / "weights.pth", tmp_path / "weights.safetensors"
    torch.save(half, pickled)
    safetensors.torch.save_file(half, plain)
    for path in (pickled, plain):
        weights = load_weights(path)
        assert weights.state is not None
        assert weights.state["conv1.weight"].dtype == torch.float32
        assert torch.equal(weights.state["conv1.weight"], half["conv1.weight"].float())
        assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert weights.source == path.name
        build_network(pretrained_state=weights.state)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "other.pth"
    wrong = {key: value for key, value in state.items() if key != "conv1.weight"}
    torch.save({**wrong, "head.weight": torch.zeros(1), "bn1.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsInvalid, match=r"other\.pth.*3 .*bn1\.weight, conv1\.weight, head\.weight"):
        load_weights(path)


class Surprise:
    """What a malicious pickle holds: loading it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_runs_code_is_refused_and_does_not_run_it(tmp_path: Path) -> None:
    victim, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"conv1.weight": Surprise(victim)}, path)
    with pytest.raises(WeightsInvalid, match="no plain state_dict"):
        load_weights(path)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid):
        load_weights(path)


def test_a_tensor_alone_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    for name in ("tensor.pth", "missing.pth"):
        with pytest.raises(WeightsInvalid, match=name):
            load_weights(tmp_path / name)


def test_imagenet_weights_that_cannot_be_downloaded_name_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network is asked: the download itself is made to fail as it does without one."""

    def unreachable(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match=r"--weights FILE.*--weights none"):
        load_weights("imagenet")


def test_imagenet_weights_come_from_torchvisions_cache_with_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]
) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)

    def downloaded(url: str, target: str, *arguments: object, **options: object) -> None:
        Path(target).write_bytes(buffer.getvalue())

    monkeypatch.setattr("torch.hub.download_url_to_file", downloaded)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = load_weights("imagenet")
    assert weights.sha256 == hashlib.sha256(buffer.getvalue()).hexdigest()
    assert weights.state is not None
    assert weights.state.keys() == state.keys()
    # What lies in the cache is compared with the hash in its name, which these stand-ins do not have.
    with pytest.raises(WeightsInvalid, match="not what its name says"):
        load_weights("imagenet")


def test_a_file_named_by_its_hash_is_compared_with_it(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "plain.pth")
    content = (tmp_path / "plain.pth").read_bytes()
    named = tmp_path / f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    named.write_bytes(content)
    assert load_weights(named).state is not None
    named.write_bytes(content[:-1] + b"x")
    with pytest.raises(WeightsInvalid, match="not what its name says"):
        load_weights(named)


@pytest.mark.skipif(not STAND_IN.exists(), reason="no real weights beside the checkout")
def test_real_weights_load() -> None:
    weights = load_weights(STAND_IN)
    assert weights.state is not None
    assert {value.dtype for value in weights.state.values()} == {torch.float32, torch.int64}
    build_network(pretrained_state=weights.state)
