"""Who asks, and may they?

Whoever reaches a console without a login is taken for whom it runs as, with every right. Otherwise a browser shows the
cookie of a session, a program an API token, or a reverse proxy that is believed names the person (proxies.py). What
people may is their role, looked up with every request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from db import people, sign_ins
from db.engine import Session, reading, writing
from db.errors import InspectqError
from db.models import ApiToken, Role, WebUser
from scheduler.submission import person

if TYPE_CHECKING:
    from console.web.context import Context

COOKIE, SECURE_COOKIE = "inspectq", "__Host-inspectq"  # the second is what a browser keeps to HTTPS, this host and /


class NotSignedIn(InspectqError):
    """Nobody knows who asks."""


class NotAllowed(InspectqError):
    """It is known who asks, and their role is not enough."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whose name stands in what is decided."""

    name: str
    account: str  # the name, and by which token
    role: Role
    user: int | None  # None: of a console without a login
    by_token: bool = False  # a program asks in their name
    has_session: bool = False  # and can sign out

    def may(self, role: str) -> bool:
        """Whether they may do what somebody of that role may."""
        return self.role.covers(Role(role))


def cookie_name(request: Request) -> str:
    """Of the session's cookie, by HTTPS or without."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def whoever_asks(request: Request) -> Person:
    """Raises NotSignedIn."""
    context = cast("Context", request.app.state.context)
    if not context.rules.login:
        account = person()
        return Person(name=account, account=account, role=Role.ADMIN, user=None)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _of_token(context, token.strip())
    with reading(context.engine) as session:
        found = _of_proxy(session, request, context.settings.web_user_header) or _of_cookie(session, request)
    if found is None:
        raise NotSignedIn("Sign in first. Programs send an API token: Authorization: Bearer …")
    return found


def _of_token(context: "Context", token: str) -> Person:
    with reading(context.engine) as session:
        row = sign_ins.of_token(session, token)
        found = None if row is None else _with_token(row)
        is_noted = row is None or sign_ins.is_use_noted(session, row)
    if row is None or found is None:
        raise NotSignedIn("This API token is none, or is over or revoked. A new one: inspectq tokens add")
    if not is_noted:
        with writing(context.engine) as session:
            sign_ins.note_use(session, row)
    return found


def _with_token(row: ApiToken) -> Person:
    user = row.user
    role = row.role if user.role.covers(row.role) else user.role
    return Person(name=user.name, account=f"{user.name}, token {row.name}", role=role, user=user.id, by_token=True)


def _of_proxy(session: Session, request: Request, header: str) -> Person | None:
    named = request.headers.getlist(header) if header else []
    if not named or not named[0]:
        return None
    if len(named) > 1:  # one of them is not the proxy's
        raise NotSignedIn(f"The proxy hands on two headers {header}. It has to replace the one that comes in.")
    user = people.signing_in(session, named[0])
    if user is None:
        raise NotAllowed("Whom the proxy names may not sign in here. An admin adds people: inspectq users add")
    return _of_user(user)


def _of_cookie(session: Session, request: Request) -> Person | None:
    token = request.cookies.get(cookie_name(request))
    user = sign_ins.signed_in(session, token) if token else None
    return None if user is None else _of_user(user, has_session=True)


def _of_user(user: WebUser, *, has_session: bool = False) -> Person:
    return Person(name=user.name, account=user.name, role=user.role, user=user.id, has_session=has_session)


Looking = Annotated[Person, Depends(whoever_asks)]


def _at_least(role: Role) -> Callable[[Person], Person]:
    def allowed(looking: Looking) -> Person:
        if not looking.role.covers(role):
            raise NotAllowed(f"This takes the role {role.value}; {looking.name} is {looking.role.value} here.")
        return looking

    return allowed


Inspecting = Annotated[Person, Depends(_at_least(Role.INSPECTOR))]
Approving = Annotated[Person, Depends(_at_least(Role.APPROVER))]
Administering = Annotated[Person, Depends(_at_least(Role.ADMIN))]


def _in_person(looking: Looking) -> Person:
    if looking.by_token:
        raise NotAllowed("A token cannot do this: a program that was taken over must not make itself at home.")
    return looking


def _administering_in_person(looking: Administering) -> Person:
    return _in_person(looking)


InPerson = Annotated[Person, Depends(_in_person)]
AdministeringInPerson = Annotated[Person, Depends(_administering_in_person)]
