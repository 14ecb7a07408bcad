"""How is a kept model judged on labelled images by one of its runtimes, and compared with the reference?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from console.options import chosen_dataset
from console.terminal import progress_bar, say
from db import checkpoints, evaluations, runtimes
from db.engine import Engine, Session, reading, writing
from db.models import Checkpoint, RuntimeParity, TrainingRun
from db.models import Evaluation as EvaluationRow
from db.schema import open_database
from db.settings import Settings, settings
from scheduler.submission import person
from trainer.dataset import Dataset
from trainer.errors import DatasetError
from trainer.evaluation import Evaluation, Judging, judge
from trainer.grouping import GroupRule
from trainer.leakage import Leakage, find_leaks
from trainer.recipe import Recipe
from trainer.recording import record_evaluation, record_parity, record_reference, stored_training_images
from trainer.validation import held_out
from vision.checkpoint import EXPORT, read_verified
from vision.runtimes import EXPORTED, REFERENCE, file_of, open_runtime


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An evaluation and where it is kept."""

    evaluation: int
    model: str
    outcome: Evaluation
    leakage: Leakage | None = None  # None: what the model was trained on was not written down
    runtimes: tuple[RuntimeParity, ...] = ()  # the comparisons that were made on the way
    folds: "Judged | None" = None  # the same recipe's models on images that each had not seen, pooled


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model, labelled images, and where the rows go."""

    engine: Engine
    settings: Settings
    checkpoint: Checkpoint
    dataset: Dataset
    judging: Judging
    trained_by: Recipe | None = None  # None: the model was trained on other images

    @property
    def parted(self) -> Dataset:
        """The data set with what was held out of its training images as the split "validation"."""
        if self.trained_by is None:
            return self.dataset
        return held_out(self.dataset, share=self.trained_by.validation_share, seed=self.trained_by.seed)

    def by_reference(self) -> Judged:
        """Evaluate the checkpoint itself, by PyTorch in fp32."""
        outcome, leakage = self._asked(REFERENCE, None), self._leakage()
        with writing(self.engine) as session:
            row = self._kept(session, outcome, leakage)
            record_reference(session, row, actor=person())
        return Judged(evaluation=row.id, model=self.checkpoint.name, outcome=outcome, leakage=leakage)

    def of_folds(self, pooled: Evaluation) -> Judged:
        """Keep what models of the same recipe said of images that they had not seen, beside this model."""
        with writing(self.engine) as session:
            row = self._kept(session, pooled, None)
        return Judged(evaluation=row.id, model=self.checkpoint.name, outcome=pooled)

    def reference(self) -> int:
        """The reference's evaluation on these images: the newest one, or a new one where it lacks what can be told."""
        return self._reference_row() or self.by_reference().evaluation

    def by(self, name: str, file_digest: str | None = None) -> Judged:
        """Evaluate the runtime `name` and compare it with the reference, judging that first where need be.

        An exported file has to be the one with `file_digest`, or with the digest of its latest comparison.
        """
        if name == REFERENCE:
            return self.by_reference()
        reference = self.reference()
        if name in EXPORTED:
            file_digest = file_digest or self._recorded_digest(name)
            file = file_of(name, self.settings.models_folder, self.checkpoint.digest)
            file_digest = read_verified(file, file_digest, anew=EXPORT)[1]
        outcome, leakage = self._asked(name, file_digest), self._leakage()
        with writing(self.engine) as session:
            row = self._kept(session, outcome, leakage)
            compared_with = session.get_one(EvaluationRow, reference)
            parity = record_parity(session, name, row, compared_with, file_digest, actor=person())
        return Judged(
            evaluation=row.id, model=self.checkpoint.name, outcome=outcome, leakage=leakage, runtimes=(parity,)
        )

    def validation_by(self, compared: Sequence[RuntimeParity]) -> None:
        """Keep what each of these runtimes that was accepted says of the validation images.

        Limits are read off those scores, and have to keep their targets for the runtime that scans use, too. It is
        no comparison: whether a runtime may be used, the test images have decided.
        """
        if self.trained_by is None or not self.trained_by.validation_share:
            return
        validating = replace(self, judging=replace(self.judging, split="validation"))
        for row in compared:
            if row.accepted:
                outcome, leakage = validating._asked(row.name, row.file_digest), validating._leakage()
                with writing(self.engine) as session:
                    validating._kept(session, outcome, leakage)

    def by_exports(self) -> tuple[RuntimeParity, ...]:
        """Export the model, compare every runtime that was exported, and keep what it says of the validation images.

        Where that cannot be, it is said and there are none: the model is of use without.
        """
        try:
            from trainer.export import export
        except ImportError as error:
            say(f"Not exported: the package {error.name} is not here. The model runs with PyTorch alone.")
            return ()
        try:
            with progress_bar() as progress:
                progress.add_task("Exporting for ONNX Runtime", total=None)
                files = export(self.settings.models_folder, self.checkpoint.digest, self.parted)
        except DatasetError as error:
            say(f"Not exported: {error}")
            return ()
        compared = tuple(parity for file in files for parity in self.by(file.name, file.digest).runtimes)
        self.validation_by(compared)
        return compared

    def _kept(self, session: Session, outcome: Evaluation, leakage: Leakage | None) -> EvaluationRow:
        return record_evaluation(session, outcome, self.dataset.snapshot(), self.checkpoint, leakage, actor=person())

    def _leakage(self) -> Leakage | None:
        """What the judged images have in common with those that the model was trained on.

        None where nobody wrote down what those were. Training images that are judged themselves are known, too.
        """
        with reading(self.engine) as session:
            learned_from = session.get_one(TrainingRun, self.checkpoint.training_run_id).dataset
            trained = stored_training_images(session, learned_from.id)
            own = learned_from.fingerprint == self.dataset.fingerprint
        if trained is None:
            return None
        judged = self.parted.part(self.judging.split)
        if self.judging.split == "validation":
            held = {sample.path for sample in judged}
            trained = tuple(sample for sample in trained if sample.path not in held)
        rule = self.dataset.group_rule
        named_alike = rule is not None and (own or GroupRule.parse(rule).names_last)
        return find_leaks(judged, trained, same_rule=named_alike and learned_from.group_rule == rule)

    def _asked(self, name: str, file_digest: str | None) -> Evaluation:
        folder, digest = self.settings.models_folder, self.checkpoint.digest
        device = "cpu" if name in EXPORTED else self.judging.device  # the reference may be on a GPU meanwhile
        runtime = open_runtime(name, folder, digest, file_digest, device)
        what = "the saved file" if name == REFERENCE else name
        with progress_bar() as progress:
            parted = self.parted
            task = progress.add_task(f"Evaluating {what}", total=len(parted.part(self.judging.split)))
            return judge(runtime, digest, parted, self.judging, lambda: progress.advance(task))

    def _reference_row(self) -> int | None:
        with reading(self.engine) as session:
            found = evaluations.of_reference(
                session,
                self.checkpoint.id,
                fingerprint=self.dataset.fingerprint,
                split=self.judging.split or "all",
                threshold=self.judging.threshold,
            )
            if found is None:
                return None
            learned_from = session.get_one(TrainingRun, self.checkpoint.training_run_id).dataset_snapshot_id
            if found.leaking is None and evaluations.knows_training_images(session, learned_from):
                return None  # an older version's, which did not tell
            return found.id

    def _recorded_digest(self, name: str) -> str | None:
        with reading(self.engine) as session:
            rows = runtimes.of_checkpoint(session, self.checkpoint.id)
            return next((row.file_digest for row in rows if row.name == name), None)


def judges_of(
    models: Sequence[str], options: dict[str, Any], *, needed: tuple[str, ...], split: str | None, device: str | None
) -> tuple[Judge, ...]:
    """A judge of each model on the images that the dataset options mean; `split` None: on all of them."""
    chosen = settings()
    engine = open_database(chosen.effective_database_url)
    with reading(engine) as session:
        found = [checkpoints.find(session, model) for model in models]
        trained = [(Recipe.from_dict(one.training_run.recipe), one.training_run.dataset.fingerprint) for one in found]
    dataset = chosen_dataset(options, needed=needed)
    return tuple(
        Judge(
            engine=engine,
            settings=chosen,
            checkpoint=checkpoint,
            dataset=dataset,
            judging=Judging(split=split, device=device or chosen.device),
            trained_by=recipe if dataset.fingerprint == fingerprint else None,
        )
        for checkpoint, (recipe, fingerprint) in zip(found, trained, strict=True)
    )
