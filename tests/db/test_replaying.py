"""Is every verdict of a job asked for once, and the same sample drawn again?"""

import hashlib

import pytest
from sqlalchemy import select, update

from db import jobs, replaying
from db.engine import Engine, reading, writing
from db.models import Checkpoint, Disposition, InspectionJob, InspectionResult
from db.replaying import GivenBy, Recorded, Wanted
from tests.rows import add_job, claim_next, inspect_all
from tests.tampering import tampering

PATHS = [f"line-{number % 3}/{number:03}.jpg" for number in range(40)]


@pytest.fixture
def job(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> InspectionJob:
    """Forty verdicts, ten of them by another device, three unreadable, one of which was retried in vain."""
    monkeypatch.setattr("db.replaying.PAGE_ROWS", 7)
    number = add_job(engine, [PATHS[:20], PATHS[20:]])
    inspect_all(engine)
    row = InspectionResult
    with tampering(engine) as session:
        session.execute(update(row).where(row.path < "line-1").values(device="cuda:0"))
        for path, reason in zip(sorted(PATHS)[-3:], ("truncated", "crashed_worker", "truncated"), strict=True):
            unreadable = {"disposition": Disposition.UNREADABLE, "reason_code": reason, "score": None, "label": None}
            session.execute(update(row).where(row.path == path).values(**unreadable))
    with writing(engine) as session:
        jobs.retry(session, number, actor="tester")
    inspect_all(engine, Disposition.UNREADABLE)
    with tampering(engine) as session:
        retried = update(row).where(row.revision == 2, row.path == sorted(PATHS)[-2])
        session.execute(retried.values(reason_code="crashed_worker"))
    with reading(engine) as session:
        return jobs.get(session, number)


def asked(engine: Engine, job: InspectionJob, paths: list[str] | None = None) -> dict[tuple[str, bool], list[Recorded]]:
    """What is replayed together, by device and whether it was the guard's to decode."""
    with reading(engine) as session:
        everything = replaying.given_by(session, job.id)
    found = {}
    for by in everything:
        for among in (False, True):
            wanted = Wanted(by=by, reasons=("crashed_worker", "decode_timeout"), among=among, paths=paths)
            pages = list(replaying.pages(engine, job, wanted))
            assert all(0 < len(page) <= replaying.PAGE_ROWS for page in pages)
            found[by.device, among] = [recorded for page in pages for recorded in page]
    return found


def test_every_image_is_asked_for_once_by_what_judged_it_in_order(engine: Engine, job: InspectionJob) -> None:
    found = asked(engine, job)
    assert {key: len(rows) for key, rows in found.items()} == {
        ("cpu", False): 25,
        ("cpu", True): 1,
        ("cuda:0", False): 14,
        ("cuda:0", True): 0,
    }
    for rows in found.values():
        assert [row.path for row in rows] == sorted(row.path for row in rows)
    assert sorted(row.path for rows in found.values() for row in rows) == sorted(PATHS)
    (crashed,) = found["cpu", True]
    assert (crashed.path, crashed.reason_code) == (sorted(PATHS)[-2], "crashed_worker")
    one = found["cuda:0", False][0]
    assert (one.score, one.label, one.disposition, one.pass_below, one.fail_from) == (0.25, "ok", "PASS", 0.5, 0.5)
    assert (one.positive_class, one.negative_class, one.sha256) == ("defective", "ok", "0" * 64)


def test_a_verdict_of_a_later_revision_does_not_get_in_between(engine: Engine, job: InspectionJob) -> None:
    with writing(engine) as session:
        jobs.retry(session, job.id, actor="tester")
    inspect_all(engine)
    unreadable = [row for rows in asked(engine, job).values() for row in rows if row.score is None]
    assert len(unreadable) == 3
    with reading(engine) as session:
        later = jobs.get(session, job.id)
    assert not [row for rows in asked(engine, later).values() for row in rows if row.score is None]


def test_the_same_seed_draws_the_same_images_and_a_larger_sample_holds_the_smaller(
    engine: Engine, job: InspectionJob
) -> None:
    with reading(engine) as session:
        drawn = {size: replaying.sample(session, job.id, size, seed=7) for size in (5, 12, 40, 100)}
        other = replaying.sample(session, job.id, 5, seed=8)
    by_digest = sorted(PATHS, key=lambda path: hashlib.sha256(f"7:{path}".encode()).digest())
    assert drawn == {size: sorted(by_digest[:size]) for size in drawn}, "as anybody can draw it"
    assert other != drawn[5]
    assert sorted(row.path for rows in asked(engine, job, drawn[12]).values() for row in rows) == drawn[12]


def test_other_jobs_and_other_models_are_not_mixed_in(engine: Engine, job: InspectionJob) -> None:
    add_job(engine, [["elsewhere.jpg"]])
    claim_next(engine)
    with reading(engine) as session:
        model = session.scalars(select(Checkpoint.id)).one()
        found = replaying.given_by(session, job.id)
    assert found == [
        GivenBy(checkpoint_id=model, engine="torch", precision="fp32", device=device) for device in ("cpu", "cuda:0")
    ]
