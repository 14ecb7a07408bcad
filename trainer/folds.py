"""How good are models of this recipe, when the images are too few to spare a test part?

K-fold evaluation: the images, training and test alike, are parted into folds. For each fold a model learns from the
other folds and judges this one, so that every image is judged once, by a model that has not seen it. The answers of
all those models are pooled. They speak for the recipe on these images, and for no single model.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.dataset import Dataset, fingerprint
from trainer.errors import DatasetError
from trainer.evaluation import Evaluation, Judging, evaluate, judged_metrics
from trainer.progress import OnStep
from trainer.split import stratified_folds
from trainer.together import units_by_content
from trainer.training import TrainingPlan, train, training_key

SPLIT = "folds"  # what the pooled evaluation is of

OnFold = Callable[[int], None]  # the fold's number, from 1, as its training begins


def folded(dataset: Dataset, *, folds: int, seed: int) -> tuple[Dataset, ...]:
    """One data set for each fold: the same images, with that fold as the split "test" and all others as "train".

    Groups and twins lie in one fold. Raises DatasetError where a class has fewer of them than there are folds.
    """
    samples = dataset.samples
    fold_of = stratified_folds(
        [os.fsencode(sample.path) for sample in samples],
        [sample.label for sample in samples],
        folds=folds,
        seed=seed,
        groups=units_by_content(samples),
    )
    for label in dataset.class_names:
        where = {fold for sample, fold in zip(samples, fold_of, strict=True) if sample.label == label}
        if len(where) < folds:
            raise DatasetError(
                f"The class {label!r} has too few different images for {folds} folds, each of which needs one: add "
                "images of it, or take fewer folds."
            )
    parts = []
    for number in range(folds):
        own = tuple(
            replace(sample, split="test" if fold == number else "train")
            for sample, fold in zip(samples, fold_of, strict=True)
        )
        parts.append(replace(dataset, samples=own, fingerprint=fingerprint(own)))
    return tuple(parts)


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """What the models of all folds say, and their files, of which a resumed run would train none again."""

    evaluation: Evaluation
    files: tuple[Path, ...]

    def forget(self) -> None:
        """Remove the files: what is to be kept is written down."""
        for file in self.files:
            file.unlink(missing_ok=True)


def evaluate_folds(
    plan: TrainingPlan, folds: int, judging: Judging, on_fold: OnFold, on_step: OnStep | None = None
) -> Pooled:
    """Train and judge once for each fold; the answers of all, pooled, as an evaluation of the split "folds".

    `plan` as for the model itself, whose checkpoint is not touched. With `plan.resume`, folds that a former run has
    trained are not trained again. Their files stay until they are forgotten. Raises what `train` and `evaluate` raise.
    """
    parts = folded(plan.dataset, folds=folds, seed=plan.recipe.seed)
    judged: list[Evaluation] = []
    files: list[Path] = []
    for number, part in enumerate(parts, start=1):
        on_fold(number)
        own = replace(plan, dataset=part)
        file = plan.state_folder / f"fold-{training_key(own)[:24]}.safetensors"
        files.append(file)
        if not (plan.resume and file.exists()):
            train(replace(own, checkpoint=file), on_step)
        judged.append(evaluate(file, None, part, replace(judging, split="test")))
    return Pooled(evaluation=_pooled(plan.dataset, judged), files=tuple(files))


def _pooled(dataset: Dataset, judged: list[Evaluation]) -> Evaluation:
    images = tuple(sorted((image for one in judged for image in one.images), key=lambda image: image.path))
    return replace(
        judged[0],
        checkpoint_digest="",
        dataset_fingerprint=dataset.fingerprint,
        split=SPLIT,
        metrics=judged_metrics(images, dataset.class_names),
        images=images,
        skipped=tuple(skip for one in judged for skip in one.skipped if skip not in dataset.skipped) + dataset.skipped,
        finished=judged[-1].finished,
        seconds=sum(one.seconds for one in judged),
    )
