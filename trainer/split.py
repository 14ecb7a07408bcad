"""Which samples are kept for the test, so that the same question gives the same answer next year?

The order of the samples is drawn from a sha256 of the seed and each key, not from a library's random
numbers: it depends on no version, no file order and no machine.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set


def stratified_split(
    keys: Sequence[bytes],
    labels: Sequence[str],
    *,
    test_share: float,
    seed: int,
    groups: Sequence[bytes] | None = None,
) -> list[bool]:
    """True for each sample that belongs to the test part; every class gives about `test_share` of it.

    keys: what names a sample, unique (its relative path). groups: samples of one group (one part
    photographed twice, one module) never stand on both sides; without groups each class gives exactly
    round(n * test_share) samples, and at least one. A class that would give nothing, its groups being large, gives the
    group that overshoots least, as long as it keeps another one.
    """
    units = keys if groups is None else groups
    contents: dict[bytes, Counter[str]] = defaultdict(Counter)
    for unit, label in zip(units, labels, strict=True):
        contents[unit][label] += 1
    wanted = Counter({name: max(1, round(count * test_share)) for name, count in Counter(labels).items()})
    in_test: set[bytes] = set()
    drawn = sorted(contents, key=lambda unit: _draw(seed, unit))
    for unit in drawn:
        content = contents[unit]
        # A group goes to the test part only where most of it is still wanted there: a big group late in
        # the draw must not overfill the test.
        if 2 * (content & wanted).total() > content.total():
            in_test.add(unit)
            wanted -= content
    for name in sorted(set(labels)):
        if not any(name in contents[unit] for unit in in_test):
            spare = [unit for unit in drawn if name in contents[unit] and _is_spare(unit, contents, in_test)]
            if spare:
                unit = min(spare, key=lambda unit: (contents[unit] - wanted).total())
                in_test.add(unit)
                wanted -= contents[unit]
    return [unit in in_test for unit in units]


def _is_spare(unit: bytes, contents: Mapping[bytes, Counter[str]], in_test: Set[bytes]) -> bool:
    """Whether every class that it holds keeps another unit outside the test part."""
    kept = [content for other, content in contents.items() if other != unit and other not in in_test]
    return all(any(name in content for content in kept) for name in contents[unit])


def stratified_folds(
    keys: Sequence[bytes],
    labels: Sequence[str],
    *,
    folds: int,
    seed: int,
    groups: Sequence[bytes] | None = None,
) -> list[int]:
    """The fold of each sample, from 0; every fold gets about as much of every class.

    keys and groups as in `stratified_split`: no group lies in two folds.
    """
    units = keys if groups is None else groups
    members: dict[bytes, list[int]] = defaultdict(list)
    for at, unit in enumerate(units):
        members[unit].append(at)
    of_class = Counter(labels)
    filled: list[Counter[str]] = [Counter() for _ in range(folds)]
    fold_of = [0] * len(labels)
    # The large groups first: small ones even out what those leave uneven.
    for unit in sorted(members, key=lambda unit: (-len(members[unit]), _draw(seed, unit))):
        content = Counter(labels[at] for at in members[unit])
        shares = [
            sum(count * filled[fold][name] / of_class[name] for name, count in content.items()) for fold in range(folds)
        ]
        chosen = min(range(folds), key=lambda fold: (shares[fold], filled[fold].total(), fold))
        filled[chosen] += content
        for at in members[unit]:
            fold_of[at] = chosen
    return fold_of


def _draw(seed: int, unit: bytes) -> bytes:
    return hashlib.sha256(b"%d\0%s" % (seed, unit)).digest()
