"""Who may sign in, as what, and who decided that?

A person is added, changed and shut out, never removed. Each of these is an event. How a password becomes a hash is not
this module's business (console/hashing.py): it keeps what it is given.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, sign_ins
from db.clock import database_now
from db.engine import rows_changed
from db.errors import NotFound, Refused
from db.models import Role, WebPassword, WebUser

_LONGEST_NAME = 90  # with that of a token it stands in records, which have room for 200


def add(session: Session, name: str, role: Role, *, by: str) -> WebUser:
    """A new person, without a password yet. Raises Refused."""
    if name != name.strip() or not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Refused(f"A name has at most {_LONGEST_NAME} printable characters, and none that is blank at either end.")
    if _found(session, name) is not None:
        raise Refused(f"There is a person {name} already: inspectq users list")
    user = WebUser(name=name, role=role, created_by=by)
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:  # at the same moment somebody else
        raise Refused(f"There is a person {name} already: inspectq users list") from error
    _record(session, user, "add", by, role=role.value)
    return user


def find(session: Session, name: str) -> WebUser:
    """By name. Raises NotFound."""
    user = _found(session, name)
    if user is None:
        raise NotFound(f"There is no person {name}. Those there are: inspectq users list")
    return user


def get(session: Session, number: int) -> WebUser:
    """By number. Raises NotFound."""
    user = session.get(WebUser, number)
    if user is None:
        raise NotFound(f"There is no person {number}.")
    return user


def signing_in(session: Session, name: str) -> WebUser | None:
    """The person of that name who may sign in; None where there is none, or is shut out."""
    user = _found(session, name)
    return user if user is not None and user.is_active else None


def every(session: Session) -> Sequence[WebUser]:
    """In the order of their names."""
    return session.scalars(select(WebUser).order_by(WebUser.name)).all()


def refuse_unable(session: Session, names: Iterable[str], role: Role) -> None:
    """Raise Refused where somebody of these may not sign in as `role`, and could never do what is asked of them."""
    for name in names:
        user = signing_in(session, name)
        if user is None or not user.role.covers(role):
            raise Refused(f"{name} may not sign in as {role.value}: inspectq users list shows who may, and as what.")


def any_there(session: Session) -> bool:
    """Whether anybody may sign in."""
    return bool(session.scalar(select(select(WebUser.id).where(WebUser.is_active).exists())))


def set_role(session: Session, user: WebUser, role: Role, *, by: str) -> None:
    """Give another role, which holds from the next request on. Raises Refused where no admin would be left."""
    if role is not Role.ADMIN:
        _keep_an_admin(session, user)
    lock(session, user)
    if role is user.role:
        return
    before, user.role = user.role, role
    _record(session, user, "role", by, role=role.value, before=before.value)


def set_active(session: Session, user: WebUser, active: bool, *, by: str) -> None:
    """Shut out, which ends every session at once, or let in again. Raises Refused where no admin would be left."""
    if not active:
        _keep_an_admin(session, user)
    lock(session, user)
    if active == user.is_active:
        return
    if not active:
        sign_ins.end_all(session, user)
    user.is_active = active
    _record(session, user, "let-in" if active else "shut-out", by)


def set_password(session: Session, user: WebUser, password_hash: str, *, by: str) -> None:
    """Another password; whoever has signed in with the one before is signed out."""
    lock(session, user)
    values = {"hash": password_hash, "changed_at": database_now()}
    changed = update(WebPassword).where(WebPassword.user_id == user.id).values(values)
    if rows_changed(session, changed.execution_options(synchronize_session=False)) == 0:
        session.execute(insert(WebPassword).values(user_id=user.id, **values))
    sign_ins.end_all(session, user)
    _record(session, user, "password", by)


def lock(session: Session, user: WebUser) -> None:
    """As the person is now, and until this transaction ends: nobody signs in while they are shut out."""
    session.flush()
    session.refresh(user, with_for_update=True)


def rehash(session: Session, user: WebUser, password_hash: str) -> None:
    """The same password, hashed as is held to be right by now."""
    session.get_one(WebPassword, user.id).hash = password_hash


def password_hash(session: Session, user: WebUser) -> str | None:
    """None: the person has no password, and comes by a proxy or by tokens alone."""
    row = session.get(WebPassword, user.id)
    return None if row is None else row.hash


def with_password(session: Session) -> set[int]:
    """The numbers of those who have one."""
    return set(session.scalars(select(WebPassword.user_id)))


def _found(session: Session, name: str) -> WebUser | None:
    return session.scalar(select(WebUser).where(WebUser.name == name))


def _keep_an_admin(session: Session, user: WebUser) -> None:
    # All of them, in one order: of two admins who shut each other out at the same moment the second one is refused.
    admins = select(WebUser.id).where(WebUser.role == Role.ADMIN, WebUser.is_active)
    session.scalars(admins.order_by(WebUser.id).with_for_update()).all()
    lock(session, user)
    if user.role is not Role.ADMIN or not user.is_active:
        return
    others = (WebUser.role == Role.ADMIN, WebUser.is_active, WebUser.id != user.id)
    if not session.scalar(select(func.count()).select_from(WebUser).where(*others)):
        raise Refused(f"{user.name} is the only admin. Make somebody else one first.")


def _record(session: Session, user: WebUser, what: str, by: str, **details: str) -> None:
    audit.record(session, actor=by, action=f"user.{what}", subject=f"user:{user.id}", name=user.name, **details)
