"""Why was this image judged as it was? The whole lineage of one verdict, for a script and for a person."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from console.evidence.facts import (
    approved_by_then,
    comparison_facts,
    evaluation_facts,
    event_facts,
    model_facts,
    point_facts,
    review_facts,
    submission_facts,
    verdict_facts,
)
from console.terminal import shown
from db.lineage import Given, Lineage, given
from db.models import Evaluation, InspectionResult
from db.operating_points import UNAPPROVED
from trainer.leakage_words import leaking_words

_MOST_EVENTS = 20  # for a person
_LONG = 20  # characters of a subject: enough of a digest to tell models apart
_LONG_DETAILS = 160  # characters; --format json has them whole


def fields(lineage: Lineage, misfits: Sequence[str]) -> dict[str, Any]:
    """For scripts: every record whole. `misfits`: what of them does not fit the chain of events."""
    found, points = lineage, lineage.points
    return {
        "does_not_fit": list(misfits),
        "verdict": verdict_facts(found.verdict, found.point),
        "revisions": [verdict_facts(row, points[row.operating_point_id]) for row in found.revisions],
        "final_disposition": found.final.value,
        "reviews": [review_facts(row) for row in found.reviews],
        "chain": [verdict_facts(row, points[row.operating_point_id]) for row in found.chain],
        "lost": found.lost,
        "image": {name: getattr(found.verdict, name) for name in ("path", "sha256", "size", "width", "height")},
        "operating_point": {
            **point_facts(found.point),
            "approved_by_then": approved_by_then(found),
            "approval_event": found.approval and found.approval.id,
        },
        "model": model_facts(found.checkpoint),
        "evaluations": [evaluation_facts(row) for row in found.evaluations],
        "later_evaluations": [evaluation_facts(row) for row in found.later_evaluations],
        "runtime": {
            "runtime": found.runtime,
            "engine": found.origin.engine,
            "precision": found.origin.precision,
            "device": found.origin.device,
            "comparison": comparison_facts(found.comparison),
        },
        "worker": found.origin.worker,
        "batch": {"sequence": found.batch.sequence, "attempt": found.batch.attempt, "faults": found.batch.faults},
        "code_version": _code_versions(found),
        "job": submission_facts(found.job),
        "origin_job": submission_facts(found.origin_job),
        "audit_events": [event_facts(event) for event in found.events],
        "audit_events_left_out": found.events_left_out,
    }


def printed(lineage: Lineage, misfits: Sequence[str]) -> str:
    """For a person: what is not to be relied on, then the verdict, then why."""
    sections = {
        **({"NOTE: this does not fit what was recorded; see inspectq audit verify": misfits} if misfits else {}),
        "Verdict": _verdict(lineage),
        **({"What people decided": _reviews(lineage)} if lineage.reviews else {}),
        "How it was given": _history(lineage),
        "Image": _image(lineage.verdict),
        "Limits": _limits(lineage),
        "Model": _model(lineage),
        "How good it is": _evaluations(lineage),
        "Runtime": _runtime(lineage),
        "Code": _code(lineage),
        "Audit events": _events(lineage),
    }
    lines = []
    for title, body in sections.items():
        lines += [title, *(f"  {shown(line)}" for line in body), ""]
    return "\n".join(lines[:-1])


def _verdict(found: Lineage) -> list[str]:
    row, point = found.verdict, found.point
    if row.score is None:
        said = f"{row.disposition.value} ({row.reason_code}): {row.detail}"
    else:
        said = (
            f"{row.disposition.value}: score {row.score!r}, PASS below {point.pass_below!r}, "
            f"FAIL from {point.fail_from!r}"
        )
    of = f", revision {row.revision} of {len(found.revisions)} verdicts" if len(found.revisions) > 1 else ""
    return [said, f"on {row.path} in {found.job.root}", f"job {row.job_id} of {found.job.submitted_by}{of}, {_at(row)}"]


def _reviews(found: Lineage) -> list[str]:
    lines = [f"so that it counts as {found.final.value}"]
    for row in found.reviews:
        said = f"{row.decision.value} by {row.reviewer}, {row.created_at.isoformat(timespec='seconds')}"
        said += f" (review {row.id}{f', taking back {row.undoes}' if row.undoes else ''})"
        said += ", without knowing score and verdict" if row.blind else ""
        said += f": {row.reason_code}" if row.reason_code else ""
        lines.append(said + (f"; {row.note}" if row.note else ""))
        if row.sha256 != found.verdict.sha256:
            lines.append(f"  about other bytes, sha256 {row.sha256}")
    return lines


def _history(found: Lineage) -> list[str]:
    lines = []
    for row, before in zip(found.chain, [*found.chain[1:], None], strict=True):
        named = f"result {row.id} (job {row.job_id}, revision {row.revision}, {_at(row)})"
        match given(row):
            case Given.REJUDGED:
                how = f"the score of result {row.rejudged_from}, judged by operating point {row.operating_point_id}"
            case Given.REUSED:
                how = f"taken over from result {row.reused_from}, an identical file's"
                how += f": {before.path} in job {before.job_id}" if before is not None else ""
            case Given.INSPECTED:
                how = f"inspected by worker {row.worker}, batch {found.batch.sequence}, attempt {found.batch.attempt}"
        lines.append(f"{named}: {how}")
    if found.lost is not None:
        lines.append(f"result {found.lost} IS NOT THERE: the chain is broken. See inspectq audit verify")
    in_chain = {row.id for row in found.chain}
    for row in found.revisions:
        if row.id not in in_chain:
            score = "" if row.score is None else f", score {row.score!r}"
            lines.append(f"before: revision {row.revision}, {row.disposition.value}{score}, {_at(row)}")
    return lines


def _image(row: InspectionResult) -> list[str]:
    if row.sha256 is None:
        return ["its bytes could not be read"]
    pixels = "" if row.width is None else f", {row.width} x {row.height} pixels"
    return [f"sha256 {row.sha256}", f"{row.size} bytes{pixels}"]


def _limits(found: Lineage) -> list[str]:
    point, approval = found.point, found.point.approval
    targets = ", ".join(f"{name} {value}" for name, value in (point.targets or {}).items())
    lines = [
        f"operating point {point.id}, version {point.version}, {point.origin}{f' ({targets})' if targets else ''}"
        + (f", proposed by {point.proposed_by}" if point.proposed_by else "")
        + (f", read off evaluation e{point.evaluation_id}" if point.evaluation_id else "")
    ]
    if not approved_by_then(found):
        lines.append(f"{UNAPPROVED} when the verdict was given")
    if approval is not None:
        lines.append(f"approved by {approval.approved_by} on {approval.approved_at.isoformat()}: {approval.reason}")
        if found.approval is None:
            lines.append("NO EVENT reports this approval: see inspectq audit verify")
    return lines


def _model(found: Lineage) -> list[str]:
    checkpoint = found.checkpoint
    run = checkpoint.training_run
    recipe = run.recipe
    best = "" if run.best_epoch is None else f", epoch {run.best_epoch} kept"
    libraries = ", ".join(f"{name} {number}" for name, number in run.library_versions.items())
    counts = "; ".join(
        f"{split}: {', '.join(f'{images} {label}' for label, images in of.items())}"
        for split, of in run.dataset.counts.items()
    )
    weights = recipe.get("weights_sha256")
    return [
        f"{checkpoint.name}, {checkpoint.status.value} now, {checkpoint.architecture}",
        f"digest {checkpoint.digest}",
        f"trained {run.started_at.isoformat()} to {run.finished_at.isoformat()} on {run.device}, "
        f"{len(run.history)} epochs{best}{', resumed' if run.resumed else ''}",
        f"recipe {recipe.get('name')}, seed {recipe.get('seed')}, weights {recipe.get('weights')}"
        + (f" (sha256 {weights})" if weights else "")
        + (f", {recipe['boxes']} boxes (sha256 {recipe['boxes_sha256']})" if "boxes" in recipe else ""),
        f"scores calibrated: {_words(run.calibration)}" if run.calibration else "scores not calibrated",
        f"libraries: {libraries or 'not recorded'}",
        f"data set {run.dataset.root} ({run.dataset.layout}), fingerprint {run.dataset.fingerprint}",
        f"images: {counts}",
    ]


def _evaluations(found: Lineage) -> list[str]:
    since = [
        f"made later: e{row.id}, {row.engine} {row.precision}, {row.split} of {row.dataset.root}, "
        f"{row.created_at.isoformat()}"
        for row in found.later_evaluations
    ]
    if not found.evaluations:
        when = " when the verdict was given" if since else ""
        return [f"NOT EVALUATED on images that it has not learned from{when}", *since]
    lines = []
    for row in found.evaluations:
        lines += [
            f"e{row.id}, {row.engine} {row.precision} on {row.device}: {row.images} images, {row.split} of "
            f"{row.dataset.root}, defective from a score of {row.threshold!r}, {row.created_at.isoformat()}",
            f"  {leaking_words(row.leaking, row.images, row.split)}",
            f"  missed defective parts  {_rate(row, 'miss_rate')}",
            f"  false alarms            {_rate(row, 'false_alarm_rate')}",
            f"  accuracy                {_rate(row, 'accuracy')}",
            *(f"  {cell.actual}, judged {cell.predicted}: {cell.images}" for cell in row.cells),
        ]
    if (found.evaluations[0].engine, found.evaluations[0].precision) != (found.origin.engine, found.origin.precision):
        lines.append("none of these is of the runtime that gave the verdict")
    if {found.point.pass_below, found.point.fail_from} != {found.evaluations[0].threshold}:
        lines.append(f"what the verdict's own limits make of these images: inspectq threshold show {found.point.id}")
    return lines + since


def _runtime(found: Lineage) -> list[str]:
    row, comparison = found.origin, found.comparison
    lines = [f"{found.runtime or 'unknown here'}: {row.engine} {row.precision} on {row.device}, worker {row.worker}"]
    if comparison is None:
        return [*lines, "no comparison with the reference is recorded from before the verdict"]
    if comparison.reference_evaluation_id is None:
        return [*lines, f"the reference itself, evaluation e{comparison.evaluation_id}"]
    return [
        *lines,
        f"scores differ from the reference's by at most {comparison.largest_difference:.2g} on {comparison.images} "
        f"images, {comparison.flipped} verdicts flipped; {'accepted' if comparison.accepted else 'REFUSED'}",
        f"file sha256 {comparison.file_digest}",
    ]


def _code(found: Lineage) -> list[str]:
    versions = _code_versions(found)
    evaluated = f", evaluation {versions['evaluation']}" if versions["evaluation"] else ""
    worker = "; the worker's version is not recorded"
    if versions["worker"]:
        worker = f", worker {versions['worker']} ({_words(versions['worker_libraries'])})"
    return [f"inspectq: training {versions['training']}{evaluated}{worker}"]


def _code_versions(found: Lineage) -> dict[str, Any]:
    of_worker = dict(found.added.details.get("versions") or {}) if found.added else {}
    return {
        "training": found.checkpoint.training_run.code_version,
        "evaluation": found.evaluations[0].code_version if found.evaluations else None,
        "worker": of_worker.pop("inspectq", None),  # None of before its events told
        "worker_libraries": of_worker,
        "this": version("inspectq"),
    }


def _events(found: Lineage) -> list[str]:
    newest = found.events[-_MOST_EVENTS:]
    lines = [
        f"{event.id}  {event.time.isoformat(timespec='seconds')}  {event.actor}  {event.action} "
        f"{_cut(event.subject, _LONG)}  "
        f"{_cut(_words({name: value for name, value in event.details.items() if name != 'sealed'}), _LONG_DETAILS)}"
        for event in newest
    ]
    left_out = found.events_left_out + len(found.events) - len(newest)
    return [f"{left_out} older ones are not shown", *lines] if left_out else lines


def _cut(text: str, most: int) -> str:
    return text if len(text) < most else text[: most - 1] + "…"


def _rate(row: Evaluation, name: str) -> str:
    rate, low, high = (getattr(row, column) for column in (name, f"{name}_lcl", f"{name}_ucl"))
    if rate is None:
        return "nothing is known: no such image"
    return f"{rate:.2%}" + ("" if low is None or high is None else f", with 95% confidence {low:.2%} to {high:.2%}")


def _words(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def _at(row: InspectionResult) -> str:
    return row.time.isoformat(timespec="seconds")
