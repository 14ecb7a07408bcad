"""By which limits are a checkpoint's scores judged, what are they meant to keep, and who approved them?

Versions are only ever added, and so are approvals. The approved version that was approved last is the current one.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from db import audit
from db.errors import NotFound, Refused
from db.models import AuditEvent, Checkpoint, Evaluation, OperatingPoint, OperatingPointApproval
from db.seals import seal

DEFAULT_LIMIT = 0.5
UNAPPROVED = "UNAPPROVED"
_LONGEST_NAME = 200


def add_default(session: Session, checkpoint: Checkpoint) -> OperatingPoint:
    """The first version of a new checkpoint: FAIL from a score of 0.5, which nobody has approved."""
    return _add(session, checkpoint, version=1, pass_below=DEFAULT_LIMIT, fail_from=DEFAULT_LIMIT, origin="default")


def propose(
    session: Session,
    checkpoint: Checkpoint,
    *,
    pass_below: float,
    fail_from: float,
    actor: str,
    targets: dict[str, Any] | None = None,
    evaluation: Evaluation | None = None,
    others: Sequence[Evaluation] = (),
) -> OperatingPoint:
    """The next version: read off `evaluation`'s scores to keep `targets`, or, without those, set by hand.

    `others`: of the same images by other runtimes, for which the targets are kept as well; the event names them.
    """
    if not 0 <= pass_below <= fail_from <= 1:
        raise Refused(f"Limits are 0 <= PASS below <= FAIL from <= 1: {pass_below:g} and {fail_from:g} are none.")
    newest = session.scalar(
        select(func.max(OperatingPoint.version)).where(OperatingPoint.checkpoint_id == checkpoint.id)
    )
    point = _add(
        session,
        checkpoint,
        version=(newest or 0) + 1,
        pass_below=pass_below,
        fail_from=fail_from,
        origin="by hand" if targets is None else "targets",
        targets=targets,
        evaluation_id=None if evaluation is None else evaluation.id,
        proposed_by=actor,
    )
    audit.record(
        session,
        actor=actor,
        action="threshold.propose",
        subject=f"model:{checkpoint.digest}",
        operating_point=point.id,
        version=point.version,
        pass_below=pass_below,
        fail_from=fail_from,
        targets=targets,
        evaluations=[row.id for row in (evaluation, *others) if row is not None],
        sealed=[seal(session, "operating_point", point.id)],
    )
    return point


def approve(session: Session, point: OperatingPoint, *, by: str, reason: str, account: str) -> OperatingPointApproval:
    """Make it the current one. Raises Refused where it is approved already, or a name or a reason is missing."""
    by, reason = by.strip(), reason.strip()
    if not by or not reason or len(by) > _LONGEST_NAME or not by.isprintable():
        raise Refused(f"An approval needs a name of at most {_LONGEST_NAME} printable characters, and a reason.")
    if point.approval is not None:
        raise Refused(
            f"Operating point {point.id} was approved by {point.approval.approved_by} already. "
            "To return to its limits, propose them anew."
        )
    approval = OperatingPointApproval(operating_point_id=point.id, approved_by=by, reason=reason, account=account)
    session.add(approval)
    session.flush()
    audit.record(
        session,
        actor=account,
        action="threshold.approve",
        subject=f"model:{point.checkpoint.digest}",
        operating_point=point.id,
        pass_below=point.pass_below,
        fail_from=point.fail_from,
        by=by,
        reason=reason,
        sealed=[seal(session, "operating_point_approval", approval.id)],
    )
    session.refresh(point)
    return approval


def approval_event(session: Session, point: OperatingPoint) -> AuditEvent | None:
    """The event that reports its approval, whose time nobody can write into the past; None where there is none."""
    if point.approval is None:
        return None
    about = (AuditEvent.subject == f"model:{point.checkpoint.digest}", AuditEvent.action == "threshold.approve")
    for event in session.scalars(select(AuditEvent).where(*about).order_by(AuditEvent.id)):
        if event.details.get("operating_point") == point.id:
            return event
    return None


def get(session: Session, point: int) -> OperatingPoint:
    """An operating point with its approval and its checkpoint. Raises NotFound."""
    found = session.scalar(_whole().where(OperatingPoint.id == point))
    if found is None:
        raise NotFound(f"There is no operating point {point}. `inspectq threshold list MODEL` shows those there are.")
    return found


def current(session: Session, checkpoint: Checkpoint) -> OperatingPoint:
    """The version that was approved last; while none is, the default one."""
    own = _whole().where(OperatingPoint.checkpoint_id == checkpoint.id)
    approved = own.join(OperatingPointApproval).order_by(OperatingPointApproval.id.desc()).limit(1)
    return session.scalar(approved) or session.scalars(own.order_by(OperatingPoint.version).limit(1)).one()


def chosen(session: Session, checkpoint: Checkpoint, point: int | None) -> OperatingPoint:
    """The one that a person named, or the current one. Raises NotFound, and Refused where it is another model's."""
    if point is None:
        return current(session, checkpoint)
    found = get(session, point)
    if found.checkpoint_id != checkpoint.id:
        raise Refused(f"Operating point {point} is of another model than {checkpoint.name}.")
    return found


def of_checkpoint(session: Session, checkpoint: Checkpoint) -> Sequence[OperatingPoint]:
    """All versions, newest first."""
    query = _whole().where(OperatingPoint.checkpoint_id == checkpoint.id)
    return session.scalars(query.order_by(OperatingPoint.version.desc())).all()


def approval_words(point: OperatingPoint) -> str:
    """Who answers for it, or that nobody does."""
    if point.approval is None:
        return UNAPPROVED
    return f"approved by {point.approval.approved_by} on {point.approval.approved_at:%Y-%m-%d %H:%M} UTC"


def _whole() -> Select[OperatingPoint]:
    return select(OperatingPoint).options(joinedload(OperatingPoint.approval), joinedload(OperatingPoint.checkpoint))


def _add(session: Session, checkpoint: Checkpoint, **values: Any) -> OperatingPoint:
    point = OperatingPoint(checkpoint_id=checkpoint.id, **values)
    session.add(point)
    session.flush()
    return point
