"""Who has signed in, and which programs may ask as whom?

A browser's session and a program's token are 256 random bits each, which the database knows by their sha256 alone:
whoever reads its rows cannot sign in with them. A hash that is slow on purpose would protect no better what nobody can
guess.
"""

import hashlib
import secrets
from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit
from db.clock import database_now
from db.engine import rows_changed
from db.errors import NotFound, Refused
from db.models import ApiToken, Role, WebSession, WebUser

SESSION_SECONDS = 12 * 3600  # a long shift
TOKEN_PREFIX = "iq_"  # noqa: S105 - so that a scanner for secrets knows one when it sees it
_LONGEST_NAME = 100
_USED_SECONDS = 3600  # `used_at` is as exact as that, so that asking writes nothing most times
_HOLDS = (ApiToken.revoked_at.is_(None), ApiToken.ends_at.is_(None) | (ApiToken.ends_at > database_now()))


def begin(session: Session, user: WebUser) -> str:
    """Sign in: the token of a new session. Sessions that are over are cleared away on the way."""
    session.execute(delete(WebSession).where(WebSession.ends_at <= database_now()))
    token = secrets.token_urlsafe(32)
    ends_at = database_now(SESSION_SECONDS)
    session.execute(insert(WebSession).values(user_id=user.id, token_sha256=_digest(token), ends_at=ends_at))
    audit.record(session, actor=user.name, action="user.sign-in", subject=f"user:{user.id}")
    return token


def signed_in(session: Session, token: str) -> WebUser | None:
    """Whose session it is; None where it is over, or the person is shut out."""
    of_token = (WebSession.token_sha256 == _digest(token), WebSession.ends_at > database_now())
    return session.scalar(select(WebUser).join(WebSession).where(*of_token, WebUser.is_active))


def end(session: Session, token: str) -> None:
    """Sign out."""
    session.execute(delete(WebSession).where(WebSession.token_sha256 == _digest(token)))


def end_all(session: Session, user: WebUser) -> None:
    """Sign out everywhere."""
    session.execute(delete(WebSession).where(WebSession.user_id == user.id))


def add_token(session: Session, user: WebUser, name: str, role: Role, *, days: int | None, by: str) -> str:
    """A new token, which is told this once. It may what both `role` and the person may. Raises Refused."""
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Refused(f"A token has a name of at most {_LONGEST_NAME} printable characters, such as what will use it.")
    if not user.role.covers(role):
        raise Refused(f"{user.name} is {user.role.value}, so a token of theirs cannot be {role.value}.")
    if session.scalar(select(ApiToken.id).where(ApiToken.user_id == user.id, ApiToken.name == name)):
        raise Refused(f"{user.name} has, or had, a token {name}. Names are not used twice: events carry them.")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    values = {"user_id": user.id, "name": name, "role": role, "token_sha256": _digest(token), "created_by": by}
    ends_at = None if days is None else database_now(days * 86400.0)
    try:
        number = session.scalars(insert(ApiToken).values(**values, ends_at=ends_at).returning(ApiToken.id)).one()
    except IntegrityError as error:  # at the same moment in another tab
        raise Refused(f"{user.name} has a token {name} already.") from error
    _record(session, session.get_one(ApiToken, number), "add", by, role=role.value)
    return token


def of_token(session: Session, token: str) -> ApiToken | None:
    """The token that a program has sent; None where it is none, over or revoked, or the person is shut out."""
    of_somebody = (ApiToken.token_sha256 == _digest(token), WebUser.is_active)
    return session.scalar(select(ApiToken).join(WebUser).where(*of_somebody, *_HOLDS))


def is_use_noted(session: Session, token: ApiToken) -> bool:
    """Whether it was noted lately that the token is in use."""
    lately = select(ApiToken.used_at > database_now(-_USED_SECONDS)).where(ApiToken.id == token.id)
    return bool(session.scalar(lately))


def note_use(session: Session, token: ApiToken) -> None:
    """That the token is in use."""
    session.execute(update(ApiToken).where(ApiToken.id == token.id).values(used_at=database_now()))


def tokens(session: Session, user: WebUser | None = None, *, holding: bool = False) -> Sequence[ApiToken]:
    """Of that person, or of all, newest first; `holding`: without those that are over or revoked."""
    query = select(ApiToken).order_by(ApiToken.id.desc())
    query = query if user is None else query.where(ApiToken.user_id == user.id)
    return session.scalars(query.where(*_HOLDS) if holding else query).all()


def get_token(session: Session, number: int) -> ApiToken:
    """By number. Raises NotFound."""
    row = session.get(ApiToken, number)
    if row is None:
        raise NotFound(f"There is no token {number}. Those there are: inspectq tokens list")
    return row


def revoke(session: Session, token: ApiToken, *, by: str) -> None:
    """End it now. Raises Refused where that was done."""
    standing = update(ApiToken).where(ApiToken.id == token.id, ApiToken.revoked_at.is_(None))
    revoked = standing.values(revoked_at=database_now()).execution_options(synchronize_session=False)
    if rows_changed(session, revoked) != 1:
        raise Refused(f"Token {token.name} of {token.user.name} is revoked already.")
    _record(session, token, "revoke", by)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _record(session: Session, row: ApiToken, what: str, by: str, **details: str) -> None:
    audit.record(
        session, actor=by, action=f"token.{what}", subject=f"user:{row.user_id}", token=row.id, name=row.name, **details
    )
