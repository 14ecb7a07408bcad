"""How good are these verdicts, in the words of the field?

Positive = defective, score = P(defective). Row = true class, column = predicted class, the positive class
first wherever something is listed. The rates come from scikit-learn; what it does not name is defined here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from db.display import shown
from trainer.bounds import Bounds, RankingBounds, exact_bounds, f1_bounds, ranking_bounds
from trainer.reliability import expected_calibration_error

# The figures that have bounds.
BOUNDED = ("accuracy", "miss_rate", "false_alarm_rate", "escapes_ppm", "auroc", "average_precision")
BOUNDED_OF_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One row of the classification report: a class, or an average over classes."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int  # true samples
    bounds: Mapping[str, Bounds] = field(default_factory=dict)  # of precision, recall and f1; averages have none


@dataclass(frozen=True, kw_only=True)
class ConfusionCell:
    """How many samples of one true class got one predicted class."""

    true_class: str
    predicted_class: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Everything that is computed from true labels, predicted labels and scores."""

    samples: int
    accuracy: float
    per_class: tuple[ClassMetrics, ...]  # the positive class first
    macro: ClassMetrics
    weighted: ClassMetrics
    confusion: tuple[ConfusionCell, ...]  # row by row, the positive class first
    miss_rate: float | None  # missed defectives / defectives; None without a defective
    false_alarm_rate: float | None  # failed good ones / good ones; None without a good one
    escapes_ppm: float | None  # missed defectives per million passed; None when nothing passed
    auroc: float | None  # None when one class is missing, or without scores
    average_precision: float | None
    ece: float | None  # expected calibration error of P(defective), ten equal bins
    # By the names above. Exact for rates, bootstrap for auroc and average_precision; missing where there are none.
    bounds: Mapping[str, Bounds]

    def confusion_rows(self) -> list[list[int]]:
        """[[TP, FN], [FP, TN]]."""
        counts = [cell.count for cell in self.confusion]
        return [counts[:2], counts[2:]]


def compute_metrics(
    is_defective: Sequence[bool],
    predicted_defective: Sequence[bool],
    scores: Sequence[float] | None,
    *,
    class_names: tuple[str, str],
) -> Metrics:
    """Metrics of n >= 1 verdicts; class_names is (the positive class, the negative class)."""
    truth = np.asarray(is_defective, dtype=bool)
    predicted = np.asarray(predicted_defective, dtype=bool)
    chances = None if scores is None else np.asarray(scores, dtype=np.float64)
    cells = confusion_matrix(truth, predicted, labels=[True, False])
    (tp, fn), (fp, tn) = ((int(cell) for cell in row) for row in cells)
    ranked = chances is not None and 0 < truth.sum() < truth.size
    ranking = (
        ranking_bounds(truth, chances)
        if chances is not None and ranked
        else RankingBounds(auroc=None, average_precision=None)
    )
    return Metrics(
        samples=int(truth.size),
        accuracy=(tp + tn) / truth.size,
        per_class=_per_class(truth, predicted, class_names),
        macro=_average(truth, predicted, "macro"),
        weighted=_average(truth, predicted, "weighted"),
        confusion=tuple(
            ConfusionCell(true_class=true, predicted_class=guess, count=int(cells[row, column]))
            for row, true in enumerate(class_names)
            for column, guess in enumerate(class_names)
        ),
        miss_rate=_share(fn, tp + fn),
        false_alarm_rate=_share(fp, fp + tn),
        escapes_ppm=None if fn + tn == 0 else 1e6 * fn / (fn + tn),
        auroc=float(roc_auc_score(truth, chances)) if ranked else None,
        average_precision=float(average_precision_score(truth, chances)) if ranked else None,
        ece=None if chances is None else expected_calibration_error(truth, chances),
        bounds=_known(
            accuracy=_exact(tp + tn, truth.size),
            miss_rate=_exact(fn, tp + fn),
            false_alarm_rate=_exact(fp, fp + tn),
            escapes_ppm=_exact(fn, fn + tn, of_a_million=True),
            auroc=ranking.auroc,
            average_precision=ranking.average_precision,
        ),
    )


def classification_table(metrics: Metrics) -> str:
    """The classification report as scikit-learn prints it, the defective class first."""
    width = max(len("weighted avg"), *(len(shown(row.name)) for row in metrics.per_class))
    titles = "".join(f" {title:>9}" for title in ("precision", "recall", "f1-score", "support"))
    lines = [
        f"{'':>{width}} {titles}",
        "",
        *(_table_row(row, width) for row in metrics.per_class),
        "",
        f"{'accuracy':>{width}} {'':>20} {metrics.accuracy:>9.2f} {metrics.samples:>9}",
        _table_row(metrics.macro, width),
        _table_row(metrics.weighted, width),
    ]
    return "\n".join(lines) + "\n"


def confusion_table(metrics: Metrics) -> str:
    """The confusion matrix as text: row = true class, column = predicted class."""
    corner = "true, predicted:"
    names = [shown(row.name) for row in metrics.per_class]
    left = max(len(corner), *(len(name) for name in names))
    column = max(7, *(len(name) for name in names))
    lines = [f"{corner:>{left}}" + "".join(f"  {name:>{column}}" for name in names)]
    for name, counts in zip(names, metrics.confusion_rows(), strict=True):
        lines.append(f"{name:>{left}}" + "".join(f"  {count:>{column}}" for count in counts))
    return "\n".join(lines) + "\n"


def _table_row(row: ClassMetrics, width: int) -> str:
    figures = "".join(f" {value:>9.2f}" for value in (row.precision, row.recall, row.f1))
    return f"{shown(row.name):>{width}} {figures} {row.support:>9}"


def _per_class(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], names: tuple[str, str]
) -> tuple[ClassMetrics, ...]:
    columns = precision_recall_fscore_support(truth, predicted, labels=[True, False], zero_division=0.0)
    sides = ((truth, predicted), (~truth, ~predicted))
    return tuple(
        ClassMetrics(
            name=name, precision=float(p), recall=float(r), f1=float(f), support=int(n), bounds=_class_bounds(*side)
        )
        for name, side, p, r, f, n in zip(names, sides, *columns, strict=True)
    )


def _class_bounds(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Mapping[str, Bounds]:
    """Of the class that is true here."""
    right = int((truth & predicted).sum())
    return _known(
        precision=_exact(right, int(predicted.sum())),
        recall=_exact(right, int(truth.sum())),
        f1=f1_bounds(truth, predicted) if truth.any() else None,
    )


def _average(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], how: str) -> ClassMetrics:
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=[True, False], average=how, zero_division=0.0
    )
    return ClassMetrics(
        name=f"{how} avg",
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        support=int(truth.size),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _exact(part: int, whole: int, *, of_a_million: bool = False) -> Bounds | None:
    if whole == 0:
        return None
    bounds = exact_bounds(part, whole)
    return Bounds(lcl=1e6 * bounds.lcl, ucl=1e6 * bounds.ucl) if of_a_million else bounds


def _known(**bounds: Bounds | None) -> Mapping[str, Bounds]:
    return {name: value for name, value in bounds.items() if value is not None}
