"""Do the charts show the right points, and do they fit into a page?"""

import re
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from console.report import charts
from console.report.curves import bin_edges, count_scores, curves


@pytest.fixture
def labelled() -> tuple[np.ndarray, np.ndarray]:
    """Scores of 120 defective and 400 good images; rounded, so that ties occur."""
    draw = np.random.default_rng(4)
    return draw.beta(4, 2, 120).round(2), draw.beta(2, 5, 400).round(2)


def test_the_curves_enclose_the_areas_that_scikit_learn_finds(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    defective, good = labelled
    truth = np.r_[np.ones(len(defective)), np.zeros(len(good))]
    scores = np.concatenate([defective, good])
    points = curves(defective, good)
    assert points is not None
    assert np.trapezoid(points.recall, points.false_alarm_rate) == pytest.approx(roc_auc_score(truth, scores))
    steps = np.sum(np.diff(points.recall) * points.precision[1:])
    assert steps == pytest.approx(average_precision_score(truth, scores))
    rates, recalls, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert points.false_alarm_rate == pytest.approx(rates)
    assert points.recall == pytest.approx(recalls)


def test_a_curve_of_very_many_scores_is_thinned_but_keeps_its_ends() -> None:
    draw = np.random.default_rng(1)
    points = curves(draw.beta(4, 2, 50_000), draw.beta(2, 4, 50_000))
    assert points is not None
    assert len(points.recall) < 700
    assert (points.recall[0], points.recall[-1], points.false_alarm_rate[-1]) == (0, 1, 1)


def test_there_is_no_curve_without_both_classes() -> None:
    assert curves(np.array([0.5]), np.array([])) is None
    assert curves(np.array([]), np.array([0.5])) is None


@pytest.mark.parametrize("limits", [(0.5, 0.5), (0.35, 0.613), (0.0, 1.0), (0.0, 0.0), (0.999, 1.0)])
def test_no_bin_lies_on_both_sides_of_a_limit(limits: tuple[float, float]) -> None:
    edges = bin_edges(*limits)
    assert set(limits) <= set(edges)
    assert (edges[0], edges[-1]) == (0, 1)
    assert (np.diff(edges) > 0).all()


def test_every_score_is_counted_once_and_a_score_on_a_limit_counts_above_it() -> None:
    edges = bin_edges(0.5)
    counts = count_scores(iter([0.0, 0.4999999, 0.5, 1.0]), edges)
    middle = int(np.searchsorted(edges, 0.5))
    assert counts.sum() == 4
    assert counts[:middle].sum() == 2
    assert (counts[middle - 1], counts[middle], counts[-1]) == (1, 1, 1)


def _histogram(scores: list[float], limits: tuple[float, float], key: str = "wide") -> str:
    edges = bin_edges(*limits)
    return charts.verdict_histogram(edges, count_scores(scores, edges), limits, charts.WIDE, key=key)


def test_a_chart_is_well_formed_svg_in_the_colours_of_the_page() -> None:
    svg = _histogram([0.1] * 500 + [0.45, 0.9], (0.4, 0.6))
    root = ElementTree.fromstring(svg)  # noqa: S314 - drawn by us
    assert root.get("viewBox") == f"0 0 {charts.WIDE.width} {charts.WIDE.height}"
    for name in ("pass", "review", "fail", "ink", "muted"):
        assert f"var(--{name})" in svg
    assert "log scale" in "".join(root.itertext())
    assert "#0000" not in svg
    assert "DejaVu" not in svg


def test_a_chart_refers_to_nothing_outside_itself() -> None:
    svg = _histogram([0.1, 0.9], (0.5, 0.5))
    ids = set(re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r'href="([^"]+)"', svg)) | set(re.findall(r"url\(([^)]+)\)", svg))
    assert used <= {f"#{name}" for name in ids}
    assert all(name.startswith("wide-") for name in ids)


def test_the_same_scores_give_the_same_drawing() -> None:
    assert _histogram([0.1, 0.9], (0.5, 0.5)) == _histogram([0.1, 0.9], (0.5, 0.5))
    assert _histogram([0.1, 0.9], (0.5, 0.5)) != _histogram([0.1, 0.8], (0.5, 0.5))


def test_threads_that_draw_at_once_draw_what_each_would_alone(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    points = curves(*labelled)
    assert points is not None
    alone = charts.roc_chart(points, None, key="roc")
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: charts.roc_chart(points, None, key="roc"), range(24))) == {alone}


def test_a_second_curve_is_dashed_and_of_another_colour(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    points, other = curves(*labelled), curves(labelled[0] / 2, labelled[1])
    assert points is not None
    for drawn in (
        charts.roc_chart(points, None, key="roc", other=other),
        charts.precision_recall_chart(points, None, share_defective=0.2, key="pr", other=other),
    ):
        lines = re.findall(r'style="(fill: none; [^"]*stroke: var\(--(?:pass|fail)\)[^"]*)"', drawn)
        assert [("dasharray" in line, "--fail" in line) for line in lines] == [(False, False), (True, True)]


def test_the_curves_are_drawn_with_the_threshold_on_them(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    points = curves(*labelled)
    assert points is not None
    for drawn in (
        charts.roc_chart(points, (0.1, 0.8), key="roc"),
        charts.precision_recall_chart(points, (0.8, 0.7), share_defective=0.23, key="pr"),
    ):
        ElementTree.fromstring(drawn)  # noqa: S314 - drawn by us
        assert "var(--fail)" in drawn
        assert "var(--pass)" in drawn
    assert "var(--fail)" not in charts.roc_chart(points, None, key="roc")
