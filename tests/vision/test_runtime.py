"""Are scores probabilities of a defect, the same in any company, and never NaN?"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.vision.conftest import blocks
from vision.network import Network
from vision.preprocessing import Preprocessing
from vision.runtime import DeviceFailed, DeviceOutOfMemory, DeviceUnavailable, InvalidScore, Pixels, Runtime
from vision.saved_network import Checkpoint, load_checkpoint
from vision.torch_runtime import TorchRuntime, choose_device


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_path)


@pytest.fixture(scope="module")
def batch() -> Pixels:
    return np.stack([Preprocessing(size=64).apply(Image.fromarray(blocks(seed))) for seed in range(20, 29)])


def test_a_score_is_the_softmax_of_the_second_logit(checkpoint: Checkpoint, network: Network, batch: Pixels) -> None:
    runtime: Runtime = TorchRuntime(checkpoint, "cpu")
    scores = runtime.score(batch).scores
    with torch.inference_mode():
        good, defective = network(runtime.preprocessing.normalise(torch.from_numpy(batch))).double().T
    assert scores.dtype == np.float32
    assert scores.shape == (9,)
    assert scores == pytest.approx(1 / (1 + torch.exp(good - defective)).numpy(), abs=1e-5)
    assert np.ptp(scores) > 0.01
    assert (runtime.engine, runtime.precision, runtime.device) == ("torch", "fp32", "cpu")


def test_a_score_does_not_depend_on_the_rest_of_the_batch(checkpoint: Checkpoint, batch: Pixels) -> None:
    runtime = TorchRuntime(checkpoint, "cpu")
    together = runtime.score(batch).scores
    alone = np.concatenate([runtime.score(batch[row : row + 1]).scores for row in range(len(batch))])
    assert alone == pytest.approx(together, abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_that_answers_nan_gives_no_verdict(checkpoint: Checkpoint, batch: Pixels, bad: float) -> None:
    with torch.no_grad():
        checkpoint.network.fc.bias.fill_(bad)
    with pytest.raises(InvalidScore):
        TorchRuntime(checkpoint, "cpu").score(batch)


def test_scoring_leaves_the_processes_precision_settings_as_they_were(checkpoint: Checkpoint, batch: Pixels) -> None:
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


def runtime_of_a_device(checkpoint: Checkpoint, error: Exception, *, from_rows: int) -> tuple[TorchRuntime, list[int]]:
    """A runtime whose device raises `error` for so many rows and more; the list tells the rows of every try."""
    tried: list[int] = []

    def forward(_: torch.nn.Module, arguments: tuple[torch.Tensor]) -> None:
        tried.append(len(arguments[0]))
        if len(arguments[0]) >= from_rows:
            raise error

    checkpoint.network.conv1.register_forward_pre_hook(forward)
    return TorchRuntime(checkpoint, "cpu"), tried


@pytest.mark.parametrize("from_rows", [2, 5])
def test_a_batch_too_large_for_the_device_is_scored_in_pieces_and_keeps_its_order(
    checkpoint: Checkpoint, checkpoint_path: Path, batch: Pixels, from_rows: int
) -> None:
    runtime, tried = runtime_of_a_device(checkpoint, torch.OutOfMemoryError("CUDA out of memory"), from_rows=from_rows)
    expected = TorchRuntime(load_checkpoint(checkpoint_path), "cpu").score(batch).scores
    scores = runtime.score(batch).scores
    assert (scores.dtype, scores.shape) == (expected.dtype, expected.shape)
    assert scores == pytest.approx(expected, abs=1e-5)
    assert tried[0] == 9, "the whole batch is tried first"
    assert sum(rows for rows in tried if rows < from_rows) == 9, "no row is scored twice"


def test_a_device_without_room_for_one_image_is_told_from_one_that_failed(
    checkpoint: Checkpoint, batch: Pixels
) -> None:
    runtime, tried = runtime_of_a_device(checkpoint, torch.OutOfMemoryError("CUDA out of memory"), from_rows=1)
    with pytest.raises(DeviceOutOfMemory, match=r"cpu has no memory for a single image: CUDA out of memory"):
        runtime.score(batch)
    assert tried == [9, 4, 2, 1]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered\nmore"), DeviceFailed),
        (torch.AcceleratorError("launch failure"), DeviceFailed),
        (RuntimeError("shapes cannot be multiplied"), RuntimeError),
        (ZeroDivisionError("a fault of ours"), ZeroDivisionError),
    ],
)
def test_an_error_of_the_device_is_told_from_one_of_the_code(
    checkpoint: Checkpoint, batch: Pixels, error: Exception, expected: type[Exception]
) -> None:
    runtime, tried = runtime_of_a_device(checkpoint, error, from_rows=1)
    with pytest.raises(expected) as caught:
        runtime.score(batch)
    assert type(caught.value) is expected
    assert tried == [9], "neither is tried again"
