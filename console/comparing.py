"""How do two models compare on the same labelled images, and on which of them do they differ?

Each is judged by PyTorch in single precision, at the limits that its scans are judged by.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from console.terminal import shown
from db import evaluations, operating_points
from db.engine import Session, reading
from db.errors import Refused
from db.models import Evaluation
from trainer.comparison import Comparison, Paired, compare
from trainer.leakage_words import leaking_words
from trainer.operating_point import Limits

if TYPE_CHECKING:
    from console.judging import Judge  # loads torch, which a page that compares what is stored does without


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two models, and where its scores are kept."""

    model: str
    digest: str
    evaluation: int
    operating_point: int
    approved: bool
    limits: Limits
    judged: int  # images that the evaluation has a score of
    leaking: int | None  # of these, those that this model knows from its training; None: not told


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An image on which the two give another verdict."""

    path: str
    actual: str
    scores: tuple[float, float]
    verdicts: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came of it."""

    sides: tuple[Side, Side]
    split: str
    images: int
    unreadable: int  # by either model; no part of the comparison
    comparison: Comparison
    differences: tuple[Difference, ...]  # the furthest apart first


def compare_models(judges: tuple["Judge", "Judge"]) -> Compared:
    """Judge what is not judged yet, then compare. Raises Refused where no image has a score by both."""
    first, second = judges
    rows = first.reference(), second.reference()
    with reading(first.engine) as session:
        return compare_stored(session, (evaluations.get(session, rows[0]), evaluations.get(session, rows[1])))


def compare_stored(session: Session, judged: tuple[Evaluation, Evaluation], *, ranking: bool = True) -> Compared:
    """Of two evaluations on the same images; `ranking` as for trainer.comparison.compare.

    Raises Refused where no image has a score by both.
    """
    sides = _side(session, judged[0]), _side(session, judged[1])
    dataset, scored, shared = judged[0].dataset, [], 0
    for path, actual, one, other in evaluations.paired_scores(session, judged[0].id, judged[1].id):
        shared += 1
        if one is not None and other is not None:
            scored.append((path, actual, (one, other)))
    if not scored:
        raise Refused(f"No image of {dataset.root} has a score by both models: there is nothing to compare.")
    truth = np.array([actual == dataset.positive_class for _, actual, _ in scored])
    each = np.array([pair for _, _, pair in scored], dtype=np.float64)
    limits = sides[0].limits, sides[1].limits
    return Compared(
        sides=sides,
        split=judged[0].split,
        images=len(scored),
        unreadable=sum(evaluations.scores_of(session, one.id) for one in judged) - shared - len(scored),
        comparison=compare(truth, (each[:, 0], each[:, 1]), limits, ranking=ranking),
        differences=_differences(scored, limits),
    )


def _differences(
    scored: Sequence[tuple[str, str, tuple[float, float]]], limits: tuple[Limits, Limits]
) -> tuple[Difference, ...]:
    differences = [
        Difference(path=path, actual=actual, scores=pair, verdicts=verdicts)
        for path, actual, pair in scored
        if len(set(verdicts := (limits[0].verdict(pair[0]), limits[1].verdict(pair[1])))) > 1
    ]
    return tuple(sorted(differences, key=lambda one: (-abs(one.scores[1] - one.scores[0]), one.path)))


def printed(compared: Compared, *, limit: int) -> str:
    """For a person; of the images on which the verdicts differ, the first `limit`."""
    found = compared.comparison
    lines = [
        f"{number} {shown(side.model)}: evaluation e{side.evaluation}, operating point {side.operating_point}"
        f"{'' if side.approved else ' (UNAPPROVED)'}, PASS below {side.limits.pass_below!r}, FAIL from "
        f"{side.limits.fail_from!r}"
        for number, side in enumerate(compared.sides, start=1)
    ]
    lines += [f"{number} {leaking_words(side.leaking, side.judged)}" for number, side in enumerate(compared.sides, 1)]
    which = "all" if compared.split == "all" else f"the {compared.split}"
    lost = f", {compared.unreadable} unreadable ones left out" if compared.unreadable else ""
    lines += [
        f"on {which} images: {compared.images}{lost}",
        "",
        f"{'':<14}{'of':>7}{'both':>7}{'only 1':>8}{'only 2':>8}   2 less 1 (95% bounds)",
        *(_line(name, part) for name, part in parts(found)),
    ]
    if found.auroc_difference is not None:
        bounds = found.auroc_bounds
        between = "" if bounds is None else f" ({bounds.lcl:+.4f} to {bounds.ucl:+.4f})"
        lines.append(f"AUROC, 2 less 1: {found.auroc_difference:+.4f}{between}")
    lines += ["", f"verdicts that differ: {len(compared.differences)}"]
    for one in compared.differences[:limit]:
        pair = ", ".join(f"{verdict} {score:.4f}" for verdict, score in zip(one.verdicts, one.scores, strict=True))
        lines.append(f"  {shown(one.path)} ({shown(one.actual)}): {pair}")
    if len(compared.differences) > limit:
        lines.append(f"  … and {len(compared.differences) - limit} more (--limit)")
    return "\n".join(lines)


def fields(compared: Compared) -> dict[str, Any]:
    """For scripts: everything."""
    found = compared.comparison
    return {
        "models": [
            {**asdict(side), **asdict(side.limits), "evaluation": f"e{side.evaluation}"} for side in compared.sides
        ],
        "split": compared.split,
        "images": compared.images,
        "unreadable": compared.unreadable,
        **{name.replace(" ", "_"): asdict(part) for name, part in parts(found)},
        "auroc_difference": found.auroc_difference,
        "auroc_difference_bounds": None if found.auroc_bounds is None else asdict(found.auroc_bounds),
        "differences": [asdict(one) for one in compared.differences],
    }


def _side(session: Session, judged: Evaluation) -> Side:
    checkpoint = judged.checkpoint
    point = operating_points.current(session, checkpoint)
    return Side(
        model=checkpoint.name,
        digest=checkpoint.digest,
        evaluation=judged.id,
        operating_point=point.id,
        approved=point.approval is not None,
        limits=Limits(pass_below=point.pass_below, fail_from=point.fail_from),
        judged=judged.images,
        leaking=judged.leaking,
    )


def parts(found: Comparison) -> tuple[tuple[str, Paired], ...]:
    """Each kind of mistake by its name."""
    return (("misses", found.misses), ("false alarms", found.false_alarms), ("mistakes", found.mistakes))


def _line(name: str, part: Paired) -> str:
    counts = f"{name:<14}{part.images:>7}{part.both:>7}{part.only_first:>8}{part.only_second:>8}"
    if part.difference is None or part.bounds is None:
        return counts
    by, least, most = (100 * share for share in (part.difference, part.bounds.lcl, part.bounds.ucl))
    return f"{counts}   {by:+.2f} points ({least:+.2f} to {most:+.2f}), p = {part.p_value:.3g}"
