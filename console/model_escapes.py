"""How many defective parts does a model let pass, by the samples of all its jobs?

For each of its operating points, of the jobs that are judged by it now. Jobs are sampled at different rates, and only
each one by itself is a random sample: so a job counts by what passed in it, however closely people looked at it, and
the bounds are wider where little was looked at of much (trainer/strata.py). Of what passes in jobs without a decided
sample it says nothing. The denominator is what passes; how many of the defective parts pass is another question, which
only an evaluation answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from console.escapes import escapes, share_words
from db.samples import Sampled


def model_words(jobs: Sequence[Sampled]) -> list[str]:
    """Of the jobs with a sample that are judged by one operating point, sentences for a person."""
    decided = [found for found in jobs if found.decided]
    said = []
    if (told := escapes(*decided)) is not None:
        passed, drawn = sum(found.passed for found in decided), sum(found.drawn for found in decided)
        said = [
            f"Of {passed} images that passed in {_jobs(len(decided))} {drawn} were drawn at random: {told.decided} are "
            "decided.",
            *share_words(told),
        ]
        if len(decided) > 1:
            said.append("Each job counts by what passed in it.")
    if waiting := len(jobs) - len(decided):
        said.append(f"In {_jobs(waiting)} nobody has decided about any of the sample: nothing is known of what passed.")
    return said


def model_fields(found: Mapping[int, Sequence[Sampled]]) -> list[dict[str, Any]]:
    """For scripts, by operating point, as db.samples.of_model gives it. Counts and shares are of the decided jobs."""
    return [_fields(point, jobs, [one for one in jobs if one.decided]) for point, jobs in found.items()]


def _fields(point: int, jobs: Sequence[Sampled], decided: Sequence[Sampled]) -> dict[str, Any]:
    told = escapes(*decided)
    return {
        "operating_point": point,
        "jobs": len(decided),
        "jobs_undecided": len(jobs) - len(decided),
        "passed": sum(one.passed for one in decided),
        "drawn": sum(one.drawn for one in decided),
        "decided": told.decided if told else 0,
        "unsure": told.unsure if told else 0,
        "defective": told.defective if told else 0,
        "escape_share": told.rate if told else None,
        "escape_share_lcl": told.lcl if told else None,
        "escape_share_ucl": told.ucl if told else None,
    }


def _jobs(number: int) -> str:
    return f"{number} job" if number == 1 else f"{number} jobs"
