"""Which rows does no event report, although each that is added needs one?"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, String, cast, func, literal, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from db import audit, seals
from db.models import AuditEvent, Base, Batch, InspectionResult

_VERDICTS = "inspection_result"


@dataclass(frozen=True, kw_only=True)
class Unreported:
    """Asks the tables. `floors`: of those with rows from before the digests, the newest id of these."""

    session: Session
    floors: Mapping[str, int]
    job: int | None = None  # of whose verdicts; None: of all jobs'

    def records(self, name: str, reported: Container[int]) -> Iterator[int]:
        """The ids of the records of that table that are not among the reported ones."""
        table = Base.metadata.tables[name]
        key = table.c[seals.RECORDS[name].key]
        newer = select(key).distinct().where(self._is_newer(name)).order_by(key)
        for number in self.session.scalars(newer.execution_options(yield_per=1000)):
            if number not in reported:
                yield number

    def batches(self) -> Iterator[tuple[int, int, int]]:
        """(batch, job, verdicts) of each batch that has verdicts and no event."""
        reported = (
            select(AuditEvent.id)
            .where(
                AuditEvent.action == audit.RESULTS_ADDED,
                AuditEvent.subject == literal("batch:") + cast(Batch.id, String),
            )
            .exists()
        )
        row = InspectionResult
        own = row.batch_id == Batch.id, row.revision == Batch.revision
        counted = select(func.count()).where(*own, self._is_newer(_VERDICTS)).correlate(Batch).scalar_subquery()
        without = select(Batch.id, Batch.job_id, counted).where(~reported, counted > 0, self._of_job(Batch.job_id))
        yield from self.session.execute(without.order_by(Batch.id).execution_options(yield_per=1000))

    def revisions(self) -> Iterator[tuple[int, int, int, int]]:
        """(job, revision, one of the batches, verdicts) of verdicts of another revision than their batch's."""
        row = InspectionResult
        strays = (
            select(row.job_id, row.revision, func.min(row.batch_id), func.count())
            .outerjoin(Batch, Batch.id == row.batch_id)
            .where(self._is_newer(_VERDICTS), row.revision.is_distinct_from(Batch.revision), self._of_job(row.job_id))
            .group_by(row.job_id, row.revision)
            .order_by(row.job_id, row.revision)
        )
        yield from self.session.execute(strays).all()

    def _is_newer(self, name: str) -> ColumnElement[bool]:
        """Whether a row of that table has to be reported: where there are older ones, by its id."""
        floor = self.floors.get(name)
        return true() if floor is None else Base.metadata.tables[name].c.id > floor

    def _of_job(self, column: InstrumentedAttribute[int]) -> ColumnElement[bool]:
        return true() if self.job is None else column == self.job
