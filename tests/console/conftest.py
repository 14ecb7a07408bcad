"""Which rows and files do the tests of the reports look at? Made as scheduler, worker and trainer make them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import Engine

from db import batches, checkpoints, evaluations, jobs, operating_points, plans, runtimes
from db.engine import writing
from db.models import Disposition, ModelStatus
from db.paths import to_text
from db.results import NewResult
from db.schema import open_database
from trainer.metrics import compute_metrics
from trainer.recording import measured

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
VERSIONS = {"inspectq": "0.1", "torch": "2.9", "pillow": "12"}
CLASSES = ("defective", "ok")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One image of a made-up job."""

    path: str
    score: float | None
    sha256: str | None = None
    reason: str | None = None
    novelty: float | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One image of a made-up evaluation."""

    path: str
    actual: str
    score: float | None
    sha256: str | None = None
    novelty: float | None = None


@dataclass(kw_only=True)
class Seen(HTMLParser):
    """What a browser would find in the page."""

    text: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def pictures(self) -> list[str]:
        return [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]


def read(page: str) -> Seen:
    seen = Seen()
    seen.feed(page)
    return seen


def draw(folder: Path, name: str, shade: int = 90) -> str:
    """A photograph in `folder`; returns the sha256 of its bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (shade, shade, 255 - shade)).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Writes what a report reads. `draw`, `read`, `Verdict` and `Judged` are here for the tests to reach."""

    engine: Engine
    Verdict = Verdict
    Judged = Judged
    draw = staticmethod(draw)
    read = staticmethod(read)

    def add_model(self, *, approved: bool = True, limits: tuple[float, float] = (0.4, 0.6)) -> int:
        """A checkpoint with its training run, data set and operating point; returns its id."""
        with writing(self.engine) as session:
            new = _dataset("/data", 0, fingerprint="f" * 64)
            run = evaluations.NewTrainingRun(
                recipe={"epochs": 10, "weights": "imagenet", "boxes": 3, "boxes_sha256": "e" * 64},
                history=[],
                device="cpu",
                code_version="1",
                library_versions={},
                resumed=False,
                started_at=NOON,
                finished_at=NOON,
            )
            made = evaluations.add_training_run(session, run, evaluations.snapshot(session, new))
            model = checkpoints.NewCheckpoint(
                digest="ab" * 32,
                name="castings-1",
                architecture="resnet18",
                positive_class="defective",
                negative_class="ok",
                preprocessing={},
                size_bytes=1,
                training_run_id=made.id,
            )
            checkpoint = checkpoints.register(session, model, actor="test")
            if approved:
                checkpoints.set_status(session, checkpoint, ModelStatus.APPROVED, actor="test")
            if limits != (0.5, 0.5):
                point = operating_points.propose(
                    session, checkpoint, pass_below=limits[0], fail_from=limits[1], actor="test"
                )
                operating_points.approve(session, point, by="Q. Engineer", reason="A test.", account="test")
            return checkpoint.id

    def add_job(self, root: Path, verdicts: Sequence[Verdict], *, finished: bool = True) -> int:
        """A job over `verdicts`, done as scheduler and worker do it; returns its id."""
        with writing(self.engine) as session:
            checkpoint = checkpoints.find(session, "castings-1")
            point = operating_points.current(session, checkpoint)
            job = jobs.submit(
                session,
                root=to_text(str(root)),
                checkpoint=checkpoint,
                operating_point=point,
                priority=0,
                batch_images=8,
                submitted_by="m.keller",
            ).id
        by_path = {verdict.path: verdict for verdict in verdicts}
        paths = sorted(by_path)
        chunks = [paths[start : start + 8] for start in range(0, len(paths), 8)]
        with writing(self.engine) as session:
            planned = plans.claim(session)
            assert planned is not None
            assert planned.planner_token is not None
            chunk = plans.PlannedChunk(
                batches=chunks, cursor=paths[-1] if paths else None, other_files=2, linked_folders=0
            )
            plans.add_chunk(session, planned, planned.planner_token, chunk)
            plans.finish(session, job, planned.planner_token)
        with writing(self.engine) as session:
            for message in batches.dispatch(session, window=1000)[: None if finished else 1]:
                claim = batches.claim(session, message.batch, message.attempt, worker="w1", lease_seconds=60)
                assert claim is not None
                rows = [_result(by_path[path], claim) for path in claim.paths]
                assert batches.finish(session, claim, rows, versions=VERSIONS)
        with writing(self.engine) as session:
            for ready in jobs.ready_to_finish(session):
                jobs.finish(session, ready)
        return job

    def go_on(self, job: int, scores: Mapping[str, float]) -> None:
        """Give the open batches of the job their verdicts and finish it."""
        with writing(self.engine) as session:
            for message in batches.dispatch(session, window=1000):
                claim = batches.claim(session, message.batch, message.attempt, worker="w1", lease_seconds=60)
                assert claim is not None
                rows = [_result(Verdict(path=path, score=scores[path]), claim) for path in claim.paths]
                assert batches.finish(session, claim, rows, versions=VERSIONS)
            assert jobs.finish(session, job)

    def add_evaluation(
        self,
        model: int,
        root: Path,
        images: Sequence[Judged],
        *,
        twins: int = 0,
        split: str = "test",
        own: bool = False,
        engine: str = "torch",
        precision: str = "fp32",
        leaking: int | None = None,
        of: str | None = None,
    ) -> int:
        """A test of `model` on `images` with the threshold 0.5, its own data set's or another's; returns its id.

        `of`: the fingerprint of the data set; without one each model has another.
        """
        scored = [image for image in images if image.score is not None]
        scores = [image.score for image in scored]
        metrics = compute_metrics(
            [image.actual == CLASSES[0] for image in scored], [s >= 0.5 for s in scores], scores, class_names=CLASSES
        )
        new = evaluations.NewEvaluation(
            split=split,
            threshold=0.5,
            engine=engine,
            precision=precision,
            device="cpu",
            unreadable=len(images) - len(scored),
            leaking=leaking,
            code_version="1",
            **measured(metrics),
            scores=[{**asdict(image), "reason_code": "truncated" if image.score is None else None} for image in images],
        )
        with writing(self.engine) as session:
            dataset = evaluations.snapshot(
                session, _dataset(str(root), twins, fingerprint="f" * 64 if own else of or f"{model:064}")
            )
            return evaluations.add_evaluation(session, new, checkpoint_id=model, dataset=dataset).id

    def accept(self, model: int, name: str, evaluation: int) -> None:
        """Let the runtime `name` judge scans, by that evaluation."""
        parity = runtimes.NewParity(
            name=name,
            file_digest=None,
            evaluation_id=evaluation,
            reference_evaluation_id=None,
            images=1,
            largest_difference=0.1,
            mean_difference=0.1,
            flipped=0,
            accepted=True,
            reason="As good.",
        )
        with writing(self.engine) as session:
            runtimes.add(session, parity, checkpoint_id=model)


def _dataset(root: str, twins: int, *, fingerprint: str) -> evaluations.NewDataset:
    return evaluations.NewDataset(
        fingerprint=fingerprint,
        root=root,
        layout="split folders",
        split_seed=None,
        test_share=None,
        positive_class=CLASSES[0],
        class_names=list(CLASSES),
        counts={"train": {"defective": 5, "ok": 9}},
        skipped=[],
        twins_across_splits=twins,
    )


def _result(verdict: Verdict, claim: batches.Claim) -> NewResult:
    score, disposition = verdict.score, Disposition.REVIEW
    if score is None:
        disposition = Disposition.UNREADABLE
    elif score < claim.pass_below:
        disposition = Disposition.PASS
    elif score >= claim.fail_from:
        disposition = Disposition.FAIL
    return NewResult(
        path=verdict.path,
        sha256=verdict.sha256,
        size=100,
        width=64,
        height=48,
        score=score,
        label=None if score is None else "defective" if score >= claim.fail_from else "ok",
        disposition=disposition,
        reason_code=verdict.reason,
        detail="seen by the decoder" if verdict.reason else None,
        checkpoint_id=claim.checkpoint_id,
        operating_point_id=claim.operating_point_id,
        engine="torch",
        precision="fp32",
        device="cpu",
        worker="w1",
        novelty=verdict.novelty,
    )


@pytest.fixture
def rows(sqlite_with_tables: str) -> Rows:
    """An empty database, and the means to fill it."""
    return Rows(engine=open_database(sqlite_with_tables))
