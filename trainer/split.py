"""Which samples are kept for the test, so that the same question gives the same answer next year?

The order of the samples is drawn from a sha256 of the seed and each key, not from a library's random
numbers: it depends on no version, no file order and no machine.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence


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
    round(n * test_share) samples, and at least one.
    """
    units = keys if groups is None else groups
    members: dict[bytes, list[int]] = defaultdict(list)
    for at, unit in enumerate(units):
        members[unit].append(at)
    wanted = {name: max(1, round(count * test_share)) for name, count in Counter(labels).items()}
    in_test = [False] * len(labels)
    for unit in sorted(members, key=lambda unit: _draw(seed, unit)):
        content = Counter(labels[at] for at in members[unit])
        useful = sum(min(count, wanted[name]) for name, count in content.items())
        # A group goes to the test part only where most of it is still wanted there: a big group late in
        # the draw must not overfill the test.
        if 2 * useful <= content.total():
            continue
        for at in members[unit]:
            in_test[at] = True
        for name, count in content.items():
            wanted[name] = max(0, wanted[name] - count)
    return in_test


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
