"""Is what was dated back named, although its event, its digest and every trigger are as they should be?"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select

from db import audit, operating_points
from db.engine import Engine, Session, reading, writing
from db.models import AuditEvent, Base, OperatingPointApproval
from db.moments import Order
from db.seals import seal
from db.verification import Verification
from tests.rows import add_job, add_model, inspect_all

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def said(engine: Engine) -> list[str]:
    with reading(engine) as session:
        assert audit.verify(session).broken_at is None
        return [misfit.says for misfit in Verification(session=session).misfits()]


def approve_long_ago(session: Session, point: int) -> None:
    """As a service could that was taken over: it may add to approvals and events."""
    approval = OperatingPointApproval(
        operating_point_id=point, approved_by="A. Nother", reason="x", account="root", approved_at=LONG_AGO
    )
    session.add(approval)
    session.flush()
    sealed = [seal(session, "operating_point_approval", approval.id)]
    audit.record(session, actor="root", action="threshold.approve", subject="model:x", sealed=sealed)


def test_an_approval_that_is_older_than_its_event_is_named(engine: Engine) -> None:
    with writing(engine) as session:
        add_model(session)
        approve_long_ago(session, 1)
    (only,) = said(engine)
    assert only.startswith("Approval 1 says 2026-01-01T00:00:00+00:00, but event 4 reported it at ")


def test_an_event_that_is_older_than_the_one_before_it_is_named(engine: Engine) -> None:
    add_job(engine, [["a.jpg"]])
    inspect_all(engine)
    with writing(engine) as session:
        previous = session.scalar(select(AuditEvent.digest).order_by(AuditEvent.id.desc()).limit(1))
        content = {"time": LONG_AGO, "actor": "M. Keller", "action": "noted", "subject": "job:1", "details": {}}
        covered = audit.digest(previous or "", *content.values())  # type: ignore[arg-type]
        session.execute(insert(Base.metadata.tables["audit_event"]), content | {"digest": covered})
    (only,) = said(engine)
    assert only.startswith("Event 7 says 2026-01-01T00:00:00+00:00, although event 6 of ")


def test_what_is_recorded_in_its_time_is_not(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session)
        operating_points.approve(
            session, operating_points.current(session, model), by="M. Keller", reason="Trial run 7", account="tester"
        )
    assert said(engine) == []


def test_a_clock_that_was_put_right_by_seconds_breaks_no_order() -> None:
    order, noon = Order(), datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert [order.broken_by(n, noon - timedelta(seconds=20 * n)) for n in range(3)] == [None] * 3
    assert order.broken_by(3, noon - timedelta(seconds=101)) is not None
    assert order.broken_by(4, noon) is None
