"""How is it said whether a job looks like what its model was judged on, and what share of its parts is defective?"""

from typing import Any

from db.drift import LOOKS, RATES
from db.models import InspectionJob, JobDrift, JobState
from scheduler.drift import Likeness


def is_alarm(row: JobDrift | None) -> bool:
    """Whether the job does not look like what its model was judged on."""
    return row is not None and row.likeness == Likeness.DIFFERENT


def drift_words(job: InspectionJob, row: JobDrift | None) -> str | None:
    """One sentence; None of a job that is not done."""
    if job.state is not JobState.DONE:
        return None
    return "Not yet compared with what the model was judged on." if row is None else row.sentence


def defect_rate_words(row: JobDrift | None) -> str | None:
    """The share that failed, and the share that is defective as far as the evaluation can tell."""
    if row is None or row.defect_rate is None:
        return None
    raw = f"{row.defect_rate:.2%} FAIL"
    if row.evaluation_id is None:
        return f"{raw}; not corrected: the model has no evaluation on images that it has not learned from."
    if row.sensitivity is None or row.specificity is None:
        return f"{raw}; not corrected: evaluation e{row.evaluation_id} has images of one class alone."
    known = f"sensitivity {row.sensitivity:.1%}, specificity {row.specificity:.1%} at these limits"
    if row.corrected_rate is None:
        return f"{raw}; not corrected: by evaluation e{row.evaluation_id} FAIL is no sign of a defect ({known})."
    said = (
        f"{raw}; corrected by evaluation e{row.evaluation_id} ({known}): "
        f"{row.corrected_rate:.2%} ({row.corrected_rate_lcl:.2%} to {row.corrected_rate_ucl:.2%})."
    )
    return f"{said} Do not rely on it: the job looks like something else." if is_alarm(row) else said


def drift_fields(row: JobDrift | None) -> dict[str, Any] | None:
    """The same for scripts."""
    if row is None:
        return None
    evaluation = None if row.evaluation_id is None else f"e{row.evaluation_id}"
    return {"evaluation": evaluation, **{name: getattr(row, name) for name in ("likeness", "sentence", *LOOKS, *RATES)}}
