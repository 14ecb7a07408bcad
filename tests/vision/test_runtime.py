"""Are scores probabilities of a defect, the same in any company, and never NaN?"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.vision.conftest import blocks
from vision.checkpoint import Checkpoint, load_checkpoint
from vision.network import Network
from vision.preprocessing import Preprocessing
from vision.runtime import DeviceUnavailable, InvalidScore, Runtime, TorchRuntime, choose_device


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_path)


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    pictures = [Preprocessing(size=64).apply(Image.fromarray(blocks(seed))) for seed in range(20, 29)]
    return torch.from_numpy(np.stack(pictures))


def test_a_score_is_the_softmax_of_the_second_logit(
    checkpoint: Checkpoint, network: Network, batch: torch.Tensor
) -> None:
    runtime: Runtime = TorchRuntime(checkpoint, "cpu")
    scores = runtime.score(batch)
    with torch.inference_mode():
        good, defective = network(runtime.preprocessing.normalise(batch)).double().T
    assert scores.dtype == np.float32
    assert scores.shape == (9,)
    assert scores == pytest.approx(1 / (1 + torch.exp(good - defective)).numpy(), abs=1e-5)
    assert np.ptp(scores) > 0.01
    assert (runtime.engine, runtime.precision, runtime.device) == ("torch", "fp32", "cpu")


def test_a_score_does_not_depend_on_the_rest_of_the_batch(checkpoint: Checkpoint, batch: torch.Tensor) -> None:
    runtime = TorchRuntime(checkpoint, "cpu")
    together = runtime.score(batch)
    alone = np.concatenate([runtime.score(batch[row : row + 1]) for row in range(len(batch))])
    assert alone == pytest.approx(together, abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_that_answers_nan_gives_no_verdict(checkpoint: Checkpoint, batch: torch.Tensor, bad: float) -> None:
    with torch.no_grad():
        checkpoint.network.fc.bias.fill_(bad)
    with pytest.raises(InvalidScore):
        TorchRuntime(checkpoint, "cpu").score(batch)


def test_scoring_leaves_the_processes_precision_settings_as_they_were(
    checkpoint: Checkpoint, batch: torch.Tensor
) -> None:
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)
    TorchRuntime(checkpoint, "cpu").score(batch)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["cuda:99", "gpu", "mps", ""])
def test_a_device_that_is_not_there_is_refused_by_name(wanted: str) -> None:
    with pytest.raises(DeviceUnavailable, match=repr(wanted)):
        choose_device(wanted)
