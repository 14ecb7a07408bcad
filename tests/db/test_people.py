"""Are people let in, changed and shut out as an operator says, and does nobody lock everybody out?"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from db import people, sign_ins
from db.engine import Engine, Session, reading, writing
from db.errors import NotFound, Refused
from db.models import ApiToken, AuditEvent, Role


@pytest.fixture
def anna(engine: Engine) -> None:
    """The only admin."""
    with writing(engine) as session:
        people.add(session, "anna", Role.ADMIN, by="operator")


def refused(engine: Engine, change: Callable[[Session], object]) -> str:
    with pytest.raises(Refused) as caught, writing(engine) as session:
        change(session)
    return str(caught.value)


@pytest.mark.parametrize("name", ["", " ", " anna", "anna ", "an\nna", "\u202eanna", "a" * 91])
def test_a_name_that_could_be_mistaken_is_refused(engine: Engine, name: str) -> None:
    assert "printable characters" in refused(engine, lambda s: people.add(s, name, Role.VIEWER, by="x"))


@pytest.mark.usefixtures("anna")
def test_a_name_is_one_persons_for_ever(engine: Engine) -> None:
    assert "There is a person anna" in refused(engine, lambda s: people.add(s, "anna", Role.VIEWER, by="x"))


@pytest.mark.usefixtures("anna")
def test_the_only_admin_stays_one(engine: Engine) -> None:
    def demote(session: Session) -> None:
        people.set_role(session, people.find(session, "anna"), Role.VIEWER, by="x")

    def shut_out(session: Session) -> None:
        people.set_active(session, people.find(session, "anna"), False, by="x")

    with writing(engine) as session:
        people.set_role(session, people.find(session, "anna"), Role.ADMIN, by="x")  # changes nothing
    for change in (demote, shut_out):
        assert "is the only admin" in refused(engine, change)
    with writing(engine) as session:
        people.add(session, "ben", Role.ADMIN, by="x")
        demote(session)
    with reading(engine) as session:
        assert people.find(session, "anna").role is Role.VIEWER


@pytest.mark.usefixtures("anna")
def test_two_admins_who_shut_each_other_out_at_the_same_moment_leave_one(engine: Engine) -> None:
    with writing(engine) as session:
        people.add(session, "ben", Role.ADMIN, by="x")
    both_look = threading.Barrier(2)

    def shut_out(name: str) -> bool:
        try:
            with writing(engine) as session:
                if engine.dialect.name == "postgresql":  # SQLite lets one writer begin at a time
                    people.find(session, name)
                    both_look.wait(30)
                people.set_active(session, people.find(session, name), False, by="x")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(shut_out, ["anna", "ben"])) == [False, True]


@pytest.mark.usefixtures("anna")
def test_what_was_changed_about_whom_is_in_the_chain(engine: Engine) -> None:
    with writing(engine) as session:
        ben = people.add(session, "ben", Role.VIEWER, by="anna")
        people.set_role(session, ben, Role.INSPECTOR, by="anna")
        people.set_role(session, ben, Role.INSPECTOR, by="anna")  # changes nothing, and says nothing
        people.set_password(session, ben, "hash", by="anna")
        people.set_active(session, ben, False, by="anna")
        people.set_active(session, ben, True, by="anna")
    with reading(engine) as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.subject == "user:2").order_by(AuditEvent.id)).all()
        assert [event.action for event in events] == [
            "user.add",
            "user.role",
            "user.password",
            "user.shut-out",
            "user.let-in",
        ]
        assert events[1].details == {"name": "ben", "role": "inspector", "before": "viewer"}
        assert "hash" not in str([event.details for event in events])


@pytest.mark.usefixtures("anna")
def test_a_token_holds_until_its_day_or_until_it_is_revoked(engine: Engine) -> None:
    with writing(engine) as session:
        user = people.find(session, "anna")
        lasting = sign_ins.add_token(session, user, "lasting", Role.VIEWER, days=None, by="x")
        over = sign_ins.add_token(session, user, "over", Role.VIEWER, days=0, by="x")
        soon = sign_ins.add_token(session, user, "soon", Role.VIEWER, days=1, by="x")
    with reading(engine) as session:
        assert sign_ins.of_token(session, over) is None
        assert sign_ins.of_token(session, "iq_nonsense") is None
        assert [row.name for row in sign_ins.tokens(session, holding=True)] == ["soon", "lasting"]
        found = sign_ins.of_token(session, lasting)
        assert found is not None
        assert not sign_ins.is_use_noted(session, found)
    with writing(engine) as session:
        sign_ins.note_use(session, found)
        assert sign_ins.is_use_noted(session, found)
        row = sign_ins.of_token(session, soon)
        assert row is not None
        sign_ins.revoke(session, row, by="x")
    assert "revoked already" in refused(engine, lambda s: sign_ins.revoke(s, s.get_one(ApiToken, 3), by="x"))
    with reading(engine) as session:
        assert sign_ins.of_token(session, soon) is None
        with pytest.raises(NotFound):
            sign_ins.get_token(session, 99)


@pytest.mark.usefixtures("anna")
def test_a_token_is_never_more_than_its_person(engine: Engine) -> None:
    def more(session: Session) -> None:
        user = people.add(session, "vic", Role.VIEWER, by="x")
        sign_ins.add_token(session, user, "t", Role.ADMIN, days=1, by="x")

    assert "cannot be admin" in refused(engine, more)


def test_every_role_may_what_those_before_it_may() -> None:
    order = [Role.VIEWER, Role.INSPECTOR, Role.APPROVER, Role.ADMIN]
    for rank, role in enumerate(order):
        assert [role.covers(other) for other in order] == [other_rank <= rank for other_rank in range(4)]
