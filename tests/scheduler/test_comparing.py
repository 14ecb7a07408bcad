"""Is a finished job compared with the right evaluation, beside everything else, and whatever stops in between?"""

import random
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from db import batches, drift, evaluations, jobs
from db.engine import Engine, reading, writing
from db.models import Checkpoint, Disposition, InspectionJob, InspectionResult, JobDrift
from scheduler import comparing
from scheduler.comparing import Comparing, compare_finished, compare_job
from tests.rows import add_dataset, add_job, new_evaluation, verdicts
from tests.tampering import tampering

CLASSES = ("defective", "ok")


def drawn(images: int, defects: float, seed: int, shift: float = 0.0) -> list[tuple[bool, float]]:
    """(is defective, score) of so many images."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    kinds = [draw.random() < defects for _ in range(images)]
    return [(kind, min(max(draw.gauss(0.8 if kind else 0.15 + shift, 0.05), 0.0), 1.0)) for kind in kinds]


def add_done_job(engine: Engine, scores: list[float], *, novelty: float | None = 0.5) -> int:
    job = add_job(engine, [[f"{number:04}" for number in range(len(scores))]])
    with writing(engine) as session:
        message = batches.dispatch(session, window=1)[0]
        held = batches.claim(session, message.batch, message.attempt, worker="w", lease_seconds=60)
        assert held is not None
        rows = [
            type(row)(
                **{
                    **vars(row),
                    "score": score,
                    "novelty": novelty,
                    "disposition": Disposition.FAIL if score >= 0.5 else Disposition.PASS,
                }
            )
            for row, score in zip(verdicts(held), scores, strict=True)
        ]
        assert batches.finish(session, held, rows)
        assert jobs.finish(session, job)
    return job


def add_evaluation(
    where: Engine, images: list[tuple[bool, float]], classes: tuple[str, str] = CLASSES, **changes: object
) -> int:
    """Of images with these names for defective and good; where they are not the model's: of another data set."""
    new = new_evaluation(1, 1, 1, 1)
    scores = [
        {
            "path": f"{number}.jpg",
            "sha256": None,
            "actual": classes[not defective],
            "score": score,
            "novelty": 0.5,
            "reason_code": None,
        }
        for number, (defective, score) in enumerate(images)
    ]
    with writing(where) as session:
        model = session.scalars(select(Checkpoint)).one()
        whole = type(new)(**{**vars(new), "scores": scores, **changes})
        dataset = add_dataset(session, fingerprint=("f" if classes == CLASSES else "e") * 64, classes=classes)
        return evaluations.add_evaluation(session, whole, checkpoint_id=model.id, dataset=dataset).id


def compared(engine: Engine, job: int) -> JobDrift:
    with reading(engine) as session:
        row = drift.of_job(session, session.get_one(InspectionJob, job))
    assert row is not None
    return row


def scores_of(images: list[tuple[bool, float]]) -> list[float]:
    return [score for _, score in images]


def test_a_job_of_such_images_looks_like_them_and_its_defect_rate_is_corrected(engine: Engine) -> None:
    job = add_done_job(engine, scores_of(drawn(300, 0.1, 1)))
    evaluation = add_evaluation(engine, drawn(300, 0.4, 2))
    assert compare_job(engine, job)
    assert not compare_job(engine, job), "it is done"
    row = compared(engine, job)
    assert (row.likeness, row.evaluation_id, row.images, row.reference_images) == ("alike", evaluation, 300, 300)
    assert row.sentence.startswith(f"Looks like what the model was judged on (evaluation e{evaluation})")
    assert row.prevalence == pytest.approx(0.1, abs=0.05)
    assert row.plain_psi is not None
    assert row.plain_psi > 0.25, "other shares of defects, which is no alarm"
    assert (row.far, row.reference_far) == (0, 0)
    assert row.corrected_rate is not None
    assert row.corrected_rate_lcl is not None
    assert row.corrected_rate_ucl is not None
    assert row.corrected_rate_lcl <= 0.1 <= row.corrected_rate_ucl
    assert row.histograms is not None
    assert sum(row.histograms["job"]) == 300
    assert sum(row.histograms["defective"]) + sum(row.histograms["good"]) == 300


def test_a_job_of_other_images_does_not(engine: Engine) -> None:
    shifted = add_done_job(engine, scores_of(drawn(300, 0.1, 1, shift=0.3)))
    blank = add_done_job(engine, scores_of(drawn(300, 0.1, 1)), novelty=4.0)
    evaluation = add_evaluation(engine, drawn(300, 0.4, 2))
    compare_finished(engine, limit=5)
    for job, words in ((shifted, "spread in another way"), (blank, "100% of the images are far from anything seen")):
        row = compared(engine, job)
        assert row.likeness == "different"
        assert row.sentence.startswith(f"DOES NOT LOOK LIKE what the model was judged on (evaluation e{evaluation}): ")
        assert words in row.sentence


def test_the_newest_evaluation_by_the_jobs_own_runtime_is_the_measure_or_else_the_references(engine: Engine) -> None:
    job, other = (add_done_job(engine, scores_of(drawn(40, 0.5, seed))) for seed in (1, 2))
    add_evaluation(engine, drawn(40, 0.5, 3))
    newest = add_evaluation(engine, drawn(40, 0.5, 4))
    add_evaluation(engine, drawn(40, 0.5, 5), engine="onnxruntime", precision="int8")
    add_evaluation(engine, drawn(40, 0.5, 6), split="validation")
    compare_job(engine, job)
    assert compared(engine, job).evaluation_id == newest
    with tampering(engine) as session:
        ran = update(InspectionResult).where(InspectionResult.job_id == other)
        session.execute(ran.values(engine="onnxruntime", precision="fp32"))
    compare_job(engine, other)
    assert compared(engine, other).evaluation_id == newest, "of its own runtime there is none"


def test_without_an_evaluation_or_with_few_images_that_is_said(engine: Engine) -> None:
    job = add_done_job(engine, scores_of(drawn(12, 0.5, 1)))
    compare_job(engine, job)
    row = compared(engine, job)
    assert (row.likeness, row.evaluation_id, row.corrected_rate) == ("no reference", None, None)
    assert row.defect_rate is not None
    few = add_done_job(engine, scores_of(drawn(12, 0.5, 1)))
    add_evaluation(engine, drawn(300, 0.4, 2))
    compare_job(engine, few)
    assert compared(engine, few).sentence.startswith("Too few images to tell")


def test_which_class_is_defective_is_what_the_evaluations_own_data_set_says(engine: Engine) -> None:
    job = add_done_job(engine, scores_of(drawn(300, 0.1, 1)))
    add_evaluation(engine, drawn(300, 0.4, 2), classes=("ng", "good"), split="all")
    compare_job(engine, job)
    row = compared(engine, job)
    assert (row.likeness, row.sensitivity, row.specificity) == ("alike", 1.0, 1.0)
    assert row.corrected_rate == pytest.approx(0.1, abs=0.05)


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at
        threading.Event().wait(0.01)


def waiting(engine: Engine) -> list[int]:
    with reading(engine) as session:
        return drift.not_compared(session, limit=9)


def test_a_thread_compares_them_while_its_scheduler_leads_and_one_that_fails_stops_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (add_done_job(engine, [0.1, 0.9]) for _ in range(2))
    really = comparing.compare_job

    def fails_once(engine: Engine, job: int) -> bool:
        if job == bad:
            raise ZeroDivisionError("a fault of ours")
        return really(engine, job)

    monkeypatch.setattr(comparing, "compare_job", fails_once)
    with Comparing(engine, lambda: True, look_seconds=0.01):
        until(lambda: waiting(engine) == [bad])
        later = add_done_job(engine, [0.2])
        until(lambda: waiting(engine) == [bad])
    monkeypatch.undo()
    assert compared(engine, good).images == 2
    assert compared(engine, later).images == 1
    asked = threading.Event()

    def follows() -> bool:
        asked.set()
        return False

    with Comparing(engine, follows, look_seconds=0.01):
        assert asked.wait(30)
    assert waiting(engine) == [bad]
    with Comparing(engine, lambda: True, look_seconds=0.01):  # another process tries again
        until(lambda: waiting(engine) == [])
