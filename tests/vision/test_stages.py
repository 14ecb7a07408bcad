"""Is the time of every stage counted, also where the stage fails, from any thread?"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.vision.test_pipeline import Fingerprints, outcomes_of
from vision.pipeline import Group
from vision.stages import STAGES, images_read, seconds_by_stage, stage


def test_every_stage_of_an_image_is_counted(pictures: list[Path]) -> None:
    before, images = seconds_by_stage(), images_read()
    outcomes_of([Group(of="a", paths=pictures)], Fingerprints())
    after = seconds_by_stage()
    assert images_read() == images + 10
    assert [name for name in STAGES if after[name] > before[name]] == ["read", "hash", "decode", "resize", "infer"]


def test_a_stage_that_fails_counts_and_no_thread_is_forgotten() -> None:
    def fail(_: int) -> None:
        with pytest.raises(KeyError), stage("read"):
            raise KeyError

    before = images_read()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fail, range(1000)))
    assert images_read() == before + 1000
