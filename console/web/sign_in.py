"""The door: signing in with a name and a password, and signing out."""

import logging
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console import hashing
from console.web.attempts import MINUTES
from console.web.context import Context, Open, Shared
from console.web.people import NotAllowed, NotSignedIn, cookie_name, whoever_asks
from db import people, sign_ins
from db.engine import reading, writing
from db.errors import Refused, ServiceAway

log = logging.getLogger(__name__)
router = APIRouter()


@router.get("/login", response_class=HTMLResponse)
def show(context: Open, request: Request, next: str = "") -> Response:
    try:
        whoever_asks(request)
    except (NotSignedIn, NotAllowed):
        return _page(context, next)
    return RedirectResponse(_within(next), status_code=303)


@router.post("/login", response_class=HTMLResponse)
def sign_in(
    context: Open,
    request: Request,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=hashing.LONGEST)] = "",
    next: Annotated[str, Form()] = "",
) -> Response:
    name, place = name.strip(), request.client.host if request.client else ""
    if not context.attempts.allow(name, place):
        log.warning("too many tries to sign in from %s", place)
        refused = _page(context, next, status=429, problem=f"Too many tries. Wait {MINUTES} minutes.")
        refused.headers["Retry-After"] = str(MINUTES * 60)
        return refused
    token = _token(context, name, password)
    if token is None:  # the log has no name: people type their password there, too
        log.warning("a wrong name or password from %s", place)
        return _page(context, next, status=401, problem="The name or the password is not right.")
    context.attempts.forgive(name, place)
    answer = RedirectResponse(_within(next), status_code=303)
    answer.set_cookie(
        cookie_name(request),
        token,
        max_age=sign_ins.SESSION_SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",  # strict would ask whoever follows a link from a message to sign in again
    )
    return answer


@router.post("/logout")
def sign_out(context: Shared, request: Request) -> Response:
    token = request.cookies.get(cookie_name(request), "")
    with writing(context.engine) as session:
        sign_ins.end(session, token)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(cookie_name(request), path="/", secure=request.url.scheme == "https", httponly=True)
    return answer


def _token(context: Context, name: str, password: str) -> str | None:
    """Of a new session, where the password is that person's."""
    with reading(context.engine) as session:
        user = people.signing_in(session, name)
        kept = None if user is None else people.password_hash(session, user)
    if not hashing.fits(password, kept) or user is None or kept is None:
        return None
    better = None
    if hashing.is_outdated(kept):
        with suppress(Refused, ServiceAway):  # the old one fits as well, and the next time is another chance
            better = hashing.hashed(password)
    with writing(context.engine) as session:
        found = people.get(session, user.id)
        people.lock(session, found)  # anew: hashing takes long enough to be shut out meanwhile
        if not found.is_active or people.password_hash(session, found) != kept:
            return None
        if better is not None:
            people.rehash(session, found, better)
        return sign_ins.begin(session, found)


def _page(context: Context, next: str, *, status: int = 200, problem: str = "") -> HTMLResponse:
    with reading(context.engine) as session:
        any_there = people.any_there(session)
    return context.page("login.html.j2", status=status, next=_within(next), problem=problem, any_there=any_there)


def _within(address: str) -> str:
    """Where to go after signing in: a page of this server, whatever a link has said."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/jobs"
    is_ours = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith("//")
    return address if is_ours and address.isprintable() and "\\" not in address else "/jobs"
