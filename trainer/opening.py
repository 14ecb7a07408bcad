"""Can every image of this data set be read, before anything is trained on it?

Each file is opened and decoded once, as inspection will do it: what cannot be read is left out by name, and
what makes training pointless is an error. Then the split is drawn, where the folder came without one: images of one
group, and twins, on one side.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from trainer.dataset import Dataset, Entry, Sample, Skip, fingerprint
from trainer.errors import DatasetError
from trainer.finding import Reading, find_entries, two_classes
from trainer.together import draw_split, find_near_twins, keep_together
from vision.decode import Limits, read_image
from vision.faults import StorageTrouble, Unreadable
from vision.signature import signature

OnImage = Callable[[int, int], None]  # images opened so far, images in all

_DEFAULTS = Reading()


def open_dataset(root: Path, reading: Reading = _DEFAULTS, on_image: OnImage | None = None) -> Dataset:
    """The data set in `root`, every image opened once; DatasetError says what is to be done."""
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder: name the folder that holds the images.")
    if not 0 < reading.test_share < 1:
        raise DatasetError(f"The test share must lie between 0 and 1, not {reading.test_share}.")
    found = find_entries(root, reading)
    positive, negative = two_classes(found, reading)
    samples, skipped = _open_all(root, found.entries, positive, reading.limits, on_image)
    near = find_near_twins(samples)
    samples = keep_together(samples, near)
    if found.drawn:
        samples, skipped = draw_split(
            samples, skipped, test_share=reading.test_share, seed=reading.seed, part_twins=reading.part_twins
        )
    dataset = Dataset(
        root=root,
        layout=found.layout,
        samples=samples,
        positive=positive,
        negative=negative,
        fingerprint=fingerprint(samples),
        skipped=skipped,
        other_files=found.other_files,
        split_seed=reading.seed if found.drawn else None,
        test_share=reading.test_share if found.drawn else None,
        group_rule=None if reading.group is None else str(reading.group),
        near_twins=near,
    )
    _refuse_empty(dataset, reading.needed)
    return dataset


def _open_all(
    root: Path, entries: Sequence[Entry], positive: str, limits: Limits, on_image: OnImage | None
) -> tuple[tuple[Sample, ...], tuple[Skip, ...]]:
    samples: list[Sample] = []
    skipped: list[Skip] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        opened = pool.map(partial(_open_one, root, positive, limits), entries)
        for done, result in enumerate(opened, start=1):
            if isinstance(result, Sample):
                samples.append(result)
            else:
                skipped.append(result)
            if on_image is not None:
                on_image(done, len(entries))
    return tuple(samples), tuple(skipped)


def _open_one(root: Path, positive: str, limits: Limits, entry: Entry) -> Sample | Skip:
    try:
        picture = read_image(root / entry.path, limits)
    except Unreadable as fault:
        return Skip(
            path=entry.path,
            label=entry.label,
            split=entry.split,
            reason=fault.reason.value,
            detail=fault.detail,
        )
    except StorageTrouble as trouble:
        raise DatasetError(f"{root / entry.path} cannot be read just now: {trouble.strerror}. Try again.") from trouble
    return Sample(
        path=entry.path,
        label=entry.label,
        is_defective=entry.label == positive,
        split=entry.split,
        sha256=picture.sha256,
        group=entry.group,
        signature=signature(picture.image),
    )


def _refuse_empty(dataset: Dataset, needed: Sequence[str]) -> None:
    for row in dataset.counts():
        if row.split in needed and row.count == 0:
            left_out = f" ({len(dataset.skipped)} unreadable files were left out)" if dataset.skipped else ""
            grouped = dataset.group_rule is not None and dataset.split_seed is not None
            advice = (
                f"with --group {dataset.group_rule} too few groups are left to part" if grouped else "add images of it"
            )
            raise DatasetError(
                f"The class {row.label!r} has no readable image in the {row.split} part of {dataset.root}"
                f"{left_out}: {advice}."
            )
