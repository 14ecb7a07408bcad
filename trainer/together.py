"""Which images have to stay on one side of a split: those of one group, and twins?

What is joined by a group, by the same bytes or by likeness is one unit, over others if need be. A split that is drawn
here never parts a unit: one that leaks would be our own fault. Where nothing is joined, a seed's split is the one that
it was before there were units.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from trainer.dataset import NearTwin, Sample, Skip
from trainer.split import stratified_split
from trainer.twins import clusters, near_twins
from vision.signature import as_array

_MOST_NAMED = 5  # groups, in a message


def find_near_twins(samples: Sequence[Sample]) -> tuple[NearTwin, ...]:
    """Pairs of images that show the same photograph in different bytes, sorted by paths."""
    places: dict[str, int] = {}
    for at, sample in enumerate(samples):
        places.setdefault(sample.sha256, at)  # the same bytes are compared once
    different = sorted(places.values())
    pairs = near_twins(as_array([samples[at].signature for at in different]))
    return tuple(
        NearTwin(
            first=samples[different[pair.first]].path,
            second=samples[different[pair.second]].path,
            similarity=pair.similarity,
        )
        for pair in pairs
    )


def keep_together(samples: Sequence[Sample], near: Sequence[NearTwin]) -> tuple[Sample, ...]:
    """The same samples, each with its unit: the smallest path of what it is joined with."""
    joined: list[tuple[int, int]] = []
    places = {sample.path: at for at, sample in enumerate(samples)}
    for same in (_sharing([sample.sha256 for sample in samples]), _sharing([sample.group for sample in samples])):
        joined += [(members[0], other) for members in same for other in members[1:]]
    joined += [(places[twin.first], places[twin.second]) for twin in near]
    numbers = clusters(len(samples), joined)
    names: dict[int, str] = {}
    for sample, number in zip(samples, numbers, strict=True):
        names[number] = min(names.get(number, sample.path), sample.path, key=os.fsencode)
    return tuple(replace(sample, unit=names[number]) for sample, number in zip(samples, numbers, strict=True))


def draw_split(
    samples: Sequence[Sample], skipped: Sequence[Skip], *, test_share: float, seed: int, part_twins: bool = False
) -> tuple[tuple[Sample, ...], tuple[Skip, ...]]:
    """All of them in train or test; what cannot be read is drawn as if it could.

    Where twins leave a class with nothing on one side (all its images are one photograph), they are parted after all,
    and the evaluation says that it leaks; `part_twins`: at once. Groups never are.
    """
    everything: list[Sample | Skip] = sorted([*samples, *skipped], key=lambda entry: os.fsencode(entry.path))
    labels = [entry.label for entry in everything]

    def drawn(units: Sequence[str]) -> list[bool]:
        keys = [os.fsencode(unit) for unit in units]
        return stratified_split(keys, labels, test_share=test_share, seed=seed, groups=keys)

    in_test = drawn([(isinstance(entry, Sample) and entry.unit) or entry.path for entry in everything])
    if part_twins or len(set(zip(labels, in_test, strict=True))) < 2 * len(set(labels)):
        in_test = drawn([_group_or_path(entry) for entry in everything])
    sides = {entry.path: "test" if test else "train" for entry, test in zip(everything, in_test, strict=True)}
    return (
        tuple(replace(sample, split=sides[sample.path]) for sample in samples),
        tuple(replace(skip, split=sides[skip.path]) for skip in skipped),
    )


def groups_in_the_way(samples: Sequence[Sample], label: str) -> str:
    """Which groups hold a class together, as the end of a message that it cannot be split; "" where none do."""
    groups = {sample.group for sample in samples if sample.label == label}
    named = sorted(group for group in groups if group is not None)
    if len(named) < len(groups) or not named:
        return ""
    listed = ", ".join(map(repr, named[:_MOST_NAMED])) + (", …" if len(named) > _MOST_NAMED else "")
    return (
        f" All its images are of {'one group' if len(named) == 1 else f'{len(named)} groups'} ({listed}), and no split "
        "parts a group: add images of others, or choose another --group."
    )


def _group_or_path(entry: Sample | Skip) -> str:
    # No path begins with '/': a group cannot be taken for a file.
    return f"/{entry.group}" if isinstance(entry, Sample) and entry.group is not None else entry.path


def units_by_content(samples: Sequence[Sample]) -> list[bytes]:
    """What names each sample's unit, by the smallest sha256 in it: another name of the file changes nothing."""
    smallest: dict[str, str] = {}
    for sample in samples:
        if sample.unit is not None:
            smallest[sample.unit] = min(smallest.get(sample.unit, sample.sha256), sample.sha256)
    return [(sample.sha256 if sample.unit is None else smallest[sample.unit]).encode() for sample in samples]


def _sharing(names: Sequence[str | None]) -> list[list[int]]:
    """The places of those that have the same name."""
    found: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        if name is not None:
            found[name].append(at)
    return [places for places in found.values() if len(places) > 1]
