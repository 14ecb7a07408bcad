"""Are images and their targets mixed by the same shares, and the same ones by the same seed?"""

import pytest
import torch
from torch import nn

from trainer.batches import Batch
from trainer.mixing import mix


@pytest.fixture
def batch() -> Batch:
    return Batch(features=torch.arange(8.0).reshape(8, 1) * 10, targets=torch.tensor([0, 1, 0, 1, 1, 0, 1, 0]))


def test_each_image_has_its_share_of_another_and_the_others_targets_are_told(batch: Batch) -> None:
    for seed in range(20):
        mixed = mix(batch, 0.4, seed)
        assert 0 <= mixed.share <= 1
        others = (mixed.batch.features - mixed.share * batch.features) / (1 - mixed.share + 1e-12)
        numbers = (others / 10).round().long().flatten()
        if mixed.share < 0.999:
            assert sorted(numbers.tolist()) == list(range(8))
            assert torch.equal(mixed.others, batch.targets[numbers])
        assert torch.equal(mixed.batch.targets, batch.targets)


def test_a_seed_mixes_alike_and_another_one_otherwise(batch: Batch) -> None:
    assert torch.equal(mix(batch, 0.4, 7).batch.features, mix(batch, 0.4, 7).batch.features)
    assert len({mix(batch, 0.4, seed).share for seed in range(10)}) == 10


def test_an_answer_is_asked_for_both_targets_by_their_shares(batch: Batch) -> None:
    criterion = nn.CrossEntropyLoss()
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    mixed = mix(batch, 0.4, 3)
    soft = mixed.share * nn.functional.one_hot(batch.targets, 2) + (1 - mixed.share) * nn.functional.one_hot(
        mixed.others, 2
    )
    assert float(mixed.loss(logits, criterion)) == pytest.approx(float(criterion(logits, soft)), rel=1e-5)


def test_without_mixing_the_loss_is_that_of_the_batch(batch: Batch) -> None:
    criterion = nn.CrossEntropyLoss()
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    mixed = mix(batch, 0.0, 3)
    assert mixed.batch is batch
    assert torch.equal(mixed.loss(logits, criterion), criterion(logits, batch.targets))
