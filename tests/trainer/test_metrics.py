"""Are the figures scikit-learn's, is the table the report's own, and are empty denominators honest?"""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from trainer.metrics import classification_table, compute_metrics, confusion_table
from trainer.reliability import expected_calibration_error

NAMES = ("defective", "non-defective")
TRUTH = [True] * 126 + [False] * 467
PREDICTED = [True] * 103 + [False] * 23 + [True] * 6 + [False] * 461

REPORT = """\
               precision    recall  f1-score   support

    defective       0.94      0.82      0.88       126
non-defective       0.95      0.99      0.97       467

     accuracy                           0.95       593
    macro avg       0.95      0.90      0.92       593
 weighted avg       0.95      0.95      0.95       593
"""


def test_the_reports_own_table_comes_out_to_the_character() -> None:
    metrics = compute_metrics(TRUTH, PREDICTED, None, class_names=NAMES)
    assert metrics.confusion_rows() == [[103, 23], [6, 461]]
    assert classification_table(metrics) == REPORT


def test_the_table_is_the_one_that_scikit_learn_prints() -> None:
    for names in [NAMES, ("ng", "ok"), ("a long name of a defective class", "ok")]:
        metrics = compute_metrics(TRUTH, PREDICTED, None, class_names=names)
        theirs = classification_report(TRUTH, PREDICTED, labels=[True, False], target_names=names)
        assert classification_table(metrics) == theirs


def test_the_confusion_matrix_has_a_row_per_true_class_and_the_defective_first() -> None:
    metrics = compute_metrics(TRUTH, PREDICTED, None, class_names=NAMES)
    cells = [(cell.true_class, cell.predicted_class, cell.count) for cell in metrics.confusion]
    assert cells == [
        ("defective", "defective", 103),
        ("defective", "non-defective", 23),
        ("non-defective", "defective", 6),
        ("non-defective", "non-defective", 461),
    ]
    lines = [line.split() for line in confusion_table(metrics).splitlines()]
    assert lines[1:] == [["defective", "103", "23"], ["non-defective", "6", "461"]]


def test_the_rates_of_the_field_have_their_own_denominators() -> None:
    metrics = compute_metrics(TRUTH, PREDICTED, None, class_names=NAMES)
    assert metrics.miss_rate == pytest.approx(23 / 126)
    assert metrics.false_alarm_rate == pytest.approx(6 / 467)
    assert metrics.escapes_ppm == pytest.approx(1e6 * 23 / 484)


def test_scores_that_rank_every_defective_first_are_perfect() -> None:
    metrics = compute_metrics([True, False, True], [True, False, False], [0.9, 0.1, 0.4], class_names=NAMES)
    assert (metrics.auroc, metrics.average_precision) == (1.0, 1.0)


def test_without_a_defective_there_is_no_miss_rate_and_no_curve() -> None:
    metrics = compute_metrics([False, False], [False, True], [0.2, 0.7], class_names=NAMES)
    assert (metrics.miss_rate, metrics.auroc, metrics.average_precision) == (None, None, None)
    assert (metrics.false_alarm_rate, metrics.escapes_ppm) == (0.5, 0.0)
    assert (metrics.per_class[0].recall, metrics.per_class[0].support) == (0.0, 0)


def test_when_nothing_passes_there_is_no_rate_of_escapes() -> None:
    metrics = compute_metrics([True, False], [True, True], [0.9, 0.6], class_names=NAMES)
    assert metrics.escapes_ppm is None
    assert metrics.per_class[1].precision == 0.0


def test_the_calibration_error_is_the_gap_weighted_by_bin() -> None:
    truth = np.array([True, True, False, False])
    # Bin 9: two at 0.95, half of them defective, a gap of 0.45. Bin 0: two at 0.0, half defective, 0.5.
    scores = np.array([0.95, 0.0, 0.95, 0.0])
    assert expected_calibration_error(truth, scores) == pytest.approx(0.5 * 0.45 + 0.5 * 0.5)


def test_a_score_of_one_belongs_to_the_last_bin() -> None:
    assert expected_calibration_error(np.array([True]), np.array([1.0])) == 0.0
