"""Which models are there, and may a scan use them?

MODEL on the command line is a name, an id or the beginning of a digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import audit, operating_points
from db.errors import NotFound, Refused
from db.models import Checkpoint, ModelStatus
from db.paths import to_text
from db.seals import seal

SHORTEST_DIGEST_PREFIX = 6  # hex digits; shorter ones look like ids
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class NewCheckpoint:
    """A finished checkpoint file as the trainer hands it over."""

    digest: str  # sha256 of the file
    name: str
    architecture: str
    positive_class: str
    negative_class: str
    preprocessing: dict[str, Any]
    size_bytes: int
    training_run_id: int


def register(session: Session, new: NewCheckpoint, *, actor: str) -> Checkpoint:
    """Add a checkpoint as a candidate, with its first operating point: FAIL from a score of 0.5."""
    checkpoint = Checkpoint(status=ModelStatus.CANDIDATE, **vars(new))
    session.add(checkpoint)
    session.flush()
    point = operating_points.add_default(session, checkpoint)
    audit.record(
        session,
        actor=actor,
        action="model.register",
        subject=f"model:{new.digest}",
        name=new.name,
        sealed=[seal(session, "checkpoint", checkpoint.id), seal(session, "operating_point", point.id)],
    )
    return checkpoint


def free_name(session: Session, wanted: str | None, stem: str) -> str:
    """`wanted` if nobody has it (Refused otherwise), or the first free one of stem-1, stem-2, …"""
    taken = set(session.scalars(select(Checkpoint.name)))
    if wanted is None:
        stem = to_text(stem)[: LONGEST_NAME - 10] or "model"
        return next(name for number in range(1, len(taken) + 2) if (name := f"{stem}-{number}") not in taken)
    if not 0 < len(wanted) <= LONGEST_NAME or not wanted.isprintable():
        raise Refused(f"A model's name has 1 to {LONGEST_NAME} printable characters.")
    if wanted in taken:
        raise Refused(f"There is a model named {wanted!r} already. Choose another --name: names are never reused.")
    if wanted.isdigit():
        raise Refused(f"A model cannot be named {wanted!r}: that reads as an id.")
    return wanted


def still_free_name(session: Session, wanted: str | None, stem: str) -> str:
    """`wanted`, or, if somebody took it while the model was trained, the first free name that begins with it."""
    try:
        return free_name(session, wanted, stem)
    except Refused:
        return free_name(session, None, wanted or stem)


def find(session: Session, model: str) -> Checkpoint:
    """The checkpoint that MODEL means. Raises NotFound, or Refused where a digest prefix fits several."""
    by_name = session.scalar(select(Checkpoint).where(Checkpoint.name == model))
    if by_name is not None:
        return by_name
    if (
        model.isdecimal()
        and model.isascii()
        and len(model) < 19
        and (by_id := session.get(Checkpoint, int(model))) is not None
    ):
        return by_id
    if len(model) >= SHORTEST_DIGEST_PREFIX and set(model) <= set("0123456789abcdef"):
        matches = session.scalars(select(Checkpoint).where(Checkpoint.digest.startswith(model))).all()
        if len(matches) > 1:
            raise Refused(f"{len(matches)} models have a digest that begins with {model}. Give more of it.")
        if matches:
            return matches[0]
    raise NotFound(f"There is no model {model!r}. `inspectq models list` shows those there are.")


def get(session: Session, number: int) -> Checkpoint:
    """The checkpoint with this id. Raises NotFound."""
    found = session.get(Checkpoint, number)
    if found is None:
        raise NotFound(f"There is no model {number}. `inspectq models list` shows those there are.")
    return found


def newest_approved(session: Session) -> Checkpoint:
    """The model a scan uses when none is named. Raises NotFound, saying how to get one."""
    approved = select(Checkpoint).where(Checkpoint.status == ModelStatus.APPROVED)
    found = session.scalar(approved.order_by(Checkpoint.id.desc()).limit(1))
    if found is not None:
        return found
    if session.scalar(select(func.count()).select_from(Checkpoint)):
        raise NotFound(
            "No model is approved. Name one with --model, or approve one: "
            "inspectq models list, then inspectq models approve MODEL"
        )
    raise NotFound("There is no model yet. Make one: inspectq train DIR, then inspectq models approve MODEL")


def every(session: Session) -> Sequence[Checkpoint]:
    """All checkpoints, newest first."""
    return session.scalars(select(Checkpoint).order_by(Checkpoint.id.desc())).all()


def files(session: Session) -> list[tuple[int, str, str]]:
    """(id, name, sha256 of the file) of every checkpoint, oldest first, whatever its other columns hold."""
    query = select(Checkpoint.id, Checkpoint.name, Checkpoint.digest).order_by(Checkpoint.id)
    return [(number, str(name), str(digest)) for number, name, digest in session.execute(query)]


def set_status(session: Session, checkpoint: Checkpoint, status: ModelStatus, *, actor: str) -> None:
    """Approve or retire. A retired model's verdicts stay; new scans are refused."""
    checkpoint.status = status
    audit.record(session, actor=actor, action=f"model.{status.value}", subject=f"model:{checkpoint.digest}")
