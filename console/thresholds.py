"""What do limits make of a model's labelled images, and how are they proposed, approved and told?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from console.evidence.facts import point_facts
from console.terminal import shown
from db import checkpoints, evaluations, operating_points, runtimes
from db.engine import Session
from db.errors import Refused
from db.models import Checkpoint, Evaluation, OperatingPoint
from trainer.bounds import upper_bound
from trainer.leakage_words import leaking_words
from trainer.operating_point import Limits, Outcome, Scored, Targets, outcome, propose
from vision.runtimes import REFERENCE, name_of


@dataclass(frozen=True, kw_only=True)
class Gives:
    """What an operating point makes of the images of one evaluation."""

    evaluation: int
    split: str
    engine: str
    precision: str
    images: int
    read_off: bool  # the limits were read off these images, by this runtime's scores or another's
    leaking: int | None  # of these, those that the model knows from its training; None: not known
    outcome: Outcome


def propose_limits(
    session: Session, model: str, targets: Targets, *, evaluation: int | None, actor: str
) -> OperatingPoint:
    """Read limits off validation scores and keep them as a proposal. Raises TargetRefused, Refused and NotFound.

    They keep the targets for each accepted runtime that has scored these images: any of them may judge a scan.
    """
    checkpoint = checkpoints.find(session, model)
    source = _validation(session, checkpoint) if evaluation is None else evaluations.get(session, evaluation)
    _refuse_seen(checkpoint, source)
    others = _by_others(session, source)
    limits = propose(*labelled(session, source), targets, [labelled(session, row) for row in others])
    return operating_points.propose(
        session,
        checkpoint,
        **asdict(limits),
        actor=actor,
        targets={name: value for name, value in asdict(targets).items() if value is not None},
        evaluation=source,
        others=others,
    )


def labelled(session: Session, row: Evaluation) -> Scored:
    """(is it defective, P(defective)) of every image of an evaluation that could be read."""
    pairs = list(evaluations.labelled_scores(session, row.id))
    truth = np.array([actual == row.dataset.positive_class for actual, _ in pairs], dtype=bool)
    return truth, np.array([score for _, score in pairs], dtype=np.float64)


def outcomes(session: Session, point: OperatingPoint) -> list[Gives]:
    """On the images that the limits were read off, then on the test images, as each usable runtime scored them."""
    limits = Limits(pass_below=point.pass_below, fail_from=point.fail_from)
    rows: list[Evaluation] = []
    if point.evaluation_id is not None:
        source = evaluations.get(session, point.evaluation_id)
        rows += [source, *_by_others(session, source)]
    told = {row.id for row in rows}
    tested = evaluations.newest_by_runtime(session, point.checkpoint_id, "test")
    usable = _usable(session, point.checkpoint_id)
    rows += [row for row in tested if row.id not in told and name_of(row.engine, row.precision) in usable]
    return [
        Gives(
            evaluation=row.id,
            split=row.split,
            engine=row.engine,
            precision=row.precision,
            images=row.images,
            read_off=row.id in told,
            leaking=row.leaking,
            outcome=outcome(*labelled(session, row), limits),
        )
        for row in rows
    ]


def not_asked(session: Session, point: OperatingPoint) -> list[str]:
    """The accepted runtimes that have not scored the images that the limits were read off: it may not hold for them."""
    if point.evaluation_id is None:
        return []
    source = evaluations.get(session, point.evaluation_id)
    asked = {name_of(row.engine, row.precision) for row in (source, *_by_others(session, source))}
    return [row.name for row in runtimes.accepted(session, point.checkpoint_id) if row.name not in asked]


def fields(point: OperatingPoint, gives: Sequence[Gives] = (), lacking: Sequence[str] = ()) -> dict[str, Any]:
    """For scripts."""
    return {
        **point_facts(point),
        "runtimes_not_asked": list(lacking),
        "gives": [_gives(each) for each in gives],
    }


def printed(point: OperatingPoint, gives: Sequence[Gives], lacking: Sequence[str] = ()) -> str:
    """For a person; `lacking`: the runtimes that were not asked."""
    review = "" if point.pass_below == point.fail_from else ", REVIEW between"
    lines = [
        f"Operating point {point.id}, version {point.version} of model {shown(point.checkpoint.name)}: "
        f"PASS below {point.pass_below!r}, FAIL from {point.fail_from!r}{review}",
        f"{point.origin}{_targets(point.targets)}; {shown(operating_points.approval_words(point))}",
    ]
    if point.approval is not None:
        lines.append(f"because: {shown(point.approval.reason)}")
    lines += [
        f"NOT SHOWN for scans by the runtime {name}, which has not scored the images that the limits were read off. "
        f"To see: inspectq evaluate {shown(point.checkpoint.name)} DIR --split {gives[0].split} --runtime {name}, then "
        "propose again"
        for name in lacking
    ]
    for each in gives:
        found = each.outcome
        images = found.defective + found.good
        reviewed = found.defective_reviewed + found.good_reviewed
        which = "all" if each.split == "all" else f"the {each.split}"
        lines += [
            "",
            f"on {which} images, evaluation e{each.evaluation} ({each.engine} {each.precision})",
            f"  missed        {_rate(found.missed, found.defective)} defective"
            f"{_kept(point, 'max_miss_rate', found.missed, found.defective)}",
            f"  false alarms  {_rate(found.alarms, found.good)} good"
            f"{_kept(point, 'max_false_alarm_rate', found.alarms, found.good)}",
            f"  to review     {_rate(reviewed, images)} images",
            f"  {leaking_words(each.leaking, each.images, each.split)}",
        ]
    if gives:
        lines += ["", "(at most: the exact one-sided 95% bound)"]
    return "\n".join(lines)


def _validation(session: Session, checkpoint: Checkpoint) -> Evaluation:
    for row in evaluations.newest_by_runtime(session, checkpoint.id, "validation"):
        return row
    raise Refused(
        f"Model {checkpoint.name} has no validation scores: it was trained without a validation part. Evaluate it on "
        "labelled images that it has not seen (inspectq evaluate MODEL DIR --split all) and name that evaluation: "
        "--evaluation eN"
    )


def _by_others(session: Session, source: Evaluation) -> list[Evaluation]:
    """The newest evaluation of the same images by each other runtime that scans may use."""
    usable = _usable(session, source.checkpoint_id)
    rows = evaluations.newest_by_runtime(
        session, source.checkpoint_id, source.split, dataset_id=source.dataset_snapshot_id
    )
    made_by = (source.engine, source.precision)
    return [
        row for row in rows if (row.engine, row.precision) != made_by and name_of(row.engine, row.precision) in usable
    ]


def _usable(session: Session, checkpoint_id: int) -> set[str | None]:
    """The runtimes that may judge a scan: what a refused one would have said is nobody's concern."""
    return {REFERENCE, *(row.name for row in runtimes.accepted(session, checkpoint_id))}


def _refuse_seen(checkpoint: Checkpoint, source: Evaluation) -> None:
    if source.checkpoint_id != checkpoint.id:
        raise Refused(f"Evaluation e{source.id} is of another model than {checkpoint.name}.")
    own = checkpoint.training_run.dataset_snapshot_id == source.dataset_snapshot_id
    if own and source.split != "validation":
        seen = {"test": "what it was tested on", "folds": "other models of its recipe"}
        what = seen.get(source.split, "images that it has learned from")
        raise Refused(
            f"Evaluation e{source.id} is of {what}: limits that are read off those cannot be trusted. "
            "Use its validation images, or another data set."
        )
    # Its own validation part is drawn so that no twin or group is parted: what is counted there lies on the border of
    # likeness, is shown with the limits, and is nothing that another data set would mend.
    if source.leaking and not own:
        raise Refused(
            f"Evaluation e{source.id} leaks: the model knows {source.leaking} of its {source.images} images from its "
            "training, and limits that are read off those cannot be trusted. Take these images out of "
            f"{source.dataset.root}, evaluate the others, and name that evaluation."
        )


def _gives(each: Gives) -> dict[str, Any]:
    found = each.outcome
    return {
        "evaluation": f"e{each.evaluation}",
        "split": each.split,
        "engine": each.engine,
        "precision": each.precision,
        "leaking": each.leaking,
        **asdict(found),
        "miss_rate_bound": upper_bound(found.missed, found.defective),
        "false_alarm_rate_bound": upper_bound(found.alarms, found.good),
    }


def _rate(part: int, whole: int) -> str:
    if whole == 0:
        return "none of 0"
    return f"{part} of {whole}: {part / whole:.2%}, at most {upper_bound(part, whole):.2%} of the"


def _kept(point: OperatingPoint, target: str, part: int, whole: int) -> str:
    """Whether these images show what the limits were proposed for: another runtime's scores are others."""
    most = (point.targets or {}).get(target)
    return "" if most is None or upper_bound(part, whole) <= most else f" ({most:g} is NOT shown)"


def _targets(targets: dict[str, Any] | None) -> str:
    named = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in (targets or {}).items())
    return f" ({named})" if named else ""
