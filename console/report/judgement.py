"""What does a stored evaluation say, in a matrix and in words?

Row = actual class, column = predicted class, the positive (defective) class first.
"""

from dataclasses import dataclass

from console.report.wording import counted, percent
from db.models import Evaluation

_FAINTEST_TINT = 8  # one mistake among a million is a mistake
_DEEPEST_TINT = 45  # percent of colour behind a full row: the figures stay readable in light and dark


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of the confusion matrix."""

    images: int
    share: str  # of the row, in words
    meaning: str
    right: bool
    tint: int  # percent of colour


@dataclass(frozen=True, kw_only=True)
class Row:
    """One actual class of the confusion matrix."""

    actual: str
    images: int
    cells: tuple[Cell, Cell]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The counts of an evaluation under their names."""

    positive: str
    negative: str
    found: int  # defective, predicted defective
    missed: int  # defective, predicted good
    alarms: int  # good, predicted defective
    passed: int  # good, predicted good

    @property
    def defective(self) -> int:
        return self.found + self.missed

    @property
    def good(self) -> int:
        return self.alarms + self.passed

    @property
    def on_roc(self) -> tuple[float, float]:
        """(false alarm rate, recall), where there are parts of both kinds."""
        return self.alarms / self.good, self.found / self.defective

    @property
    def on_precision_recall(self) -> tuple[float, float] | None:
        """(recall, precision), where there are defective parts; None where none was predicted."""
        predicted = self.found + self.alarms
        return (self.found / self.defective, self.found / predicted) if predicted else None

    @property
    def misses(self) -> str:
        """Half a sentence: missed 23 of 126 defective parts (18.3%)."""
        if not self.defective:
            return "was shown no defective part, so nothing is known about misses"
        share = percent(self.missed, self.defective)
        return f"missed {counted(self.missed)} of {counted(self.defective, 'defective part')} ({share})"

    @property
    def false_alarms(self) -> str:
        """Half a sentence: rejected 6 of 467 good parts (1.3%)."""
        if not self.good:
            return "was shown no good part, so nothing is known about false alarms"
        share = percent(self.alarms, self.good)
        return f"rejected {counted(self.alarms)} of {counted(self.good, 'good part')} ({share})"

    @property
    def rows(self) -> tuple[Row, Row]:
        return (
            Row(
                actual=self.positive,
                images=self.defective,
                cells=(
                    _cell(self.found, self.defective, "found", right=True),
                    _cell(self.missed, self.defective, "missed", right=False),
                ),
            ),
            Row(
                actual=self.negative,
                images=self.good,
                cells=(
                    _cell(self.alarms, self.good, "false alarm", right=False),
                    _cell(self.passed, self.good, "rightly passed", right=True),
                ),
            ),
        )


def judgement(evaluation: Evaluation) -> Judgement:
    """The confusion cells of `evaluation`, whose first two lines of metrics name the classes, positive first."""
    positive, negative = (line.name for line in evaluation.class_metrics if not line.is_average)
    cells = {(cell.actual, cell.predicted): cell.images for cell in evaluation.cells}
    return Judgement(
        positive=positive,
        negative=negative,
        found=cells.get((positive, positive), 0),
        missed=cells.get((positive, negative), 0),
        alarms=cells.get((negative, positive), 0),
        passed=cells.get((negative, negative), 0),
    )


def _cell(images: int, whole: int, meaning: str, *, right: bool) -> Cell:
    tint = max(_FAINTEST_TINT, round(_DEEPEST_TINT * images / whole)) if images else 0
    return Cell(images=images, share=percent(images, whole), meaning=meaning, right=right, tint=tint)
