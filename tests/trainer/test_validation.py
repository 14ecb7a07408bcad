"""Is what is held out for validation drawn from the training images alone, the same every time?"""

from dataclasses import replace

import pytest

from trainer.dataset import Dataset, Sample
from trainer.errors import DatasetError
from trainer.validation import held_out


def data_set(dataset: Dataset, train: int = 40, test: int = 10) -> Dataset:
    """Made-up samples, a quarter of them defective, all of different bytes."""
    samples = tuple(
        Sample(
            path=f"{split}/{number:03}.png",
            label=dataset.positive if number % 4 == 0 else dataset.negative,
            is_defective=number % 4 == 0,
            split=split,
            sha256=f"{split}{number}",
        )
        for split, count in (("train", train), ("test", test))
        for number in range(count)
    )
    return replace(dataset, samples=samples)


def test_each_class_gives_its_share_and_the_test_is_not_touched(dataset: Dataset) -> None:
    whole = data_set(dataset)
    parted = held_out(whole, share=0.2, seed=0)
    assert [len(parted.part(split)) for split in ("train", "validation", "test")] == [32, 8, 10]
    assert sum(sample.is_defective for sample in parted.part("validation")) == 2
    assert parted.part("test") == whole.part("test")
    assert parted.fingerprint == whole.fingerprint
    assert {sample.path for sample in (*parted.part("train"), *parted.part("validation"))} == {
        sample.path for sample in whole.part("train")
    }


def test_the_same_seed_holds_out_the_same_images_and_another_one_others(dataset: Dataset) -> None:
    whole = data_set(dataset)
    assert held_out(whole, share=0.2, seed=3) == held_out(whole, share=0.2, seed=3)
    assert held_out(whole, share=0.2, seed=3) != held_out(whole, share=0.2, seed=4)


def test_files_of_the_same_bytes_stay_on_one_side(dataset: Dataset) -> None:
    whole = data_set(dataset)
    twins = replace(
        whole,
        samples=tuple(
            replace(sample, sha256=f"pair{int(sample.path[-7:-4]) // 8}{sample.is_defective}{sample.split}")
            for sample in whole.samples
        ),
    )
    parted = held_out(twins, share=0.3, seed=1)
    sides = [{sample.sha256 for sample in parted.part(split)} for split in ("train", "validation")]
    assert sides[1]
    assert not sides[0] & sides[1]


def test_without_a_share_nothing_is_held_out(dataset: Dataset) -> None:
    assert held_out(dataset, share=0, seed=0) is dataset


def test_a_class_of_one_image_cannot_be_parted(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="too few training images to hold 50% of them out"):
        held_out(data_set(dataset, train=4), share=0.5, seed=0)
