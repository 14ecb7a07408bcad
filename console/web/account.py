"""The pages about people: one's own password and tokens, and, for admins, who may sign in as what."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console import hashing
from console.web.attempts import MINUTES
from console.web.context import Context, Number, Shared
from console.web.people import AdministeringInPerson, InPerson, NotAllowed, Person
from db import people, sign_ins
from db.engine import Session, reading, writing
from db.errors import InspectqError, Refused
from db.models import Role, WebUser

router = APIRouter()


@router.get("/account", response_class=HTMLResponse)
def show_account(context: Shared, looking: InPerson) -> HTMLResponse:
    return _account(context, looking)


@router.post("/account/password", response_class=HTMLResponse)
def change_password(
    context: Shared,
    looking: InPerson,
    current: Annotated[str, Form(max_length=hashing.LONGEST)] = "",
    new: Annotated[str, Form(max_length=hashing.LONGEST)] = "",
) -> Response:
    """Signs out everywhere, here as well: whoever knew the one before is out."""
    place = f"account {looking.user}"
    try:
        if not context.attempts.allow(looking.name, place):
            raise Refused(f"Too many tries. Wait {MINUTES} minutes.")
        with reading(context.engine) as session:
            kept = people.password_hash(session, _own(session, looking))
        if not hashing.fits(current, kept):
            raise Refused("That is not the password that holds now.")
        made = hashing.hashed(new)
        with writing(context.engine) as session:
            people.set_password(session, _own(session, looking), made, by=looking.account)
    except Refused as problem:
        return _account(context, looking, status=422, problem=str(problem))
    context.attempts.forgive(looking.name, place)
    return RedirectResponse("/login", status_code=303)


@router.post("/account/tokens", response_class=HTMLResponse)
def add_token(
    context: Shared,
    looking: InPerson,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    days: Annotated[int, Form(ge=1, le=3650)] = 365,
) -> HTMLResponse:
    """The answer has the token, and nothing later has."""
    try:
        with writing(context.engine) as session:
            token = sign_ins.add_token(session, _own(session, looking), name, role, days=days, by=looking.account)
    except InspectqError as problem:
        return _account(context, looking, status=422, problem=str(problem))
    return _account(context, looking, token=token)


@router.post("/tokens/{token}/revoke")
def revoke_token(context: Shared, looking: InPerson, token: Number) -> Response:
    with writing(context.engine) as session:
        row = sign_ins.get_token(session, token)
        if row.user_id != looking.user and not looking.may(Role.ADMIN):
            raise NotAllowed("Tokens are revoked by whom they belong to, or by an admin.")
        sign_ins.revoke(session, row, by=looking.account)
        own = row.user_id == looking.user
    return RedirectResponse("/account" if own else "/people", status_code=303)


@router.get("/people", response_class=HTMLResponse)
def list_people(context: Shared, looking: AdministeringInPerson) -> HTMLResponse:
    return _people(context)


@router.post("/people", response_class=HTMLResponse)
def add_person(
    context: Shared,
    looking: AdministeringInPerson,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    password: Annotated[str, Form(max_length=hashing.LONGEST)] = "",
) -> Response:
    """Without a password: somebody whom a proxy names."""
    try:
        made = hashing.hashed(password) if password else None
        with writing(context.engine) as session:
            user = people.add(session, name.strip(), role, by=looking.account)
            if made is not None:
                people.set_password(session, user, made, by=looking.account)
    except InspectqError as problem:
        return _people(context, status=422, problem=str(problem))
    return RedirectResponse("/people", status_code=303)


@router.post("/people/{user}", response_class=HTMLResponse)
def change_person(
    context: Shared,
    looking: AdministeringInPerson,
    user: Number,
    role: Annotated[Role | None, Form()] = None,
    active: Annotated[bool | None, Form()] = None,
    password: Annotated[str, Form(max_length=hashing.LONGEST)] = "",
) -> Response:
    """Whatever of the three is given."""
    try:
        made = hashing.hashed(password) if password else None
        with writing(context.engine) as session:
            found = people.get(session, user)
            if role is not None:
                people.set_role(session, found, role, by=looking.account)
            if active is not None:
                people.set_active(session, found, active, by=looking.account)
            if made is not None:
                people.set_password(session, found, made, by=looking.account)
    except Refused as problem:
        return _people(context, status=422, problem=str(problem))
    return RedirectResponse("/people", status_code=303)


def _account(context: Context, looking: Person, *, status: int = 200, **told: str) -> HTMLResponse:
    with reading(context.engine) as session:
        user = _own(session, looking)
        values: dict[str, Any] = {
            "user": user,
            "has_password": people.password_hash(session, user) is not None,
            "tokens": sign_ins.tokens(session, user, holding=True),
            "roles": [role.value for role in Role if user.role.covers(role)],
            "shortest": hashing.SHORTEST,
            "token": "",
            "problem": "",
        }
        return context.page("account.html.j2", status=status, section="account", **(values | told))


def _people(context: Context, *, status: int = 200, problem: str = "") -> HTMLResponse:
    with reading(context.engine) as session:
        found = people.every(session)
        values = {
            "people": found,
            "with_password": people.with_password(session),
            "tokens": sign_ins.tokens(session, holding=True),
            "roles": [role.value for role in Role],
            "shortest": hashing.SHORTEST,
            "problem": problem,
        }
        return context.page("people.html.j2", status=status, section="people", **values)


def _own(session: Session, looking: Person) -> WebUser:
    if looking.user is None:
        raise Refused("Nobody signs in to this console, so nobody has a password or a token. See INSPECTQ_WEB_LOGIN.")
    return people.get(session, looking.user)
