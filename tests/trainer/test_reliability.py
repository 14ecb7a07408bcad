"""Are the tenths of a reliability diagram counted right, and can a temperature be taken back?"""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve

from trainer.bounds import exact_bounds
from trainer.reliability import reliability, uncalibrated


def test_the_points_are_those_of_scikit_learn_with_exact_bounds() -> None:
    generator = np.random.default_rng(5)
    scores = generator.random(500)
    truth = generator.random(500) < scores
    points = reliability(truth, scores)
    share, mean = calibration_curve(truth, scores, n_bins=10)
    assert points.share_defective == pytest.approx(share)
    assert points.mean_score == pytest.approx(mean)
    found, of = int(truth[scores < 0.1].sum()), int((scores < 0.1).sum())
    assert (points.lcl[0], points.ucl[0]) == (exact_bounds(found, of).lcl, exact_bounds(found, of).ucl)


def test_tenths_without_an_image_have_no_point_and_a_score_of_one_has() -> None:
    points = reliability(np.array([True, False, True]), np.array([1.0, 0.95, 0.05]))
    assert points.mean_score == pytest.approx([0.05, 0.975])
    assert points.share_defective == pytest.approx([1.0, 0.5])


def test_a_temperature_can_be_taken_back() -> None:
    margins = np.linspace(-4, 4, 9)
    assert uncalibrated(expit(margins / 2.5), 2.5) == pytest.approx(expit(margins))
