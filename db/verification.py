"""Do the rows still fit the digests that the chain of events keeps of them?

`db.audit.verify` says whether the events themselves are whole; here what they report is read and digested again, in
the order of the events, and what no event reports is looked for. Neither verdicts nor findings are kept in memory.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, String, cast, func, literal, select, true, tuple_
from sqlalchemy.orm import Session

from db import audit, ledgers, results, seals
from db.models import AuditEvent, Base, Batch, Checkpoint, InspectionResult, ModelStatus
from db.results import Sealed
from db.standing import Standing

_BATCHES_AT_ONCE = 16  # read with one question; some thousand verdicts in memory
_FEW = 3  # images that are named
_VERDICTS = "inspection_result"

# A table's records, as a person calls them.
_WORDS = {
    "dataset_snapshot": "data set",
    "training_run": "training run",
    "checkpoint": "model",
    "operating_point": "operating point",
    "operating_point_approval": "approval",
    "evaluation": "evaluation",
    "runtime_parity": "runtime comparison",
    "inspection_job": "job",
}


_Event = Row[int, str, str, dict[str, Any]]  # id, action, subject, details


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Something that is not as it was recorded."""

    what: str  # "verdicts", a record's table, "job", "ledger", "event", "model file", or "definition"
    says: str  # a sentence
    event: int | None = None  # the event that it does not fit; None where none reports it
    job: int | None = None
    batch: int | None = None


@dataclass(kw_only=True)
class Verification:
    """Reads everything once, by iterating over `misfits`; the counts are complete afterwards."""

    session: Session
    verdicts: int = 0  # read and found to fit their digests
    records: int = 0  # evaluations, limits, models …, likewise
    older: dict[str, int] = field(default_factory=dict)  # table -> rows that were there before the digests
    _floors: dict[str, int] = field(default_factory=dict)  # table -> the newest id of those
    _seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # table -> ids that an event reports
    _rejudged: set[tuple[int, int]] = field(default_factory=set)  # (job, revision)
    uneven: list[int] = field(default_factory=list)  # jobs whose images and verdicts do not add up
    _standing: Standing = field(default_factory=Standing)
    _statuses: dict[str, str] = field(default_factory=dict)  # a model's digest -> what was decided of it last

    def misfits(self) -> Iterator[Misfit]:
        """What does not fit: first along the events, then what no event reports."""
        events = select(AuditEvent.id, AuditEvent.action, AuditEvent.subject, AuditEvent.details)
        events = events.order_by(AuditEvent.id).execution_options(yield_per=_BATCHES_AT_ONCE)
        for some in self.session.execute(events).partitions():
            added = [event for event in some if event.action == audit.RESULTS_ADDED]
            found = self._rows_of(added)
            for event in some:
                try:
                    yield from self._misfits_of(event, found)
                except (KeyError, TypeError, ValueError, AttributeError):
                    yield Misfit(what="event", event=event.id, says=f"Event {event.id} does not say what it reports.")
        yield from self._of_older_rows()
        yield from self._unreported_records()
        yield from self._unreported_verdicts()
        yield from self._undecided_models()
        yield from self._of_jobs()

    def _misfits_of(self, event: _Event, found: Mapping[int, Sequence[Mapping[Any, Any]]]) -> Iterator[Misfit]:
        details = event.details
        self._standing.hear(event.id, event.action, event.subject, details)
        if event.action == audit.SEALS_BEGIN and not self._seen and not self.verdicts:
            self._floors = {table: _number(older["last"]) for table, older in details.items()}
            self.older = {table: _number(older["rows"]) for table, older in details.items()}
        elif event.action == audit.RESULTS_ADDED:
            yield from self._of_batch(event, found.get(event.id, ()))
        elif event.action == audit.RESULTS_REJUDGED and "digest" in details:
            yield from self._of_revision(event)
        elif event.subject.startswith("model:") and event.action.removeprefix("model.") in tuple(ModelStatus):
            self._statuses[event.subject] = event.action.removeprefix("model.")
        for table, number, digest in details.get("sealed", ()):
            yield from self._of_record(event, table, _number(number), digest)

    def _rows_of(self, added: Sequence[_Event]) -> dict[int, list[Mapping[Any, Any]]]:
        """The verdicts of those batches by event, each with every column, in the order of their ids."""
        wanted = {_batch_and_revision(event): event.id for event in added}
        wanted.pop(None, None)
        found: dict[int, list[Mapping[Any, Any]]] = defaultdict(list)
        if wanted:
            table = Base.metadata.tables[_VERDICTS]
            keys = tuple_(table.c.batch_id, table.c.revision).in_(wanted)
            for row in self.session.execute(select(table).where(keys).order_by(table.c.id)).mappings():
                found[wanted[row["batch_id"], row["revision"]]].append(row)
        return found

    def _of_batch(self, event: _Event, rows: Sequence[Mapping[Any, Any]]) -> Iterator[Misfit]:
        batch, job = _number_in(event.subject), _number(event.details["job"])
        now, then = results.sealed(rows), Sealed(images=event.details["images"], digest=event.details["digest"])
        if now == then:
            self.verdicts += now.images
            return
        says = f"Batch {batch} of job {job}: {_difference(now, then)}{self._which(batch, rows)}."
        yield Misfit(what="verdicts", event=event.id, job=job, batch=batch, says=says)

    def _which(self, batch: int, rows: Sequence[Mapping[Any, Any]]) -> str:
        """The images that are missing or too many, where the batch's list of paths tells."""
        planned = set(self.session.scalar(select(Batch.paths).where(Batch.id == batch)) or ())
        judged = {row["path"] for row in rows}
        odd = sorted(planned ^ judged)
        return f" ({', '.join(odd[:_FEW])}{', …' if len(odd) > _FEW else ''})" if planned and odd else ""

    def _of_revision(self, event: _Event) -> Iterator[Misfit]:
        job, revision = _number_in(event.subject), _number(event.details["revision"])
        self._rejudged.add((job, revision))
        now = results.sealed(results.of_revision(self.session, job, revision))
        then = Sealed(images=event.details["judged"], digest=event.details["digest"])
        if now == then:
            self.verdicts += now.images
            return
        says = f"Job {job}, judged anew as revision {revision}: {_difference(now, then)}."
        yield Misfit(what="verdicts", event=event.id, job=job, says=says)

    def _of_record(self, event: _Event, table: str, number: int, digest: str) -> Iterator[Misfit]:
        self._seen[table].add(number)
        now = seals.digest_of(self.session, table, number)
        if now == digest:
            self.records += 1
            return
        how = "is missing" if now is None else "is not as it was recorded"
        parts = [part.replace("_", " ") for part, _ in seals.RECORDS[table].parts]
        among = f", or one of its rows in {', '.join(parts)}," if parts and now is not None else ""
        says = f"{_WORDS[table].capitalize()} {number}{among} {how}."
        yield Misfit(what=table, event=event.id, says=says, job=number if table == "inspection_job" else None)

    def _of_older_rows(self) -> Iterator[Misfit]:
        for name, rows in self.older.items():
            table = Base.metadata.tables[name]
            counted = select(func.count()).select_from(table).where(table.c.id <= self._floors[name])
            now = self.session.scalar(counted)
            if now != rows:
                says = f"Of {rows} rows of {name} from before the digests, {now} are there."
                yield Misfit(what="verdicts" if name == _VERDICTS else name, says=says)

    def _is_newer(self, name: str) -> ColumnElement[bool]:
        """Whether a row of that table has to be reported: where there are older ones, by its id."""
        floor = self._floors.get(name)
        return true() if floor is None else Base.metadata.tables[name].c.id > floor

    def _unreported_records(self) -> Iterator[Misfit]:
        for name in seals.RECORDS:
            table = Base.metadata.tables[name]
            newer = select(table.c.id).where(self._is_newer(name)).order_by(table.c.id)
            for number in self.session.scalars(newer.execution_options(yield_per=1000)):
                if number not in self._seen[name]:
                    says = f"{_WORDS[name].capitalize()} {number} was added without an event."
                    yield Misfit(what=name, says=says, job=number if name == "inspection_job" else None)

    def _unreported_verdicts(self) -> Iterator[Misfit]:
        """Verdicts that belong to no event: of a batch without one, or of a revision that is not their batch's."""
        row, newer = InspectionResult, self._is_newer(_VERDICTS)
        reported = (
            select(AuditEvent.id)
            .where(
                AuditEvent.action == audit.RESULTS_ADDED,
                AuditEvent.subject == literal("batch:") + cast(Batch.id, String),
            )
            .exists()
        )
        own = row.batch_id == Batch.id, row.revision == Batch.revision
        counted = select(func.count()).where(*own, newer).correlate(Batch).scalar_subquery()
        without = select(Batch.id, Batch.job_id, counted).where(~reported, counted > 0).order_by(Batch.id)
        for batch, job, verdicts in self.session.execute(without.execution_options(yield_per=1000)):
            says = f"Batch {batch} of job {job}: {_many(verdicts)} without an event."
            yield Misfit(what="verdicts", job=job, batch=batch, says=says)
        strays = (
            select(row.job_id, row.revision, func.min(row.batch_id), func.count())
            .outerjoin(Batch, Batch.id == row.batch_id)
            .where(newer, row.revision.is_distinct_from(Batch.revision))
            .group_by(row.job_id, row.revision)
            .order_by(row.job_id, row.revision)
        )
        for job, revision, batch, verdicts in self.session.execute(strays).all():
            if (job, revision) not in self._rejudged:
                says = f"Job {job}, revision {revision}: {_many(verdicts)} without an event, such as in batch {batch}."
                yield Misfit(what="verdicts", job=job, batch=batch, says=says)

    def _of_jobs(self) -> Iterator[Misfit]:
        for found in ledgers.of_every_job(self.session):
            if not found.adds_up:
                self.uneven.append(found.job)
                says = f"Job {found.job}: its images and its verdicts do not add up."
                yield Misfit(what="ledger", job=found.job, says=says)
            told = self._standing.told.get(found.job)
            older = found.job <= self._floors.get("inspection_job", -1)
            for says in self._standing.differences(found, older=older):
                yield Misfit(what="job", event=told.event if told else None, job=found.job, says=says)

    def _undecided_models(self) -> Iterator[Misfit]:
        for name, digest, status in self.session.execute(
            select(Checkpoint.name, Checkpoint.digest, Checkpoint.status).order_by(Checkpoint.id)
        ):
            decided = self._statuses.get(f"model:{digest}", ModelStatus.CANDIDATE.value)
            if status.value != decided:
                says = f"Model {name} is {status.value}, but by the events it is {decided}."
                yield Misfit(what="checkpoint", says=says)


def _batch_and_revision(event: _Event) -> tuple[int, int] | None:
    try:
        return _number_in(event.subject), _number(event.details["revision"])
    except (KeyError, TypeError, ValueError):
        return None


def _number_in(subject: str) -> int:
    return _number(int(subject.partition(":")[2]))


def _number(value: Any) -> int:
    """`value`, if a database can hold such a number; an event that somebody wrote may say anything."""
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError
    return value


def _difference(now: Sealed, then: Sealed) -> str:
    if now.images == then.images:
        return f"of {_many(now.images)} at least one is not as it was recorded"
    if now.images < then.images:
        return f"of {_many(then.images)} {then.images - now.images} {_are(then.images - now.images)} missing"
    return f"{_many(now.images)}, {now.images - then.images} more than were recorded"


def _many(verdicts: int) -> str:
    return f"{verdicts} verdict{'' if verdicts == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
