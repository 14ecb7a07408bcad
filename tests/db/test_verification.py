"""Is whatever was changed behind the system's back found, and named?"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, DateTime, Enum, Float, Integer, select, text, update

from db import audit, checkpoints, drift, evaluations, jobs, operating_points, rejudging, runtimes, triggers
from db.engine import Engine, Session, connect, reading, writing
from db.evaluations import KnownImage
from db.misfits import Misfit
from db.models import Base, Disposition, ModelStatus
from db.runtimes import NewParity
from db.schema import upgrade
from db.verification import Verification
from tests.db.test_schema import fill, upgrade_to
from tests.rows import add_dataset, add_job, add_model, inspect_all, new_evaluation
from tests.tampering import tampering


@pytest.fixture
def recorded(engine: Engine) -> Engine:
    """Everything that is recorded: a model with limits, an evaluation, a job that was retried and judged anew."""
    with writing(engine) as session:
        model = add_model(session)
        checkpoints.set_status(session, model, ModelStatus.APPROVED, actor="tester")
        evaluation = evaluations.add_evaluation(
            session, new_evaluation(3, 1, 1, 3), checkpoint_id=model.id, dataset=add_dataset(session)
        )
        runtimes.add(session, reference(evaluation.id), checkpoint_id=model.id)
        known = [
            KnownImage(path=f"{n}.jpg", sha256=f"{n:064}", group=None, signature=bytes([n, 255])) for n in range(3)
        ]
        evaluations.add_training_images(session, add_dataset(session), known)
        point = operating_points.propose(session, model, pass_below=0.1, fail_from=0.2, actor="tester")
    job = add_job(engine, [["a.jpg", "b.jpg"], ["c\\xff.jpg"]])
    inspect_all(engine, Disposition.UNREADABLE)
    with writing(engine) as session:
        jobs.retry(session, job, actor="tester")
    inspect_all(engine, Disposition.PASS)
    with writing(engine) as session:
        point = operating_points.get(session, point.id)
        operating_points.approve(session, point, by="M. Keller", reason="Trial run 7", account="tester")
        rejudging.rejudge(session, jobs.get(session, job), point, actor="tester")
    with writing(engine) as session:
        seen = {"likeness": "unlike", "sentence": "DOES NOT LOOK LIKE it.", "images": 3, "histograms": {"job": [1, 2]}}
        assert drift.add(session, job, 3, seen)
    return engine


def reference(evaluation: int) -> NewParity:
    return NewParity(
        name="torch",
        file_digest=None,
        evaluation_id=evaluation,
        reference_evaluation_id=None,
        images=8,
        largest_difference=0.0,
        mean_difference=0.0,
        flipped=0,
        accepted=True,
        reason="The reference.",
    )


def misfits(session: Session) -> list[Misfit]:
    return list(Verification(session=session).misfits())


def said(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return [misfit.says for misfit in misfits(session)]


def test_what_nobody_has_touched_fits(recorded: Engine) -> None:
    with reading(recorded) as session:
        verification = Verification(session=session)
        assert list(verification.misfits()) == []
        assert audit.verify(session).broken_at is None
    assert (verification.verdicts, verification.older) == (9, {})
    assert verification.records == 11, (
        "data set, its training images, run, model, two limits, approval, evaluation, runtime, job, its comparison"
    )


# Batches 1 and 2 hold the first verdicts (rows 1 to 3), 3 and 4 those of the retry (4 to 6); revision 3 is judged anew.
TAMPERINGS = {
    "UPDATE inspection_result SET score = 0.9 WHERE id = 4": (
        "Batch 3 of job 1: of 2 verdicts at least one is not as it was recorded."
    ),
    "UPDATE inspection_result SET score = 0.9 WHERE id = 8": (
        "Job 1, judged anew as revision 3: of 3 verdicts at least one is not as it was recorded."
    ),
    "DELETE FROM inspection_result WHERE id = 3": "Batch 2 of job 1: of 1 verdict 1 is missing (c\\xff.jpg).",
    "DELETE FROM inspection_result WHERE id = 9": "Job 1, judged anew as revision 3: of 3 verdicts 1 is missing.",
    "added verdict 2, 1, 'z.jpg'": "Batch 2 of job 1: 2 verdicts, 1 more than were recorded (z.jpg).",
    "added verdict 2, 3, 'c.jpg'": "Job 1, judged anew as revision 3: 4 verdicts, 1 more than were recorded.",
    "added verdict 2, 7, 'c.jpg'": "Job 1, revision 7: 1 verdict without an event, such as in batch 2.",
    "DELETE FROM audit_event WHERE subject = 'batch\\:2'": "Batch 2 of job 1: 1 verdict without an event.",
    "DELETE FROM audit_event WHERE action = 'job.rejudge'": (
        "Job 1, revision 3: 3 verdicts without an event, such as in batch 3."
    ),
    "UPDATE audit_event SET details = '{}' WHERE id = (SELECT id FROM audit_event WHERE subject = 'batch\\:2')": "",
    "UPDATE audit_event SET subject = 'batch\\:99999999999999999999' WHERE subject = 'batch\\:2'": "",
    "UPDATE confusion_cell SET images = images - 1 WHERE actual = 'defective' AND predicted = 'ok'": (
        "Evaluation 1, or one of its rows in class metric, confusion cell, evaluation score, is not as it was recorded."
    ),
    "UPDATE evaluation_score SET score = 0.9 WHERE path = 'defective-ok-0.jpg'": (
        "Evaluation 1, or one of its rows in class metric, confusion cell, evaluation score, is not as it was recorded."
    ),
    "DELETE FROM class_metric": (
        "Evaluation 1, or one of its rows in class metric, confusion cell, evaluation score, is not as it was recorded."
    ),
    "UPDATE evaluation SET miss_rate = 0": (
        "Evaluation 1, or one of its rows in class metric, confusion cell, evaluation score, is not as it was recorded."
    ),
    "UPDATE operating_point SET pass_below = 0.15 WHERE id = 2": "Operating point 2 is not as it was recorded.",
    "UPDATE operating_point_approval SET approved_by = 'me'": "Approval 1 is not as it was recorded.",
    "DELETE FROM operating_point_approval": "Approval 1 is missing.",
    "UPDATE checkpoint SET digest = 'cd' || substr(digest, 3)": "Model 1 is not as it was recorded.",
    "UPDATE checkpoint SET status = 'retired'": "Model tiny is retired, but by the events it is approved.",
    "UPDATE training_run SET device = 'cuda'": "Training run 1 is not as it was recorded.",
    "UPDATE dataset_snapshot SET root = '/other'": "Data set 1 is not as it was recorded.",
    "UPDATE runtime_parity SET accepted = false": "Runtime comparison 1 is not as it was recorded.",
    "UPDATE job_drift SET likeness = 'alike', sentence = 'Looks fine.'": (
        "Job comparison 1 is not as it was recorded."
    ),
    "DELETE FROM job_drift": "Job comparison 1 is missing.",
    "UPDATE training_image SET sha256 = 'x' WHERE path = '2.jpg'": (
        "List of training images of data set 1 is not as it was recorded."
    ),
    "DELETE FROM training_image WHERE path = '1.jpg'": (
        "List of training images of data set 1 is not as it was recorded."
    ),
    "DELETE FROM training_image": "List of training images of data set 1 is missing.",
    "INSERT INTO job_drift (id, job_id, revision, likeness, sentence, images, created_at) "
    "SELECT 9, job_id, 1, 'alike', 'Looks fine.', 3, created_at FROM job_drift": (
        "Job comparison 9 was added without an event."
    ),
    "UPDATE inspection_job SET root = '/other'": "Job 1 is not as it was recorded.",
    "INSERT INTO operating_point (id, checkpoint_id, version, pass_below, fail_from, origin, created_at) "
    "SELECT 77, 1, 9, 0.9, 0.9, 'by hand', created_at FROM operating_point WHERE id = 1": (
        "Operating point 77 was added without an event."
    ),
}
# What a service could do as well: nothing of it changes or removes a row.
ADDITIONS = {
    "INSERT INTO inspection_result (id, job_id, batch_id, revision, path, {copied}) "
    "SELECT {id}, job_id, batch_id, 9, path, {copied} FROM inspection_result WHERE id = 4": (
        "Job 1, revision 9: 1 verdict without an event, such as in batch 3."
    ),
    "INSERT INTO operating_point_approval (id, operating_point_id, approved_by, reason, account, approved_at) "
    "SELECT {id}, 1, approved_by, reason, account, approved_at FROM operating_point_approval": (
        "Approval {id} was added without an event."
    ),
}
_COPIED = (
    "sha256, size, width, height, score, label, disposition, checkpoint_id, operating_point_id, engine, precision, "
    "device, worker, time"
)


def change(session: Session, what: str) -> None:
    if what.startswith("added verdict"):
        of_batch_revision_path = what.removeprefix("added verdict ")
        what = (
            f"INSERT INTO inspection_result (id, job_id, batch_id, revision, path, {_COPIED}) "
            f"SELECT 99, job_id, {of_batch_revision_path}, {_COPIED} FROM inspection_result WHERE id = 4"
        )
    assert session.execute(text(what)).rowcount  # type: ignore[attr-defined]


def test_each_way_to_tamper_is_found_and_named(recorded: Engine) -> None:
    for what, sentence in TAMPERINGS.items():
        with recorded.execution_options(inspectq_writes=True).connect() as connection, Session(connection) as session:
            triggers.drop(connection)
            change(session, what)
            found = [misfit.says for misfit in misfits(session)]
            if sentence:
                assert found[0] == sentence, what
            else:
                assert found[0].endswith("does not say what it reports."), what
            session.rollback()
    assert said(recorded) == []


@pytest.mark.parametrize("number", [0, -5])
def test_what_was_added_under_a_number_that_is_never_drawn_is_named(recorded: Engine, number: int) -> None:
    for what, sentence in ADDITIONS.items():
        with recorded.execution_options(inspectq_writes=True).connect() as connection, Session(connection) as session:
            assert session.execute(text(what.format(id=number, copied=_COPIED))).rowcount  # type: ignore[attr-defined]
            assert sentence.format(id=number) in [misfit.says for misfit in misfits(session)], what
            session.rollback()


def test_verdicts_and_events_name_what_does_not_fit(recorded: Engine) -> None:
    with tampering(recorded) as session:
        session.execute(text("UPDATE inspection_result SET detail = 'x' WHERE id = 2"))
    with reading(recorded) as session:
        (found,) = misfits(session)
        event = session.execute(select(Base.metadata.tables["audit_event"]).where(text(f"id = {found.event}"))).one()
    assert (found.what, found.job, found.batch) == ("verdicts", 1, 1)
    assert event.subject == "batch:1"


def test_events_that_changed_places_are_found(recorded: Engine) -> None:
    with tampering(recorded) as session:
        for old, new in ((2, -1), (3, 2), (-1, 3)):
            session.execute(text(f"UPDATE audit_event SET id = {new} WHERE id = {old}"))
    with reading(recorded) as session:
        assert audit.verify(session).broken_at == 2


def test_a_later_claim_that_rows_are_older_than_the_digests_excuses_nothing(recorded: Engine) -> None:
    with tampering(recorded) as session:
        change(session, "added verdict 2, 7, 'c.jpg'")
        older = {"inspection_result": {"last": 99, "rows": 10}}
        audit.record(session, actor="inspectq", action=audit.SEALS_BEGIN, subject="database", **older)
    assert said(recorded)[0] == "Job 1, revision 7: 1 verdict without an event, such as in batch 2."


def test_rows_of_before_the_digests_are_counted_and_new_ones_are_covered(database_url: str) -> None:
    engine = connect(database_url)
    upgrade_to(engine, "0008")
    fill(engine)
    upgrade(engine)
    with reading(engine) as session:
        verification = Verification(session=session)
        made_up = ("event", "checkpoint")  # what the tables were filled with is no event, and decides nothing
        assert [misfit.says for misfit in verification.misfits() if misfit.what not in made_up] == []
    assert verification.older["inspection_result"] == verification.older["evaluation"] == 1
    with tampering(engine) as session:
        session.execute(text("DELETE FROM inspection_result"))
    assert "Of 1 rows of inspection_result from before the digests, 0 are there." in said(engine)
    engine.dispose()


@pytest.mark.parametrize("older", ["0010", "0012"])
def test_comparisons_and_training_images_of_before_their_digests_get_them_with_the_upgrade(
    database_url: str, older: str
) -> None:
    engine = connect(database_url)
    upgrade_to(engine, older)
    fill(engine)
    with writing(engine) as session:
        session.execute(text("DELETE FROM audit_event"))  # what the tables were filled with is none
    upgrade(engine)
    kinds = ("job_drift", "training_image") if older == "0012" else ("job_drift",)
    with reading(engine) as session:
        assert audit.verify(session).broken_at is None
        assert not [misfit.says for misfit in misfits(session) if misfit.what in kinds]
    with tampering(engine) as session:
        for kind in kinds:
            session.execute(text(f"DELETE FROM {kind}"))
    with reading(engine) as session:
        assert [misfit.what for misfit in misfits(session) if misfit.what in kinds] == [*kinds]
    engine.dispose()


@pytest.fixture
def untriggered(recorded: Engine) -> Iterator[Session]:
    """A transaction without triggers that never ends well."""
    with recorded.execution_options(inspectq_writes=True).connect() as connection, Session(connection) as session:
        triggers.drop(connection)
        yield session
        session.rollback()


RESULTS = Base.metadata.tables["inspection_result"]
NAMES = {"disposition": [member.value for member in Disposition]}


def another(column: Column[Any], now: Any, drawn: int, word: str) -> Any:
    """A value of the column that it does not have now."""
    if column.nullable and now is not None and drawn % 5 == 0:
        return None
    if isinstance(column.type, Enum):
        return next(member for member in Disposition if member != now)
    if isinstance(column.type, DateTime) or isinstance(now, datetime):
        return now + timedelta(microseconds=1000 * drawn)
    if isinstance(column.type, Float):
        return (now or 0.0) + drawn / 2**20
    if isinstance(column.type, Integer | Boolean):
        return (now or 0) + 100 + drawn  # not the id, job or revision of another verdict: that the database refuses
    length = getattr(column.type, "length", None)
    changed = f"{word}{now or ''}"[:length]
    return changed if changed != now else f"~{now}"[:length]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(sorted(RESULTS.columns.keys())),
    number=st.integers(1, 9),
    drawn=st.integers(1, 1000),
    word=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=5),
)
def test_any_change_of_one_column_of_a_verdict_is_found(
    untriggered: Session, name: str, number: int, drawn: int, word: str
) -> None:
    column = RESULTS.columns[name]
    with untriggered.begin_nested() as point:
        unenforced(untriggered)
        now = untriggered.execute(select(column).where(RESULTS.c.id == number)).scalar_one()
        new = another(column, now, drawn, word)
        untriggered.execute(update(RESULTS).where(RESULTS.c.id == number).values({name: new}))
        assert misfits(untriggered), f"{name} of verdict {number}: {now!r} became {new!r}"
        point.rollback()


def unenforced(session: Session) -> None:
    """References to rows that are not there are let through, as by a tamperer who knows how."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL session_replication_role = replica"))
    else:
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
