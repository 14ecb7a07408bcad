"""Who is looking?"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from scheduler.submission import person


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whose name stands in what is decided."""

    name: str
    account: str


def at_this_machine() -> Person:
    """Whoever can reach the loopback address is taken for whom the server runs as."""
    account = person()
    return Person(name=account, account=account)


Looking = Annotated[Person, Depends(at_this_machine)]
