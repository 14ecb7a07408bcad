"""How does a batch move from planned to done, whatever the queue and the machines do?

    (none) --a plan--> planned --b dispatch--> dispatched --c claim--> running --d finish--> done
    planned | dispatched --i draw (beside another)--> running
    running    --e take back (lease ran out)--> planned, attempt + 1, a fault
    running    --e lost (its process died)----> planned, attempt + 1, a fault
    running    --f give back (worker stops)---> planned; for a fault: attempt + 1, a fault
    running    --f wait (storage is away)-----> planned, attempt + 1, waiting
    dispatched --g resend (message lost)------> planned
    any open   --h cancel---------------------> cancelled

One function per arrow. Each is a single conditional UPDATE, so two machines that try the same
arrow at once cannot both succeed, and a late or repeated message changes nothing.

A fault counts: from the first on a batch is decoded under guard, and too many fail its job.
Waiting is not a fault of the batch; it ends when the storage is back, or after hours.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Double,
    Row,
    Select,
    String,
    Update,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from db import audit, results
from db.clock import database_now
from db.engine import rows_changed
from db.models import (
    OPEN_BATCHES,
    Batch,
    BatchState,
    Checkpoint,
    InspectionJob,
    JobState,
    OperatingPoint,
    in_state,
)
from db.results import NewResult

_ACTIVE_JOBS = (JobState.PLANNING, JobState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What travels through the queue: ids. `job` and `images` are there for the reader of Flower."""

    batch: int
    attempt: int
    job: int
    images: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A batch in one worker's hands, with everything that judging it takes."""

    batch: int
    job: int
    attempt: int
    token: str  # the fence: only who holds it may renew or finish
    faults: int  # how many attempts have failed it
    waited_seconds: float  # since storage began to fail it; 0 where it did not
    revision: int
    root: str  # the job's folder, as db.paths writes it
    paths: tuple[str, ...]  # relative to root, as db.paths writes them
    checkpoint_id: int
    checkpoint_digest: str
    positive_class: str
    negative_class: str
    operating_point_id: int
    pass_below: float
    fail_from: float
    reuse: bool  # an identical file's verdict may be taken over
    runtime: str  # the one that the job asks for, or auto


def plan(session: Session, job: InspectionJob, chunks: Sequence[Sequence[str]], *, first_sequence: int) -> None:
    """Arrow a: write one batch per chunk of paths, numbered from `first_sequence`."""
    rows = [
        {
            "job_id": job.id,
            "sequence": first_sequence + offset,
            "revision": job.revision,
            "state": BatchState.PLANNED,
            "images": len(paths),
            "paths": list(paths),
        }
        for offset, paths in enumerate(chunks)
    ]
    if rows:
        session.execute(insert(Batch), rows)


def dispatch(session: Session, *, window: int) -> list[Message]:
    """Arrow b: fill the queue up to `window` batches, jobs of higher priority first.

    The caller publishes the messages after its commit; what never arrives comes back by arrow g.
    """
    waiting = session.scalar(
        select(func.count())
        .select_from(Batch)
        .join(InspectionJob, InspectionJob.id == Batch.job_id)
        .where(in_state(BatchState.DISPATCHED), InspectionJob.state.in_(_ACTIVE_JOBS))
    )
    room = window - (waiting or 0)
    if room <= 0:
        return []
    ids: list[int] = []
    for job in _jobs_with(session, BatchState.PLANNED):
        ids += session.scalars(
            select(Batch.id)
            .where(Batch.job_id == job.id, in_state(BatchState.PLANNED), _is_due())
            .order_by(Batch.sequence)
            .limit(room - len(ids))
            .with_for_update(skip_locked=True)
        )
        if len(ids) == room:
            break
    if not ids:
        return []
    moved = session.execute(
        update(Batch)
        .where(Batch.id.in_(ids), Batch.state == BatchState.PLANNED)
        .values(state=BatchState.DISPATCHED, dispatched_at=database_now())
        .returning(Batch.id, Batch.attempt, Batch.job_id, Batch.images),
    ).all()
    place = {batch: position for position, batch in enumerate(ids)}
    messages = [Message(batch=row.id, attempt=row.attempt, job=row.job_id, images=row.images) for row in moved]
    return sorted(messages, key=lambda message: place[message.batch])


def claim(
    session: Session, batch: int, attempt: int, *, worker: str, lease_seconds: float, token: str | None = None
) -> Claim | None:
    """Arrow c: take the batch, or None where the message is late, repeated or its job has ended.

    Who asks again with the same `token`, because the answer to the first time was lost, gets the same batch.
    """
    token = token or uuid4().hex
    ours = or_(
        Batch.state == BatchState.DISPATCHED,
        and_(Batch.state == BatchState.RUNNING, Batch.token == token),
    )
    which = and_(Batch.id == batch, Batch.attempt == attempt, ours, _has_active_job())
    taken = rows_changed(session, _claiming(which, worker, lease_seconds, token))
    return _claimed(session, batch, token) if taken == 1 else None


def _claiming(
    which: ColumnElement[bool],
    worker: str | BindParameter[str],
    lease_seconds: float | BindParameter[float],
    token: str | BindParameter[str],
) -> Update:
    values = {
        "state": BatchState.RUNNING,
        "token": token,
        "worker": worker,
        "lease_until": database_now(lease_seconds),
    }
    return update(Batch).where(which).values(values).execution_options(synchronize_session=False)


def _claimed(session: Session, batch: int, token: str) -> Claim:
    row = session.execute(
        select(Batch, InspectionJob, Checkpoint, OperatingPoint, database_now().label("now"))
        .join(InspectionJob, InspectionJob.id == Batch.job_id)
        .join(Checkpoint, Checkpoint.id == InspectionJob.checkpoint_id)
        .join(OperatingPoint, OperatingPoint.id == InspectionJob.operating_point_id)
        .where(Batch.id == batch)
    ).one()
    return Claim(
        batch=batch,
        job=row.InspectionJob.id,
        attempt=row.Batch.attempt,
        token=token,
        faults=row.Batch.faults,
        waited_seconds=_seconds_since(row.Batch.waiting_since, row.now),
        revision=row.Batch.revision,
        root=row.InspectionJob.root,
        paths=tuple(row.Batch.paths),
        checkpoint_id=row.Checkpoint.id,
        checkpoint_digest=row.Checkpoint.digest,
        positive_class=row.Checkpoint.positive_class,
        negative_class=row.Checkpoint.negative_class,
        operating_point_id=row.OperatingPoint.id,
        pass_below=row.OperatingPoint.pass_below,
        fail_from=row.OperatingPoint.fail_from,
        reuse=row.InspectionJob.reuse,
        runtime=row.InspectionJob.runtime,
    )


def draw(session: Session, beside: Claim, *, worker: str, lease_seconds: float, token: str) -> Claim | None:
    """Arrow i: the batch that is next anyway, for a worker that has the model of the batch `beside` at hand.

    None where there is none, or it asks for another model or runtime. One that has not been sent is preferred: a
    message that comes after all is late, and costs a refused claim. What a fault has met waits for a shift of its own.
    """
    for job in _jobs_with(session, BatchState.PLANNED, BatchState.DISPATCHED):
        for state in (BatchState.PLANNED, BatchState.DISPATCHED):
            if (job.checkpoint_id, job.runtime) != (beside.checkpoint_id, beside.runtime):
                if session.scalar(_next_up(state), {"of_job": job.id}) is not None:
                    return None
                continue
            values = {"of_job": job.id, "by": worker, "under": token, "seconds": lease_seconds}
            drawn = session.execute(_drawing(state), values).one_or_none()
            if drawn is None:
                continue
            if job.id != beside.job:
                return _claimed(session, drawn.id, token)
            return replace(  # a question less, of the two that are asked for every batch
                beside,
                batch=drawn.id,
                attempt=drawn.attempt,
                token=token,
                faults=0,
                waited_seconds=_seconds_since(drawn.waiting_since, drawn.now),
                revision=drawn.revision,
                paths=tuple(drawn.paths),
            )
    return None


def draw_troubled(session: Session, *, worker: str, lease_seconds: float, token: str) -> Claim | None:
    """Arrow i for a batch that a fault has met, if one is due, for a worker whose shift is over.

    Its own message would have to wait for room in the window, and then behind all of that: each a shift long.
    """
    for job in _jobs_with(session, BatchState.PLANNED, BatchState.DISPATCHED):
        for state in (BatchState.PLANNED, BatchState.DISPATCHED):
            values = {"of_job": job.id, "by": worker, "under": token, "seconds": lease_seconds}
            drawn = session.execute(_drawing(state, troubled=True), values).one_or_none()
            if drawn is not None:
                return _claimed(session, drawn.id, token)
    return None


# Built once: a worker asks these of every batch, and building them takes longer than the database's answer.
@cache
def _next_up(state: BatchState, *, troubled: bool = False) -> Select[int]:
    return (
        select(Batch.id)
        .where(
            Batch.job_id == bindparam("of_job"),
            in_state(state),
            Batch.faults > 0 if troubled else Batch.faults == 0,
            _is_due(),
            _has_active_job(),
        )
        .order_by(Batch.sequence)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


@cache
def _drawing(
    state: BatchState, *, troubled: bool = False
) -> ReturningUpdate[int, int, list[str], int, datetime | None, datetime]:
    claiming = _claiming(
        Batch.id == _next_up(state, troubled=troubled).scalar_subquery(),
        bindparam("by", type_=String),
        bindparam("seconds", type_=Double),
        bindparam("under", type_=String),
    )
    moment = database_now().label("now")
    return claiming.returning(Batch.id, Batch.attempt, Batch.paths, Batch.revision, Batch.waiting_since, moment)


def renew(session: Session, token: str, held: Collection[int], *, lease_seconds: float) -> set[int]:
    """Keep the leases of the batches `held` under `token`. Those that are not returned are somebody else's now."""
    renewed = session.scalars(
        update(Batch)
        .where(Batch.id.in_(held), Batch.token == token, Batch.state == BatchState.RUNNING)
        .values(lease_until=database_now(lease_seconds))
        .returning(Batch.id)
    )
    return set(renewed)


def finish(
    session: Session, held: Claim, rows: Sequence[NewResult], *, versions: Mapping[str, str] | None = None
) -> bool:
    """Arrow d: all results, an event with their digest, and `done` in one transaction.

    `versions`: of the code that gave the results, for the event.
    False: the lease was lost, nothing is written.
    A lease that ran out but that nobody took may still finish: the token decides, not the time.
    Raises ValueError where the rows are not exactly one per path of the batch.
    """
    if sorted(row.path for row in rows) != sorted(held.paths):
        raise ValueError(f"batch {held.batch} has {len(held.paths)} paths and was given {len(rows)} other results")
    finishing = _finishing(session.get_bind().dialect.name)
    finished = session.execute(finishing, {"held": held.batch, "under": held.token}).one_or_none()
    if finished is None:
        return False
    added = results.add(session, held.job, held.batch, held.revision, rows, time=finished.at, ids=finished.ids)
    audit.record(
        session,
        actor=rows[0].worker if rows else "",
        action=audit.RESULTS_ADDED,
        subject=f"batch:{held.batch}",
        job=held.job,
        revision=held.revision,
        images=added.images,
        digest=added.digest,
        **({"versions": dict(versions)} if versions else {}),
    )
    return True


@cache
def _finishing(dialect: str) -> ReturningUpdate[datetime | None, Any]:
    return (
        update(Batch)
        .where(Batch.id == bindparam("held"), Batch.token == bindparam("under"), Batch.state == BatchState.RUNNING)
        .values(
            state=BatchState.DONE,  # its token stays: `lost` looks for what was drawn beside it
            lease_until=None,
            waiting_since=None,
            finished_at=database_now(),
        )
        .returning(Batch.finished_at.label("at"), results.free_ids(dialect).label("ids"))
        .execution_options(synchronize_session=False)
    )


_LET_GO: dict[str, object] = {
    "state": BatchState.PLANNED,
    "token": None,
    "lease_until": None,
    "worker": None,
    "dispatched_at": None,
}


def _failed_it(note: str, pause_seconds: float = 0) -> dict[str, object]:
    """One more attempt, one more fault."""
    return {
        **_LET_GO,
        "attempt": Batch.attempt + 1,
        "faults": Batch.faults + 1,
        "waiting_since": None,
        "note": note,
        "not_before": database_now(pause_seconds),
    }


def take_back_expired(session: Session) -> int:
    """Arrow e: batches whose worker has stopped renewing its lease. Returns how many.

    A lease without an end counts as ended: a comparison with NULL would wait for ever.
    """
    return rows_changed(
        session,
        update(Batch)
        .where(
            Batch.state == BatchState.RUNNING,
            _lease_is_over(),
            _has_active_job(),
        )
        .values(_expired()),
    )


def _expired() -> dict[str, object]:
    return {**_failed_it("its worker stopped renewing the lease"), "expiries": Batch.expiries + 1}


def _lease_is_over() -> ColumnElement[bool]:
    return or_(Batch.lease_until.is_(None), Batch.lease_until < database_now())


def lost(session: Session, batch: int, attempt: int, *, worker: str, note: str) -> int:
    """Arrow e, sooner: the parent of the process that was sent this attempt has seen it die.

    What was drawn beside it is released, too; the attempt itself may be done by then. Returns how many batches.
    """
    sent = (Batch.id == batch, Batch.attempt == attempt, Batch.worker == worker)
    token = select(Batch.token).where(*sent).scalar_subquery()
    held = update(Batch).where(Batch.token == token, Batch.worker == worker, Batch.state == BatchState.RUNNING)
    return rows_changed(session, held.values(_failed_it(note)).execution_options(synchronize_session=False))


def give_back(session: Session, held: Claim, *, fault: str | None = None, pause_seconds: float = 0) -> bool:
    """Arrow f: a worker that cannot go on returns its batch at once instead of letting the lease run out.

    With a `fault` it counts as one, and is not sent again for `pause_seconds`. Without one, the worker
    was merely stopped.
    """
    return _let_go(session, held, _LET_GO if fault is None else _failed_it(fault, pause_seconds))


def wait(session: Session, held: Claim, *, reason: str, pause_seconds: float) -> bool:
    """Arrow f for what no batch can help, such as storage that is away: tried again after `pause_seconds`."""
    waiting = {
        "attempt": Batch.attempt + 1,
        "waiting_since": func.coalesce(Batch.waiting_since, database_now()),
        "note": reason,
        "not_before": database_now(pause_seconds),
    }
    return _let_go(session, held, {**_LET_GO, **waiting})


def _let_go(session: Session, held: Claim, values: dict[str, object]) -> bool:
    given = rows_changed(
        session,
        update(Batch)
        .where(Batch.id == held.batch, Batch.token == held.token, Batch.state == BatchState.RUNNING)
        .values(values),
    )
    return given == 1


def late(session: Session, *, longer_than_seconds: float) -> list[tuple[int, int]]:
    """(batch, attempt) of active jobs that were dispatched more than this many seconds ago and not claimed."""
    rows = session.execute(select(Batch.id, Batch.attempt).where(_late(longer_than_seconds)))
    return [(row.id, row.attempt) for row in rows]


def resend(session: Session, missing: Sequence[int], *, longer_than_seconds: float) -> int:
    """Arrow g: those of the batches `missing` from the queue that are still late. Returns how many.

    A message that turns up after all claims once; its duplicate then changes nothing.
    """
    again = update(Batch).where(Batch.id.in_(missing), _late(longer_than_seconds))
    return rows_changed(session, again.values(state=BatchState.PLANNED, dispatched_at=None))


def recall(session: Session, sent: Sequence[int]) -> int:
    """Arrow g for messages that could not be published at all. One that got through after all claims first or not."""
    back = update(Batch).where(Batch.id.in_(sent), Batch.state == BatchState.DISPATCHED)
    return rows_changed(session, back.values(state=BatchState.PLANNED, dispatched_at=None))


def _jobs_with(session: Session, *states: BatchState) -> Sequence[Row[int, int, str]]:
    """(id, checkpoint_id, runtime) of the active jobs that have such a batch, in the order in which they are served."""
    return session.execute(_having(states)).all()


@cache
def _having(states: tuple[BatchState, ...]) -> Select[int, int, str]:
    has_one = exists().where(Batch.job_id == InspectionJob.id, in_state(*states))
    return (
        select(InspectionJob.id, InspectionJob.checkpoint_id, InspectionJob.runtime)
        .where(InspectionJob.state.in_(_ACTIVE_JOBS), has_one)
        .order_by(InspectionJob.priority.desc(), InspectionJob.id)
    )


def _has_active_job() -> ColumnElement[bool]:
    return exists().where(InspectionJob.id == Batch.job_id, InspectionJob.state.in_(_ACTIVE_JOBS))


def _seconds_since(began: datetime | None, now: datetime) -> float:
    return 0.0 if began is None else (now - began).total_seconds()


def _is_due() -> ColumnElement[bool]:
    return or_(Batch.not_before.is_(None), Batch.not_before <= database_now())


def _late(longer_than_seconds: float) -> ColumnElement[bool]:
    return and_(
        Batch.state == BatchState.DISPATCHED,
        Batch.dispatched_at < database_now(-longer_than_seconds),
        _has_active_job(),
    )


def restart(session: Session, job: int) -> None:
    """A failed job goes on: its open batches count their faults anew, and what was sent is sent again.

    A running one stays with its worker; its lease decides.
    """
    waiting = (Batch.job_id == job, Batch.state.in_((BatchState.PLANNED, BatchState.DISPATCHED)))
    anew = {"attempt": Batch.attempt + 1, "faults": 0, "waiting_since": None, "not_before": None, "note": None}
    session.execute(update(Batch).where(*waiting).values(state=BatchState.PLANNED, dispatched_at=None, **anew))


def any_held(session: Session, job: int) -> bool:
    """Whether a worker may still save a batch of the failed job. One whose lease has run out goes back, by arrow e.

    The open batches stay locked until the end of the transaction: one that is being claimed just now is seen, too.
    """
    session.execute(select(Batch.id).where(Batch.job_id == job, in_state(*OPEN_BATCHES)).with_for_update())
    running = (Batch.job_id == job, Batch.state == BatchState.RUNNING)
    given_up = update(Batch).where(*running, _lease_is_over()).values(_expired())
    session.execute(given_up.execution_options(synchronize_session=False))
    return session.scalar(select(Batch.id).where(*running).limit(1)) is not None


def cancel(session: Session, job: int) -> int:
    """Arrow h: every open batch of `job`. A worker that still holds one can no longer finish it."""
    return rows_changed(
        session,
        update(Batch)
        .where(Batch.job_id == job, Batch.state.in_(OPEN_BATCHES))
        .values(state=BatchState.CANCELLED, lease_until=None, finished_at=database_now()),
    )


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """A batch that is not tried again, and what was said of it last."""

    job: int
    batch: int
    note: str | None
    waited: bool  # its files were away for too long; otherwise too many attempts failed it


def given_up(session: Session, *, max_faults: int, patience_seconds: float) -> list[GivenUp]:
    """Batches of active jobs with too many faults, or that storage has failed for longer than the patience."""
    too_long = Batch.waiting_since < database_now(-patience_seconds)
    rows = session.execute(
        select(Batch.job_id, Batch.id, Batch.note, Batch.faults)
        .join(InspectionJob, InspectionJob.id == Batch.job_id)
        .where(
            Batch.state == BatchState.PLANNED,
            or_(Batch.faults > 0, Batch.waiting_since.is_not(None)),  # the index's own words: few batches are
            or_(Batch.faults >= max_faults, too_long),
            InspectionJob.state.in_(_ACTIVE_JOBS),
        )
        .order_by(Batch.id)
    )
    return [GivenUp(job=row.job_id, batch=row.id, note=row.note, waited=row.faults < max_faults) for row in rows]
