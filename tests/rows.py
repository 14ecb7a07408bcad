"""How does a test get a model, a planned job and verdicts, without training or inspecting anything?"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select

from db import batches, checkpoints, evaluations, jobs, operating_points, plans
from db.batches import Claim
from db.checkpoints import NewCheckpoint
from db.engine import Engine, Session, writing
from db.evaluations import NewDataset, NewEvaluation, NewTrainingRun
from db.models import Checkpoint, DatasetSnapshot, Disposition
from db.plans import PlannedChunk
from db.results import NewResult

DIGEST = "ab" * 32


def add_model(session: Session, *, name: str = "tiny", digest: str = DIGEST) -> Checkpoint:
    """A registered checkpoint, with its training run and data set."""
    dataset = add_dataset(session)
    run = NewTrainingRun(
        recipe={"name": "report"},
        history=[],
        device="cpu",
        code_version="0",
        library_versions={},
        resumed=False,
        started_at=datetime(2026, 11, 1, tzinfo=UTC),
        finished_at=datetime(2026, 11, 1, 1, tzinfo=UTC),
    )
    new = NewCheckpoint(
        digest=digest,
        name=name,
        architecture="resnet18",
        positive_class="defective",
        negative_class="ok",
        preprocessing={},
        size_bytes=1,
        training_run_id=evaluations.add_training_run(session, run, dataset).id,
    )
    return checkpoints.register(session, new, actor="tester")


def add_dataset(
    session: Session, *, fingerprint: str = "f" * 64, classes: tuple[str, str] = ("defective", "ok")
) -> DatasetSnapshot:
    """A data set of nothing; `classes`: the defective one and the other."""
    return evaluations.snapshot(
        session,
        NewDataset(
            fingerprint=fingerprint,
            root="/photographs",
            layout="split folders",
            split_seed=None,
            test_share=None,
            positive_class=classes[0],
            class_names=list(classes),
            counts={"test": dict(zip(classes, (126, 467), strict=True))},
            skipped=[],
            twins_across_splits=0,
        ),
    )


def new_evaluation(tp: int, fn: int, fp: int, tn: int) -> NewEvaluation:
    """An evaluation with this confusion matrix, one score per image."""
    cells = {("defective", "defective"): tp, ("defective", "ok"): fn, ("ok", "defective"): fp, ("ok", "ok"): tn}
    score = {"defective": 0.9, "ok": 0.1}
    return NewEvaluation(
        split="test",
        threshold=0.5,
        engine="torch",
        precision="fp32",
        device="cpu",
        images=tp + fn + fp + tn,
        unreadable=0,
        figures={
            "accuracy": (tp + tn) / (tp + fn + fp + tn),
            "miss_rate": fn / (tp + fn),
            "false_alarm_rate": fp / (fp + tn),
            "escapes_ppm": 1e6 * fn / (fn + tn),
        },
        code_version="0",
        class_metrics=[
            {
                "position": 0,
                "name": "defective",
                "is_average": False,
                "precision": tp / (tp + fp),
                "recall": tp / (tp + fn),
                "f1": 2 * tp / (2 * tp + fp + fn),
                "support": tp + fn,
            }
        ],
        cells=[{"actual": a, "predicted": p, "images": n} for (a, p), n in cells.items()],
        scores=[
            {
                "path": f"{actual}-{predicted}-{n}.jpg",
                "sha256": None,
                "actual": actual,
                "score": score[predicted],
                "reason_code": None,
            }
            for (actual, predicted), images in cells.items()
            for n in range(images)
        ],
    )


def submit_job(
    engine: Engine,
    *,
    root: str = "/images",
    priority: int = 0,
    reuse: bool = False,
    audit_rate: float | None = None,
) -> int:
    """A job of two images per batch that nobody has planned yet."""
    with writing(engine) as session:
        model = session.scalar(select(Checkpoint)) or add_model(session)
        return jobs.submit(
            session,
            root=root,
            checkpoint=model,
            operating_point=operating_points.current(session, model),
            priority=priority,
            batch_images=2,
            submitted_by="tester",
            reuse=reuse,
            audit_rate=audit_rate,
        ).id


def add_job(
    engine: Engine,
    batches_of_paths: Sequence[Sequence[str]],
    *,
    root: str = "/images",
    priority: int = 0,
    reuse: bool = False,
    audit_rate: float | None = None,
) -> int:
    """A running job with these batches, planned through the scheduler's own functions."""
    job = submit_job(engine, root=root, priority=priority, reuse=reuse, audit_rate=audit_rate)
    with writing(engine) as session:
        claimed = plans.claim(session)
        assert claimed is not None
        assert claimed.id == job
        chunk = PlannedChunk(batches=batches_of_paths, cursor=batches_of_paths[-1][-1], other_files=0, linked_folders=0)
        assert plans.add_chunk(session, claimed, claimed.planner_token or "", chunk)
        assert plans.finish(session, job, claimed.planner_token or "")
    return job


def claim_next(engine: Engine, *, lease_seconds: float = 60, window: int = 100) -> Claim:
    """Dispatch what is planned and claim the first batch of it."""
    with writing(engine) as session:
        message = batches.dispatch(session, window=window)[0]
        held = batches.claim(session, message.batch, message.attempt, worker="w@h", lease_seconds=lease_seconds)
        assert held is not None
        return held


def verdicts(held: Claim, disposition: Disposition = Disposition.PASS, score: float | None = 0.25) -> list[NewResult]:
    """The same verdict on every path of the batch."""
    unreadable = disposition is Disposition.UNREADABLE
    return [
        NewResult(
            path=path,
            sha256=None if unreadable else "0" * 64,
            size=10,
            width=None if unreadable else 4,
            height=None if unreadable else 3,
            score=None if unreadable else score,
            label=None if unreadable else "ok",
            disposition=disposition,
            reason_code="truncated" if unreadable else None,
            detail="cut off" if unreadable else None,
            checkpoint_id=held.checkpoint_id,
            operating_point_id=held.operating_point_id,
            engine="torch",
            precision="fp32",
            device="cpu",
            worker="w@h",
        )
        for path in held.paths
    ]


def inspect_all(engine: Engine, disposition: Disposition = Disposition.PASS) -> None:
    """Give every open batch its verdicts and finish the jobs."""
    while True:
        with writing(engine) as session:
            messages = batches.dispatch(session, window=1000)
            for message in messages:
                held = batches.claim(session, message.batch, message.attempt, worker="w@h", lease_seconds=60)
                assert held is not None
                assert batches.finish(session, held, verdicts(held, disposition))
            for job in jobs.ready_to_finish(session):
                jobs.finish(session, job)
        if not messages:
            return
