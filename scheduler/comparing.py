"""Which finished jobs have not been compared with their model's evaluation, and what comes of it?

A job is done before it is compared: of ten million verdicts that takes a while, during which a scheduler has others
to dispatch. What is read is one state of the database, and what is written says of which revision; a crash in between
leaves a job that is found again.
"""

import logging
from collections.abc import Callable
from typing import Any

from db import drift, evaluations, jobs, results, samples
from db.drift import Counts, Reference
from db.engine import Engine, Session, reading, writing
from db.errors import ServiceAway
from db.models import Evaluation, InspectionJob
from scheduler.beside import LOOK_SECONDS, Beside
from scheduler.defect_rate import Flagged, corrected
from scheduler.drift import FEWEST, Comparison, Likeness, compare

log = logging.getLogger(__name__)


def compare_job(engine: Engine, job: int) -> bool:
    """Compare a finished job's verdicts and write down what came of it; False where that is done already.

    With that the sample of passed images is drawn that the job was submitted with.
    """
    with reading(engine) as session:
        row = jobs.get(session, job)
        revision, values = row.revision, _measured(session, row)
    with writing(engine) as session:
        added = drift.add(session, job, revision, values)
        if added:
            samples.draw_by_rate(session, job)
        return added


def compare_finished(engine: Engine, *, limit: int) -> None:
    """Compare the newest finished jobs that have not been, at most so many. Raises ServiceAway."""
    with reading(engine) as session:
        waiting = drift.not_compared(session, limit=limit)
    for job in waiting:
        compare_job(engine, job)


class Comparing(Beside):
    """Compares finished jobs in a thread of its own, while `leads` answers true."""

    def __init__(self, engine: Engine, leads: Callable[[], bool], *, look_seconds: float = LOOK_SECONDS) -> None:
        super().__init__("comparing", leads, look_seconds=look_seconds)
        self._engine = engine
        self._given_up: list[int] = []  # by this process: a comparison that fails would fail again

    def work(self) -> bool:
        """One job."""
        job = self._next()
        if job is not None:
            self._compare(job)
        return job is not None

    def _next(self) -> int | None:
        with reading(self._engine) as session:
            return next(iter(drift.not_compared(session, limit=1, besides=self._given_up)), None)

    def _compare(self, job: int) -> None:
        try:
            compare_job(self._engine, job)
        except ServiceAway:
            raise
        except Exception:
            log.exception("job %d is not compared", job)
            self._given_up.append(job)


def _measured(session: Session, job: InspectionJob) -> dict[str, Any]:
    """The columns of the job's row."""
    counts = drift.of_results(session, job.id)
    defect_rate = counts.flagged / counts.images if counts.images else None
    evaluation = _evaluation(session, job)
    if evaluation is None:
        return {
            "likeness": Likeness.NO_REFERENCE.value,
            "sentence": "Whether it looks like what the model was judged on cannot be told: the model has no "
            "evaluation on images that it has not learned from.",
            "images": counts.images,
            "defect_rate": defect_rate,
        }
    reference = drift.of_evaluation(
        session, evaluation, positive=evaluation.dataset.positive_class, fail_from=job.operating_point.fail_from
    )
    compared = compare(counts, reference)
    figures = {name: value for name, value in vars(compared).items() if name not in ("likeness", "reasons")}
    return {
        **figures,
        "evaluation_id": evaluation.id,
        "likeness": compared.likeness.value,
        "sentence": sentence(compared, f"e{evaluation.id}"),
        "defect_rate": defect_rate,
        **_corrected(counts, reference),
        "histograms": {
            "edges": list(drift.EDGES),
            "job": list(counts.cells),
            "defective": list(reference.defective.cells),
            "good": list(reference.good.cells),
        },
    }


def sentence(compared: Comparison, evaluation: str) -> str:
    """What came of a comparison with that evaluation, for a person."""
    if compared.likeness is Likeness.TOO_FEW:
        return (
            f"Too few images to tell whether it looks like what the model was judged on: {compared.images} of the job, "
            f"{compared.reference_images} of evaluation {evaluation}; it takes {FEWEST} of each."
        )
    if compared.likeness is Likeness.ALIKE:
        return (
            f"Looks like what the model was judged on (evaluation {evaluation}); "
            f"its scores fit a share of defects of {compared.prevalence:.1%}."
        )
    return f"DOES NOT LOOK LIKE what the model was judged on (evaluation {evaluation}): {'; '.join(compared.reasons)}."


def _evaluation(session: Session, job: InspectionJob) -> Evaluation | None:
    """The newest one by the runtime that gave most of the job's verdicts, or else by the reference."""
    for ran in results.runtimes(session, job.id)[:1]:
        found = evaluations.newest(session, job.checkpoint_id, engine=ran.engine, precision=ran.precision)
        if found is not None:
            return found
    return evaluations.newest(session, job.checkpoint_id)


def _corrected(counts: Counts, reference: Reference) -> dict[str, float | None]:
    """By FAIL alone: whether a part in REVIEW is defective, a person decides."""
    job, defective, good = (
        Flagged(images=each.images, flagged=each.flagged) for each in (counts, reference.defective, reference.good)
    )
    found = corrected(job, defective, good)
    return {
        "sensitivity": defective.flagged / defective.images if defective.images else None,
        "specificity": 1 - good.flagged / good.images if good.images else None,
        "corrected_rate": None if found is None else found.rate,
        "corrected_rate_lcl": None if found is None else found.lcl,
        "corrected_rate_ucl": None if found is None else found.ucl,
    }
