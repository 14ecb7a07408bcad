"""Does every path get exactly one outcome, its own?"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.vision.conftest import blocks
from tests.vision.test_pipeline import UNREADABLE_NOW, working_threads
from vision.decode import StorageTrouble, read_image
from vision.inspection import score_images
from vision.saved_network import load_checkpoint
from vision.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def runtime(checkpoint_path: Path) -> TorchRuntime:
    return TorchRuntime(load_checkpoint(checkpoint_path), "cpu")


def directly(runtime: TorchRuntime, path: Path) -> float:
    pixels = runtime.preprocessing.apply(read_image(path).image)
    return float(runtime.score(pixels[None]).scores[0])


def test_each_path_gets_its_own_score_in_order(runtime: TorchRuntime, pictures: list[Path]) -> None:
    outcomes = list(score_images(pictures, runtime, batch_size=4, threads=2))
    assert [outcome.index for outcome in outcomes] == list(range(10))
    scores = [directly(runtime, path) for path in pictures]
    assert [outcome.score for outcome in outcomes] == pytest.approx(scores, abs=1e-5)
    assert np.ptp(scores) > 0.01
    assert {(outcome.width, outcome.height, outcome.reason) for outcome in outcomes} == {(72, 48, None)}


def test_a_bad_file_gets_a_reason_and_its_neighbours_keep_their_scores(
    runtime: TorchRuntime, pictures: list[Path]
) -> None:
    whole = [outcome.score for outcome in score_images(pictures, runtime, batch_size=4)]
    for broken in (0, 4, 5):
        pictures[broken].write_bytes(b"no image")
    outcomes = list(score_images(pictures, runtime, batch_size=4))
    for index, outcome in enumerate(outcomes):
        if index in (0, 4, 5):
            assert (outcome.score, outcome.reason, outcome.width) == (None, "not_an_image", None)
            assert outcome.detail
            assert outcome.size == len(b"no image")
        else:
            assert outcome.score == pytest.approx(whole[index], abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_a_score_does_not_depend_on_the_batch(runtime: TorchRuntime, pictures: list[Path], batch_size: int) -> None:
    scores = [outcome.score for outcome in score_images(pictures, runtime, batch_size=batch_size)]
    assert scores == pytest.approx([directly(runtime, path) for path in pictures], abs=1e-5)


def test_progress_is_told_once_for_each_image(runtime: TorchRuntime, pictures: list[Path]) -> None:
    calls: list[None] = []
    for number, _ in enumerate(score_images(pictures, runtime, batch_size=4, on_image=lambda: calls.append(None))):
        assert len(calls) == number + 1
    assert len(calls) == 10


def test_the_same_path_twice_gives_two_outcomes(tmp_path: Path, runtime: TorchRuntime) -> None:
    path = tmp_path / "part.png"
    Image.fromarray(blocks(4)).save(path)
    first, second = score_images([path, path], runtime)
    assert (first.index, second.index) == (0, 1)
    assert first.score == pytest.approx(second.score, abs=1e-6)


def test_whoever_stops_early_stops_the_threads(runtime: TorchRuntime, pictures: list[Path]) -> None:
    outcomes = score_images(pictures, runtime, batch_size=2)
    next(outcomes)
    outcomes.close()
    assert working_threads() == 0


@pytest.mark.skipif(not UNREADABLE_NOW.exists(), reason="no /proc here")
def test_a_passing_fault_reaches_the_caller(runtime: TorchRuntime, pictures: list[Path]) -> None:
    with pytest.raises(StorageTrouble):
        list(score_images([*pictures, UNREADABLE_NOW], runtime))
    assert working_threads() == 0
