"""Are limits versioned and never edited, and is the version that counts the one that was approved last?"""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from db import operating_points
from db.engine import Engine, Session, writing
from db.errors import NotFound, Refused
from db.models import AuditEvent, Checkpoint, OperatingPoint
from tests.rows import add_model


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with writing(engine) as session:
        add_model(session)
    with writing(engine) as session:
        yield session


def model(session: Session) -> Checkpoint:
    return session.scalars(select(Checkpoint)).one()


def proposed(session: Session, pass_below: float = 0.2, fail_from: float = 0.6) -> OperatingPoint:
    return operating_points.propose(
        session,
        model(session),
        pass_below=pass_below,
        fail_from=fail_from,
        actor="tester",
        targets={"max_miss_rate": 0.02},
    )


def approve(session: Session, point: OperatingPoint, by: str = "M. Keller", reason: str = "Trial run 7.") -> None:
    operating_points.approve(session, operating_points.get(session, point.id), by=by, reason=reason, account="mk")


def test_a_new_model_has_the_default_limits_and_nobody_has_approved_them(session: Session) -> None:
    point = operating_points.current(session, model(session))
    assert (point.version, point.pass_below, point.fail_from, point.approval) == (1, 0.5, 0.5, None)


def test_a_proposal_counts_only_from_its_approval_on(session: Session) -> None:
    point = proposed(session)
    assert operating_points.current(session, model(session)).version == 1
    approve(session, point)
    current = operating_points.current(session, model(session))
    assert (current.id, current.version) == (point.id, 2)
    assert current.approval is not None
    assert (current.approval.approved_by, current.approval.reason, current.approval.account) == (
        "M. Keller",
        "Trial run 7.",
        "mk",
    )


def test_the_version_approved_last_counts_whatever_its_number(session: Session) -> None:
    second, third = proposed(session), proposed(session, 0.3, 0.7)
    approve(session, third)
    approve(session, second)
    assert operating_points.current(session, model(session)).id == second.id
    assert [point.version for point in operating_points.of_checkpoint(session, model(session))] == [3, 2, 1]


def test_nothing_is_approved_twice(session: Session) -> None:
    point = proposed(session)
    approve(session, point)
    with pytest.raises(Refused, match=r"approved by M\. Keller already"):
        approve(session, point, by="Somebody else")


@pytest.mark.parametrize(("by", "reason"), [("", "x"), ("x", " "), ("a\nb", "x"), ("x" * 201, "x")])
def test_an_approval_without_a_name_or_a_reason_is_none(session: Session, by: str, reason: str) -> None:
    with pytest.raises(Refused, match="needs a name"):
        approve(session, proposed(session), by=by, reason=reason)


@pytest.mark.parametrize("limits", [(0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_limits_that_are_none_are_refused(session: Session, limits: tuple[float, float]) -> None:
    with pytest.raises(Refused, match="Limits are 0"):
        proposed(session, *limits)


def test_a_version_that_is_not_there_is_said_so(session: Session) -> None:
    with pytest.raises(NotFound, match="threshold list"):
        operating_points.get(session, 99)


def test_proposal_and_approval_are_in_the_chain(session: Session) -> None:
    point = proposed(session)
    approve(session, point)
    events = session.scalars(select(AuditEvent).where(AuditEvent.action.startswith("threshold."))).all()
    assert [(event.actor, event.action) for event in events] == [
        ("tester", "threshold.propose"),
        ("mk", "threshold.approve"),
    ]
    assert events[0].details["targets"] == {"max_miss_rate": 0.02}
    assert events[1].details["by"] == "M. Keller"
    assert {event.details["operating_point"] for event in events} == {point.id}
