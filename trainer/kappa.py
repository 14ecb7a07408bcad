"""How far do answers agree beyond what chance would have made of them?

Kappa is 1 where all agree, 0 where they agree as often as by chance, and less where they do so more rarely. Where every
answer is the same word, chance agrees as well, and there is none: 0 / 0. Counted in whole numbers until the last
division, so that nothing but that is ever taken for it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence


def cohen_kappa(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Of two who answered about the same things, as pairs of answers. None where there is none.

    Cohen 1960, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20:37.
    """
    both = Counter(pairs)
    of = both.total()
    first, second = Counter[str](), Counter[str]()
    for (one, other), times in both.items():
        first[one] += times
        second[other] += times
    agreed = sum(times for (one, other), times in both.items() if one == other)
    by_chance = sum(times * second[word] for word, times in first.items())  # of ** 2 where it is certain
    return None if by_chance == of**2 else (agreed * of - by_chance) / (of**2 - by_chance)


def fleiss_kappa(things: Sequence[Sequence[str]]) -> float | None:
    """Of n >= 2 who answered about the same things: of each thing all n answers. None where there is none.

    Fleiss 1971, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76:378.
    """
    if not things:
        return None
    others = len(things[0]) - 1
    of = len(things) * len(things[0])
    squares = sum(times**2 for answers in things for times in Counter(answers).values())
    words = Counter(word for answers in things for word in answers)
    by_chance = sum(times**2 for times in words.values())  # of ** 2 where it is certain
    return None if by_chance == of**2 else ((squares - of) * of - others * by_chance) / (others * (of**2 - by_chance))
