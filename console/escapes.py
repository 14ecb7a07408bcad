"""How many defective parts pass, by a random sample of those that did?

The share of passed parts that is defective: escapes. People found it, by images of which they were told nothing. Its
bounds are those of Clopper and Pearson, as if images had been put back: of a sample that is a large part of the job
they are wider than need be. Nothing is known of images that were drawn and not decided; where somebody was not sure,
the bounds are told for either answer. Several jobs are taken together by trainer/strata.py.
"""

import math
from dataclasses import dataclass
from typing import Any

from db.samples import Sampled

TARGETS = (0.05, 0.02, 0.01, 0.005, 0.001)  # of passed parts, that may be defective
_MOST_IMAGES = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Escapes:
    """The share of passed parts that is defective, with its two-sided 95% bounds."""

    decided: int  # images
    defective: int
    unsure: int
    rate: float
    lcl: float
    ucl: float
    at_most: float  # one-sided, 95%
    at_most_with_unsure: float  # the same, if all that somebody was not sure of are defective


def escapes(*jobs: Sampled) -> Escapes | None:
    """Of one job, or of several together; None where nobody has decided about any of the samples."""
    decided = [found for found in jobs if found.decided]
    if not decided:
        return None
    # Imported here, and below: `jobs show` of a job without a sample loads no scipy.
    from trainer.strata import Stratum, share_of

    sure = share_of([Stratum(size=one.passed, looked=one.decided, found=one.defective) for one in decided])
    worst = share_of(
        [Stratum(size=one.passed, looked=one.decided + one.unsure, found=one.defective + one.unsure) for one in decided]
    )
    return Escapes(
        decided=sum(one.decided for one in decided),
        defective=sum(one.defective for one in decided),
        unsure=sum(one.unsure for one in decided),
        rate=sure.rate,
        lcl=sure.bounds.lcl,
        ucl=sure.bounds.ucl,
        at_most=sure.at_most,
        at_most_with_unsure=worst.at_most,
    )


def more_needed(found: Sampled, target: float) -> int | None:
    """How many more images people have to decide about, to show that at most `target` of the passed parts is defective.

    As many as it takes if the share that was found stays; None where that share is no smaller than the target. Where
    none was found, if none is found.
    """
    from trainer.bounds import images_needed, upper_bound

    if not found.defective:
        return max(0, images_needed(target) - found.decided)
    rate = found.defective / found.decided
    if rate >= target:
        return None
    enough = found.decided
    while upper_bound(math.ceil(rate * enough), enough) > target:  # first by doubling, then by halving what is between
        enough *= 2
        if enough > _MOST_IMAGES:
            return None
    short = enough // 2
    while enough - short > 1 and enough > found.decided:
        middle = (short + enough) // 2
        shown = upper_bound(math.ceil(rate * middle), middle) <= target
        short, enough = (short, middle) if shown else (middle, enough)
    return max(0, enough - found.decided)


def words(found: Sampled) -> list[str]:
    """Sentences for a person; none where no sample was drawn."""
    if not found.drawn:
        return []
    said = [f"Of {found.passed} images that passed {found.drawn} were drawn at random: {found.decided} are decided."]
    told = escapes(found)
    if told is None:
        return said
    return said + share_words(told)


def share_words(told: Escapes) -> list[str]:
    """What share of what passes is defective, and what if the doubtful ones are."""
    said = [
        f"{told.defective} of these {told.decided} are defective: {told.rate:.2%} of what passes "
        f"({told.lcl:.2%} to {told.ucl:.2%} with 95% confidence), at most {told.at_most:.2%}."
    ]
    if told.unsure:
        said.append(
            f"If the {told.unsure} that somebody was not sure of are defective: at most {told.at_most_with_unsure:.2%}."
        )
    return said


def needs(found: Sampled) -> list[tuple[float, int | None]]:
    """For each target that is not shown yet, how many more images it takes."""
    told = escapes(found)
    return [(target, more_needed(found, target)) for target in TARGETS if told is None or told.at_most > target]


def fields(found: Sampled) -> dict[str, Any] | None:
    """For scripts; None where no sample was drawn."""
    if not found.drawn:
        return None
    told = escapes(found)
    counts = {"passed": found.passed, "drawn": found.drawn, "decided": found.decided, "unsure": found.unsure}
    return {
        **counts,
        "defective": found.defective,
        "escape_share": told.rate if told else None,
        "escape_share_lcl": told.lcl if told else None,
        "escape_share_ucl": told.ucl if told else None,
        "more_needed": {f"{target:g}": more for target, more in needs(found)},
    }
