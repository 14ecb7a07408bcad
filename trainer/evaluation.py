"""How good is a saved model on labelled images?

What is judged is the file, verified by its digest and loaded and asked by the code that the workers run.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trainer.dataset import Dataset, Sample, Skip
from trainer.errors import DatasetError
from trainer.metrics import Metrics, compute_metrics
from vision.faults import StorageTrouble
from vision.inspection import score_images
from vision.pipeline import ImageScore
from vision.runtime import Runtime

OnImage = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What is judged, and from which score on an image counts as defective."""

    split: str | None = "test"  # "train", "validation", "test", or None for every image
    threshold: float = 0.5  # score >= threshold is defective
    device: str = "auto"
    batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class JudgedImage:
    """One image's true class and what the model said."""

    path: str  # relative to the data set's folder
    sha256: str
    width: int  # pixels, upright
    height: int
    label: str
    is_defective: bool
    score: float  # P(defective)
    novelty: float | None  # None: the model cannot tell
    predicted: str
    predicted_defective: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything about an evaluation that is worth a row."""

    checkpoint_digest: str
    dataset_fingerprint: str
    split: str | None
    class_names: tuple[str, str]  # (the positive class, the negative class)
    threshold: float
    metrics: Metrics
    images: tuple[JudgedImage, ...]
    skipped: tuple[Skip, ...]  # unreadable images of this split, when the data set was opened or now
    engine: str
    precision: str
    device: str
    started: datetime  # UTC
    finished: datetime  # UTC
    seconds: float


def evaluate(
    checkpoint: Path,
    digest: str | None,
    dataset: Dataset,
    judging: Judging,
    on_image: OnImage | None = None,
) -> Evaluation:
    """Judge the checkpoint file by the reference; with `digest` only if it is exactly the recorded one.

    Raises CheckpointError, DeviceUnavailable, and DatasetError where no image of the split can be read.
    """
    from vision.saved_network import load_checkpoint
    from vision.torch_runtime import TorchRuntime

    loaded = load_checkpoint(checkpoint, digest)
    return judge(TorchRuntime(loaded, judging.device), loaded.digest, dataset, judging, on_image)


def judge(
    runtime: Runtime, checkpoint_digest: str, dataset: Dataset, judging: Judging, on_image: OnImage | None = None
) -> Evaluation:
    """Judge whatever runs the checkpoint. Raises DatasetError, and what the runtime raises."""
    started, clock = datetime.now(UTC), time.monotonic()
    samples = dataset.part(judging.split)
    paths = [dataset.root / sample.path for sample in samples]
    try:
        scores = list(score_images(paths, runtime, batch_size=judging.batch_size, on_image=on_image))
    except StorageTrouble as trouble:
        raise DatasetError(f"An image of {dataset.root} cannot be read just now: {trouble}. Try again.") from trouble
    images, lost = _judge(samples, scores, dataset, judging.threshold)
    if not samples and judging.split == "validation":
        raise DatasetError(
            f"The model held no image of {dataset.root} out for validation: it was trained on other images, "
            "or without --validation-share."
        )
    if not images:
        raise DatasetError(f"No image of {dataset.root} ({judging.split or 'all'}) can be read: nothing to judge.")
    return Evaluation(
        checkpoint_digest=checkpoint_digest,
        dataset_fingerprint=dataset.fingerprint,
        split=judging.split,
        class_names=dataset.class_names,
        threshold=judging.threshold,
        metrics=judged_metrics(images, dataset.class_names),
        images=images,
        skipped=tuple(skip for skip in dataset.skipped if judging.split in (None, skip.split)) + lost,
        engine=runtime.engine,
        precision=runtime.precision,
        device=runtime.device,
        started=started,
        finished=datetime.now(UTC),
        seconds=time.monotonic() - clock,
    )


def judged_metrics(images: Sequence[JudgedImage], class_names: tuple[str, str]) -> Metrics:
    """The metrics of judged images; class_names is (the positive class, the negative class)."""
    return compute_metrics(
        [image.is_defective for image in images],
        [image.predicted_defective for image in images],
        [image.score for image in images],
        class_names=class_names,
    )


def _judge(
    samples: Sequence[Sample], scores: Sequence[ImageScore], dataset: Dataset, threshold: float
) -> tuple[tuple[JudgedImage, ...], tuple[Skip, ...]]:
    images: list[JudgedImage] = []
    lost: list[Skip] = []
    for sample, answer in zip(samples, scores, strict=True):
        if answer.score is None or answer.sha256 is None or answer.width is None or answer.height is None:
            reason, detail = answer.reason or "", answer.detail or ""
            lost.append(Skip(path=sample.path, label=sample.label, split=sample.split, reason=reason, detail=detail))
            continue
        defective = answer.score >= threshold
        images.append(
            JudgedImage(
                path=sample.path,
                sha256=answer.sha256,
                width=answer.width,
                height=answer.height,
                label=sample.label,
                is_defective=sample.is_defective,
                score=answer.score,
                novelty=answer.novelty,
                predicted=dataset.positive if defective else dataset.negative,
                predicted_defective=defective,
            )
        )
    return tuple(images), tuple(lost)
