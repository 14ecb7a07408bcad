"""How does a test change what is recorded? As the owner of the tables would: without the triggers that refuse it."""

from collections.abc import Iterator
from contextlib import contextmanager

from db import triggers
from db.engine import Engine, Session, writing


@contextmanager
def tampering(engine: Engine) -> Iterator[Session]:
    """A transaction in which everything can be changed. The triggers are there again at its end."""
    with writing(engine) as session:
        triggers.drop(session.connection())
        yield session
        session.flush()
        triggers.create(session.connection())
