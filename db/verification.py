"""Do the rows still fit the digests that the chain of events keeps of them?

`db.audit.verify` says whether the events themselves are whole; here what they report is read and digested again, in
the order of the events, and what no event reports is looked for. Neither verdicts nor findings are kept in memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Row, String, and_, func, select, tuple_, type_coerce
from sqlalchemy.orm import Session

from db import audit, careful, ledgers, moments, results, seals
from db.careful import Unreadable
from db.ledgers import Counted
from db.misfits import WORDS, Misfit, difference, unreported_record, unreported_verdicts
from db.models import AuditEvent, Base, Batch, Checkpoint, ModelStatus
from db.results import Sealed
from db.standing import Standing
from db.unreported import Unreported

_BATCHES_AT_ONCE = 16  # read with one question; some thousand verdicts in memory
_FEW = 3  # images that are named
_VERDICTS = "inspection_result"
_RESULTS = Base.metadata.tables[_VERDICTS]
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)

_Event = Row[*tuple[Any, ...]]  # id, time, actor, action, subject, details
_Verdict = Mapping[Any, Any]


@dataclass(kw_only=True)
class Verification:
    """Reads everything once, by iterating over `misfits`; the counts are complete afterwards."""

    session: Session
    with_revisions: bool = True  # that were judged anew: each is as large as its job
    verdicts: int = 0  # read and found to fit their digests
    records: int = 0  # evaluations, limits, models …, likewise
    older: dict[str, int] = field(default_factory=dict)  # table -> rows that were there before the digests
    uneven: list[int] = field(default_factory=list)  # jobs whose images and verdicts do not add up
    floors: dict[str, int] = field(default_factory=dict)  # table -> the newest id of those
    seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # table -> ids that an event reports
    rejudged: set[tuple[int, int]] = field(default_factory=set)  # (job, revision)
    standing: Standing = field(default_factory=Standing)
    _statuses: dict[str, str] = field(default_factory=dict)  # a model's digest -> what was decided of it last

    def misfits(self) -> Iterator[Misfit]:
        """What does not fit: first along the events, then what no event reports."""
        row = AuditEvent
        query = select(row.id, row.time, row.actor, row.action, row.subject, row.details)
        yield from self.along(careful.rows(self.session, query, row.__table__.c.id))
        yield from self._of_older_rows()
        yield from self._unreported()
        yield from self._undecided_models()
        yield from self._of_jobs()

    def along(self, events: Iterator[_Event | Unreadable]) -> Iterator[Misfit]:
        """What these events report and that is not as they report it."""
        order = moments.Order()
        while some := list(islice(events, _BATCHES_AT_ONCE)):
            whole = [event for event in some if not isinstance(event, Unreadable)]
            found = self._verdicts_of([event for event in whole if event.action == audit.RESULTS_ADDED])
            for event in some:
                if isinstance(event, Unreadable):
                    yield Misfit(what="row", event=event.id, says=str(event))
                    continue
                if says := order.broken_by(event.id, event.time):
                    yield Misfit(what="event", event=event.id, says=says)
                yield from self._misfits_of(event, found)

    def _misfits_of(self, event: _Event, found: Mapping[int, Sequence[_Verdict]]) -> Iterator[Misfit]:
        try:
            yield from self._of_event(event, found)
        except _MALFORMED:
            yield Misfit(what="event", event=event.id, says=f"Event {event.id} does not say what it reports.")

    def _of_event(self, event: _Event, found: Mapping[int, Sequence[_Verdict]]) -> Iterator[Misfit]:
        details = event.details
        self.standing.hear(event)
        if event.action == audit.SEALS_BEGIN and not self.seen and not self.verdicts:
            self.floors = {table: _number(older["last"]) for table, older in details.items()}
            self.older = {table: _number(older["rows"]) for table, older in details.items()}
        elif event.action == audit.RESULTS_ADDED:
            yield from self._of_batch(event, found.get(event.id))
        elif event.action == audit.RESULTS_REJUDGED and "digest" in details:
            yield from self._of_revision(event)
        elif event.subject.startswith("model:") and event.action.removeprefix("model.") in tuple(ModelStatus):
            self._statuses[event.subject] = event.action.removeprefix("model.")
        for table, number, digest in details.get("sealed", ()):
            yield from self._of_record(event, table, _number(number), digest)

    def _verdicts_of(self, added: Sequence[_Event]) -> dict[int, list[_Verdict]]:
        """The verdicts of those batches by event, each with every column, in the order of their ids.

        Nothing where one of them cannot be read: then each batch is asked for by itself.
        """
        wanted = {_batch_and_revision(event): event.id for event in added}
        wanted.pop(None, None)
        found: dict[int, list[_Verdict]] = {event: [] for event in wanted.values()}
        if wanted:
            keys = tuple_(_RESULTS.c.batch_id, _RESULTS.c.revision).in_(wanted)
            for row in careful.rows(self.session, select(_RESULTS).where(keys), _RESULTS.c.id):
                if isinstance(row, Unreadable):
                    return {}
                found[wanted[row.batch_id, row.revision]].append(row._mapping)
        return found

    def _of_batch(self, event: _Event, rows: Sequence[_Verdict] | None) -> Iterator[Misfit]:
        batch, job = _number_in(event.subject), _number(event.details["job"])
        then = Sealed(images=event.details["images"], digest=event.details["digest"])
        of_batch = and_(_RESULTS.c.batch_id == batch, _RESULTS.c.revision == _number(event.details["revision"]))
        if rows is None:
            rows = list(self._readable(of_batch))
        now = self._sealed(rows)
        if now == then:
            self.verdicts += now.images
            if says := moments.odd({row["time"] for row in rows}, event):
                yield Misfit(what="verdicts", event=event.id, job=job, batch=batch, says=f"Batch {batch} {says}")
            return
        if wrong := list(careful.unreadable(self.session, _RESULTS, of_batch)):
            yield from (Misfit(what="row", event=event.id, job=job, batch=batch, says=str(row)) for row in wrong)
            return
        how = "cannot be digested" if now is None else difference(now, then)
        says = f"Batch {batch} of job {job}: {how}{self._which(batch, rows)}."
        yield Misfit(what="verdicts", event=event.id, job=job, batch=batch, says=says)

    def _readable(self, where: Any) -> Iterator[_Verdict]:
        for row in careful.rows(self.session, select(_RESULTS).where(where), _RESULTS.c.id):
            if not isinstance(row, Unreadable):
                yield row._mapping

    def _sealed(self, rows: Iterable[_Verdict]) -> Sealed | None:
        try:
            return results.sealed(rows)
        except _MALFORMED:
            return None

    def _which(self, batch: int, rows: Sequence[_Verdict]) -> str:
        """The images that are missing or too many, where the batch's list of paths tells."""
        query = select(Batch.id, Batch.paths).where(Batch.id == batch)
        found = next(careful.rows(self.session, query, Batch.__table__.c.id), None)
        planned = set() if found is None or isinstance(found, Unreadable) else set(found.paths)
        odd = sorted(planned ^ {row["path"] for row in rows})
        return f" ({', '.join(odd[:_FEW])}{', …' if len(odd) > _FEW else ''})" if planned and odd else ""

    def _of_revision(self, event: _Event) -> Iterator[Misfit]:
        job, revision = _number_in(event.subject), _number(event.details["revision"])
        self.rejudged.add((job, revision))
        if not self.with_revisions:
            return
        of_revision, times = and_(_RESULTS.c.job_id == job, _RESULTS.c.revision == revision), moments.Span()
        now = self._sealed(times.over(self._readable(of_revision)))
        then = Sealed(images=event.details["judged"], digest=event.details["digest"])
        if now == then:
            self.verdicts += now.images
            if says := moments.odd(times.ends, event):
                yield Misfit(what="verdicts", event=event.id, job=job, says=f"Revision {revision} of job {job} {says}")
            return
        if wrong := list(careful.unreadable(self.session, _RESULTS, of_revision)):
            yield from (Misfit(what="row", event=event.id, job=job, says=str(row)) for row in wrong)
            return
        how = "cannot be digested" if now is None else difference(now, then)
        says = f"Job {job}, judged anew as revision {revision}: {how}."
        yield Misfit(what="verdicts", event=event.id, job=job, says=says)

    def _of_record(self, event: _Event, table: str, number: int, digest: str) -> Iterator[Misfit]:
        record, word = seals.RECORDS[table], WORDS[table].capitalize()
        job = number if table == "inspection_job" else None
        self.seen[table].add(number)
        try:
            now = seals.digest_of(self.session, table, number)
        except Exception as error:
            if not careful.is_malformed(error):
                raise
            wrong = self._unreadable_of(table, number)
            yield from (Misfit(what="row", event=event.id, job=job, says=str(row)) for row in wrong)
            return
        if now == digest:
            self.records += 1
            got_it_later = event.action == audit.SEALS_ADDED and table in audit.SEALED_LATER
            if not got_it_later and (says := moments.odd(self._made_at(table, number), event)):
                yield Misfit(what=table, event=event.id, job=job, says=f"{word} {number} {says}")
            return
        how = "is missing" if now is None else "is not as it was recorded"
        parts = [part.replace("_", " ") for part, _ in record.parts]
        among = f", or one of its rows in {', '.join(parts)}," if parts and now is not None else ""
        yield Misfit(what=table, event=event.id, says=f"{word} {number}{among} {how}.", job=job)

    def _unreadable_of(self, table: str, number: int) -> Iterator[Unreadable]:
        for name, key in ((table, seals.RECORDS[table].key), *seals.RECORDS[table].parts):
            rows = Base.metadata.tables[name]
            yield from careful.unreadable(self.session, rows, rows.c[key] == number)

    def _made_at(self, table: str, number: int) -> set[Any]:
        rows, made_at = Base.metadata.tables[table], seals.RECORDS[table].made_at
        if made_at is None:
            return set()
        return {self.session.scalar(select(rows.c[made_at]).where(rows.c.id == number))}

    def _of_older_rows(self) -> Iterator[Misfit]:
        for name, rows in self.older.items():
            table = Base.metadata.tables[name]
            counted = select(func.count()).select_from(table).where(table.c.id <= self.floors[name])
            now = self.session.scalar(counted)
            if now != rows:
                says = f"Of {rows} rows of {name} from before the digests, {now} are there."
                yield Misfit(what="verdicts" if name == _VERDICTS else name, says=says)

    def _unreported(self) -> Iterator[Misfit]:
        found = Unreported(session=self.session, floors=self.floors)
        for name in seals.RECORDS:
            for number in found.records(name, self.seen[name]):
                yield unreported_record(name, number)
        yield from unreported_verdicts(found, self.rejudged)

    def _of_jobs(self) -> Iterator[Misfit]:
        for found in ledgers.of_every_job(self.session):
            yield from self.of_job(found)

    def of_job(self, found: Counted) -> Iterator[Misfit]:
        """What of a job's row and its images is not as the events that were walked along say."""
        if not found.adds_up:
            self.uneven.append(found.job)
            says = f"Job {found.job}: its images and its verdicts do not add up."
            yield Misfit(what="ledger", job=found.job, says=says)
        told = self.standing.told.get(found.job)
        older = found.job <= self.floors.get("inspection_job", -1)
        for says in self.standing.differences(found, older=older):
            yield Misfit(what="job", event=told.event if told else None, job=found.job, says=says)

    def _undecided_models(self) -> Iterator[Misfit]:
        status = type_coerce(Checkpoint.status, String)
        for name, digest, now in self.session.execute(
            select(Checkpoint.name, Checkpoint.digest, status).order_by(Checkpoint.id)
        ):
            decided = self._statuses.get(f"model:{digest}", ModelStatus.CANDIDATE.value)
            if now != decided:
                yield Misfit(what="checkpoint", says=f"Model {name} is {now}, but by the events it is {decided}.")


def _batch_and_revision(event: _Event) -> tuple[int, int] | None:
    try:
        return _number_in(event.subject), _number(event.details["revision"])
    except _MALFORMED:
        return None


def _number_in(subject: str) -> int:
    return _number(int(subject.partition(":")[2]))


def _number(value: Any) -> int:
    """`value`, if a database can hold such a number; an event that somebody wrote may say anything."""
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError
    return value
