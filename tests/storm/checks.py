"""What must hold when the storm is over? Each check is a sentence that is true or says what is not."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select

from db import audit, jobs
from db.engine import Engine, reading
from db.models import OPEN_BATCHES, Batch, InspectionResult, JobState
from db.verification import Verification

Verdict = tuple[str, float | None, str | None]  # disposition, score, reason code


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an undisturbed run says of every image, but for those that were spoilt afterwards."""

    verdicts: dict[str, Verdict]
    spoilt: dict[str, str]  # path -> reason code


def verdicts(engine: Engine, job: int) -> list[tuple[str, Verdict]]:
    """Every row of results of a job, repeated ones too."""
    row = InspectionResult
    query = select(row.path, row.disposition, row.score, row.reason_code).where(row.job_id == job)
    with reading(engine) as session:
        return [
            (path, (disposition.value, score, reason)) for path, disposition, score, reason in session.execute(query)
        ]


def violations(
    engine: Engine, job: int, cancelled: list[int], expected: Expected, *, max_faults: int, messages_left: int
) -> list[str]:
    """What does not hold. Empty after a storm that the system stood."""
    wrong = []
    found = verdicts(engine, job)
    with reading(engine) as session:
        row, ledger, chain = jobs.get(session, job), jobs.ledger(session, job), audit.verify(session)
        for number in cancelled:
            theirs = jobs.ledger(session, number)
            if not theirs.closed:
                wrong.append(f"the ledger of cancelled job {number} is open: {theirs.to_dict()}")
        counted = select(Batch.state, func.count().label("batches")).where(Batch.state.in_(OPEN_BATCHES))
        still_open = {row.state.value: row.batches for row in session.execute(counted.group_by(Batch.state))}
        most_faults = session.scalar(select(func.max(Batch.faults))) or 0
        wrong += [misfit.says for misfit in Verification(session=session).misfits()]
    if row.state is not JobState.DONE:
        wrong.append(f"the job is {row.state.value}: {row.state_reason}")
    if not ledger.closed or ledger.submitted != len(expected.verdicts):
        wrong.append(f"the ledger does not close over {len(expected.verdicts)} images: {ledger.to_dict()}")
    repeated = [path for path, times in Counter(path for path, _ in found).items() if times > 1]
    if repeated:
        wrong.append(f"{len(repeated)} images have more than one verdict, such as {repeated[0]}")
    wrong += _differences(dict(found), expected)
    if still_open:
        wrong.append(f"batches are open: {still_open}")
    if messages_left:
        wrong.append(f"{messages_left} messages are left on the queue")
    if most_faults >= max_faults:
        wrong.append(f"a batch has {most_faults} faults, {max_faults} are the bound")
    if chain.broken_at is not None:
        wrong.append(f"the audit chain is broken at event {chain.broken_at}")
    return wrong


def _differences(found: dict[str, Verdict], expected: Expected) -> list[str]:
    wrong = []
    if missing := sorted(expected.verdicts.keys() - found.keys()):
        wrong.append(f"{len(missing)} images have no verdict, such as {missing[0]}")
    if unknown := sorted(found.keys() - expected.verdicts.keys()):
        wrong.append(f"{len(unknown)} verdicts are on images that were never submitted, such as {unknown[0]}")
    spoilt = {path: (found[path][0], found[path][2]) for path in expected.spoilt if path in found}
    poison_wrong = {
        path: verdict for path, verdict in spoilt.items() if verdict != ("UNREADABLE", expected.spoilt[path])
    }
    if poison_wrong:
        path = next(iter(poison_wrong))
        wrong.append(f"{len(poison_wrong)} spoilt images are not {expected.spoilt[path]}: {path} is {spoilt[path]}")
    sound = expected.verdicts.keys() - expected.spoilt.keys()
    other = [path for path in sorted(sound) if path in found and found[path] != expected.verdicts[path]]
    if other:
        path = other[0]
        wrong.append(
            f"{len(other)} verdicts differ from the calm run's: {path} {found[path]}, {expected.verdicts[path]}"
        )
    return wrong
