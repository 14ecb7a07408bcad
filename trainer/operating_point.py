"""Between which limits of the score does a model pass, reject, and ask a person, so that a target is kept?

A score below `pass_below` is PASS, one from `fail_from` on is FAIL, one between is REVIEW. A defective part is missed
where it is passed, and a good one is a false alarm where it is failed; in REVIEW a person sees both.

The limits are order statistics of the validation scores, and a target is kept by the exact one-sided 95% bound of
its rate: with k of n defective images below `pass_below`, the share of all defective parts below it is at most the
Clopper-Pearson bound of k / n, with 95% confidence, although the limit was read off these very images (Wilks 1941,
"Determination of sample sizes for setting tolerance limits", Annals of Mathematical Statistics 12:91).

Where several runtimes may give the verdicts, each of them has scored the images, and a target is kept for each: a limit
that is lower than need be misses no more, and one that is higher alarms no more.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.models import Disposition
from trainer.bounds import images_needed, most_wrong, upper_bound
from trainer.errors import TargetRefused

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Scored = tuple[Bools, Floats]  # (n,) each: is it defective, and what one runtime says


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the limits are to keep. Rates with 95% confidence; costs on average. At least one rate, or both costs."""

    max_miss_rate: float | None = None  # of the defective parts, those passed
    max_false_alarm_rate: float | None = None  # of the good parts, those failed
    max_review_rate: float | None = None  # of all parts, those in REVIEW, at the prevalence
    cost_miss: float | None = None  # of one missed part, in any currency
    cost_alarm: float | None = None  # of one good part failed, in the same
    prevalence: float | None = None  # share of defective parts on the line; None: as among the validation images

    def __post_init__(self) -> None:
        rates = (self.max_miss_rate, self.max_false_alarm_rate)
        costs = (self.cost_miss, self.cost_alarm)
        if (costs[0] is None) != (costs[1] is None):
            raise TargetRefused("A cost of misses and one of false alarms belong together: give both.")
        if costs[0] is not None and any(rate is not None for rate in (*rates, self.max_review_rate)):
            raise TargetRefused("Limits keep rates or save costs: give the one or the other.")
        if costs[0] is None and all(rate is None for rate in rates):
            raise TargetRefused("No target: give a miss rate, a false alarm rate, or the costs of both mistakes.")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """0 <= pass_below <= fail_from <= 1."""

    pass_below: float
    fail_from: float

    def verdict(self, score: float) -> Disposition:
        """PASS, REVIEW or FAIL."""
        return Disposition.of(score, self.pass_below, self.fail_from)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What limits make of labelled images."""

    defective: int
    missed: int  # defective, PASS
    defective_reviewed: int
    good: int
    alarms: int  # good, FAIL
    good_reviewed: int

    @property
    def passed(self) -> int:
        return self.missed + self.good - self.alarms - self.good_reviewed


def outcome(truth: Bools, scores: Floats, limits: Limits) -> Outcome:
    """Count: truth and scores (n,), True for defective."""
    passed, failed = scores < limits.pass_below, scores >= limits.fail_from
    between = ~passed & ~failed
    return Outcome(
        defective=int(truth.sum()),
        missed=int((truth & passed).sum()),
        defective_reviewed=int((truth & between).sum()),
        good=int((~truth).sum()),
        alarms=int((~truth & failed).sum()),
        good_reviewed=int((~truth & between).sum()),
    )


def propose(truth: Bools, scores: Floats, targets: Targets, others: Sequence[Scored] = ()) -> Limits:
    """The limits that keep the targets on these validation images; truth and scores (n,), True for defective.

    `others`: what further runtimes say of the same images; the targets are kept for each of them.
    With one rate as the target there is one limit: of those that keep it, the one with the fewest mistakes of the
    other kind. With both, REVIEW is what lies between where no single limit keeps both. `max_review_rate` with one
    rate is spent on sparing mistakes of the other kind. Raises TargetRefused where no limits keep the targets, where
    they would pass nothing or find no defect, and where one class is missing, of which any limit would be a guess.
    """
    every = [(truth, scores), *others]
    for defective, _ in every:
        for name, images in (("defective", defective), ("good", ~defective)):
            if not images.any():
                raise TargetRefused(f"Among the validation images there is no {name} one: limits would be a guess.")
    limits = _cheapest(every, targets) if targets.cost_miss is not None else _keeping(every, targets)
    for each in every:
        found = outcome(*each, limits)
        if found.passed == 0:
            raise TargetRefused("Only by passing nothing could these targets be kept: the model is not good enough.")
        if found.missed == found.defective:
            raise TargetRefused(
                "Only by passing everything that is defective could these targets be kept: the model is not good "
                "enough."
            )
    return limits


def mistakes_allowed(images: int, target: float, what: str) -> int:
    """How many of so many images may be wrong if a rate of at most `target` is to be shown with 95% confidence.

    Raises TargetRefused where they are too few to show it at all. `what`: whose images, such as "defective test".
    """
    allowed = most_wrong(images, target)
    if allowed is None:
        raise TargetRefused(
            f"{images} {what} images cannot show a rate of at most {target:g}, not even without a mistake: "
            f"it takes {images_needed(target)}."
        )
    return allowed


def review_bound(found: Outcome, targets: Targets) -> float:
    """The upper bound, with 95% confidence, of the share of parts in REVIEW at the targets' prevalence."""
    if targets.prevalence is None:
        return upper_bound(found.defective_reviewed + found.good_reviewed, found.defective + found.good)
    # Both classes have to be within their bounds at once (Bonferroni).
    defective = upper_bound(found.defective_reviewed, found.defective, confidence=0.975)
    good = upper_bound(found.good_reviewed, found.good, confidence=0.975)
    return targets.prevalence * defective + (1 - targets.prevalence) * good


def _highest(scored: Scored, cuts: Floats, target: float) -> float:
    """The highest limit that keeps this miss rate."""
    truth, scores = scored
    allowed = mistakes_allowed(int(truth.sum()), target, "defective validation")
    below = np.sort(scores[truth])[allowed]  # with a limit up to here so many are missed
    return float(cuts[cuts <= below][-1])


def _lowest(scored: Scored, cuts: Floats, target: float) -> float:
    """The lowest limit that keeps this false alarm rate."""
    truth, scores = scored
    allowed = mistakes_allowed(int((~truth).sum()), target, "good validation")
    above = np.sort(scores[~truth])[::-1][allowed]  # with a limit beyond this one so many are alarms
    beyond = cuts[cuts > above]
    if not beyond.size:
        raise TargetRefused(f"A good image scores {above}, and no limit lies beyond that.")
    return float(beyond[0])


def _keeping(every: Sequence[Scored], targets: Targets) -> Limits:
    cuts = _cuts(every)
    highest = lowest = None
    if targets.max_miss_rate is not None:
        highest = min(_highest(each, cuts, targets.max_miss_rate) for each in every)
    if targets.max_false_alarm_rate is not None:
        lowest = max(_lowest(each, cuts, targets.max_false_alarm_rate) for each in every)
    if highest is not None and lowest is not None:
        if lowest <= highest:  # any limit between the two keeps both targets: as far from either as can be
            between = cuts[(cuts >= lowest) & (cuts <= highest)]
            middle = float(between[np.abs(between - (lowest + highest) / 2).argmin()])
            return Limits(pass_below=middle, fail_from=middle)
        limits = Limits(pass_below=highest, fail_from=lowest)
        _refuse_much_review(every, limits, targets)
        return limits
    single = float(highest if highest is not None else lowest)  # type: ignore[arg-type]  # one of them is a target
    if targets.max_review_rate is None:
        return Limits(pass_below=single, fail_from=single)
    # The farther the other limit, the fewer mistakes of the other kind, and the more to review.
    others = cuts[cuts >= single] if highest is not None else cuts[cuts <= single][::-1]
    found = Limits(pass_below=single, fail_from=single)
    for other in others:
        wider = Limits(pass_below=min(single, float(other)), fail_from=max(single, float(other)))
        if _most_review(every, wider, targets) > targets.max_review_rate:
            break
        found = wider
    return found


def _cheapest(every: Sequence[Scored], targets: Targets) -> Limits:
    cuts = _cuts(every)
    dearest = np.max([_costs(each, cuts, targets) for each in every], axis=0)  # by the runtime with which it costs most
    cheapest = float(cuts[dearest.argmin()])  # of several, the lowest: it misses fewest
    return Limits(pass_below=cheapest, fail_from=cheapest)


def _costs(scored: Scored, cuts: Floats, targets: Targets) -> Floats:
    """Of a part, on average, at each of these limits."""
    truth, scores = scored
    share = float(truth.mean()) if targets.prevalence is None else targets.prevalence
    missed = np.searchsorted(np.sort(scores[truth]), cuts) / truth.sum()
    alarms = 1 - np.searchsorted(np.sort(scores[~truth]), cuts) / (~truth).sum()
    costs: Floats = share * missed * (targets.cost_miss or 0) + (1 - share) * alarms * (targets.cost_alarm or 0)
    return costs


def _cuts(every: Sequence[Scored]) -> Floats:
    """A limit below all scores, one between each two neighbours, and one above all: sorted, within 0 to 1."""
    distinct = np.unique(np.concatenate([scores for _, scores in every])).tolist()
    between = [_half_way(low, high) for low, high in itertools.pairwise([*distinct, 1.0]) if low < high]
    return np.unique([0.0, *between, *distinct[-1:]] if distinct[-1] == 1.0 else [0.0, *between])


def _half_way(low: float, high: float) -> float:
    """About half-way between two scores, in as few decimals as that takes: people read limits and type them.

    Half-way, because another runtime's scores differ in their last digits; off by a quarter of the gap at most.
    """
    digits = math.ceil(-math.log10((high - low) / 2))
    return round((low + high) / 2, max(0, digits))


def _most_review(every: Sequence[Scored], limits: Limits, targets: Targets) -> float:
    return max(review_bound(outcome(*each, limits), targets) for each in every)


def _refuse_much_review(every: Sequence[Scored], limits: Limits, targets: Targets) -> None:
    bound = _most_review(every, limits, targets)
    if targets.max_review_rate is not None and bound > targets.max_review_rate:
        raise TargetRefused(
            f"Both rates can be kept only with up to {math.ceil(1000 * bound) / 10:g}% of the parts in REVIEW, "
            f"more than {targets.max_review_rate:.4g}: the model is not good enough."
        )
