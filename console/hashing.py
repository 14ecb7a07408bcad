"""How does a password become something that tells nobody what it was?

By argon2id with the values of RFC 9106 that argon2-cffi holds to be right; a hash says by which values it was made, so
that they can be raised later.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from db.errors import Refused, ServiceAway

SHORTEST, LONGEST = 12, 1000  # characters
_HASHER = PasswordHasher()
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB: strangers at the door must not take all there is
_PATIENCE_SECONDS = 3.0


def hashed(password: str) -> str:
    """What is kept of it. Raises Refused for one that is too short to be kept from guessing, or absurdly long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"A password has at least {SHORTEST} characters: a few words that nobody would guess.")
    with _turn():
        return _HASHER.hash(password.encode(errors="surrogateescape"))


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the one that was kept. Takes as long where none was: nobody learns by the clock who exists."""
    if len(password) > LONGEST:
        return False
    try:
        with _turn():
            _HASHER.verify(kept or _nobodys(), password.encode(errors="surrogateescape"))
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


@contextmanager
def _turn() -> Iterator[None]:
    """Raises ServiceAway where too many wait for theirs: those who have signed in need the threads, too."""
    if not _AT_ONCE.acquire(timeout=_PATIENCE_SECONDS):
        raise ServiceAway("Too many people sign in at this moment. Try again in a while.")
    try:
        yield
    finally:
        _AT_ONCE.release()


def is_outdated(kept: str) -> bool:
    """Whether it was made by values that are not held to be right any more."""
    return _HASHER.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return _HASHER.hash(b"")
