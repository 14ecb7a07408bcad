"""Is a label that was swapped among the first to be doubted?"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer.errors import DatasetError
from trainer.finding import Reading
from trainer.grouping import GroupRule
from trainer.label_errors import doubtful_labels
from trainer.opening import open_dataset
from vision.network import Network, build_network

Draw = Callable[[Path, bool, int], None]


@pytest.fixture
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_network(pretrained_state=None).eval()


def test_a_swapped_label_is_doubted_most(tmp_path: Path, draw: Draw, network: Network) -> None:
    for number in range(12):
        draw(tmp_path / "ng" / f"{number}.png", True, number)
        draw(tmp_path / "good" / f"{number}.png", False, number)
    (tmp_path / "good/3.png").rename(tmp_path / "ng/swapped.png")
    dataset = open_dataset(tmp_path)
    doubts = doubtful_labels(dataset, network, 32)
    assert doubts[0].path == "ng/swapped.png"
    assert 0 <= doubts[0].agreement < 0.5
    assert doubts == doubtful_labels(dataset, network, 32)


def test_too_few_groups_to_be_asked_in_turns_are_refused_in_a_sentence(
    tmp_path: Path, draw: Draw, network: Network
) -> None:
    for name, defective in (("good/a.png", False), ("good/b.png", False), ("ng/b.png", True), ("ng/c.png", True)):
        draw(tmp_path / name, defective, ord(name[-5]))
    dataset = open_dataset(tmp_path, Reading(group=GroupRule.parse("name:^(.)"), needed=()))
    with pytest.raises(DatasetError, match="outside of one part are all of one class"):
        doubtful_labels(dataset, network, 32)


def test_a_class_that_is_one_photograph_cannot_be_asked(tmp_path: Path, draw: Draw, network: Network) -> None:
    for number in range(6):
        draw(tmp_path / "ng" / f"{number}.png", True, 1)
        draw(tmp_path / "good" / f"{number}.png", False, number)
    with pytest.raises(DatasetError, match="fewer than two"):
        doubtful_labels(open_dataset(tmp_path), network, 32)
