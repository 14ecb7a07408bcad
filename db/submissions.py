"""Was this very submission made already? A program that does not know whether it was heard asks again with its key."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.clock import database_now
from db.errors import Refused
from db.models import SubmissionKey

LONGEST_KEY = 200


class Repeated(Exception):
    """Another transaction has just kept the same key."""


def found(session: Session, account: str, key: str, asked: Mapping[str, Any]) -> int | None:
    """The job that was submitted with this key; None where there is none.

    Raises Refused where something else was asked with it then, or the key cannot stand in a record.
    """
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        raise Refused(f"An idempotency key has at most {LONGEST_KEY} printable characters.")
    own = (SubmissionKey.account == account, SubmissionKey.key == key)
    row = session.scalar(select(SubmissionKey).where(*own))
    if row is not None and row.asked != _digest(asked):
        raise Refused(f"Job {row.job_id} was submitted with this idempotency key, and something else was asked then.")
    return None if row is None else row.job_id


def keep(session: Session, account: str, key: str, asked: Mapping[str, Any], job: int) -> None:
    """Remember it. Raises Repeated where the same is submitted at the same moment: then nothing may be committed."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {"account": account, "key": key, "asked": _digest(asked), "job_id": job, "created_at": database_now()}
    kept = insert(SubmissionKey).values(values).on_conflict_do_nothing(index_elements=["account", "key"])
    if session.scalar(kept.returning(SubmissionKey.id)) is None:
        raise Repeated


def _digest(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(asked), sort_keys=True).encode()).hexdigest()
