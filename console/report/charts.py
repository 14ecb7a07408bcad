"""What do scores and curves look like? Inline SVG that follows the page's colours, in light and dark.

Charts hold numbers and our own words only: names from a data set stand in HTML, where they are escaped.
"""

import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from console.report.curves import Counts, Curves, Floats, bin_edges, count_scores
from trainer.reliability import Reliability

# matplotlib wants a colour; these stand for the page's CSS variables and are replaced by them in the SVG.
_INKS = {
    name: f"#0000{number:02x}"
    for number, name in enumerate(
        ("ink", "muted", "line", "surface", "pass", "fail", "review", "pass-soft", "fail-soft"), 1
    )
}
_FONT = "DejaVu Sans"  # to measure with: matplotlib brings it. The page's own font takes its place.
_STYLE: Any = {  # rc_context wants every key as a literal type
    "svg.fonttype": "none",  # text stays text: selectable, in the page's own font
    "svg.hashsalt": "inspectq",  # ids that do not change from run to run
    "svg.id": None,
    "font.family": [_FONT],
    "font.size": 11,
    "text.parse_math": False,
    "text.color": _INKS["ink"],
    "axes.edgecolor": _INKS["line"],
    "axes.labelcolor": _INKS["muted"],
    "axes.labelsize": 11,
    "axes.linewidth": 1,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _INKS["line"],
    "grid.linewidth": 0.75,
    "xtick.color": _INKS["line"],
    "ytick.color": _INKS["line"],
    "xtick.labelcolor": _INKS["muted"],
    "ytick.labelcolor": _INKS["muted"],
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
}
_POINTS_PER_INCH = 72  # with this resolution, a point of the SVG is a pixel of the page
_LOG_FROM = 100  # highest bin / lowest filled bin from which small bins vanish on a linear axis
_CLOSE = 0.1  # limits nearer than this: their labels would touch
_ODDS_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_OTHER: Any = {"linewidth": 2, "linestyle": (0, (4, 2)), "clip_on": False, "zorder": 4}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True, kw_only=True)
class Size:
    """Pixels."""

    width: int
    height: int


_DRAWING = threading.Lock()  # matplotlib keeps its style for the whole process, and a server draws in several threads
WIDE, NARROW = Size(width=760, height=250), Size(width=340, height=230)
WIDE_PAIR, NARROW_PAIR = Size(width=760, height=330), Size(width=340, height=310)
SQUARE = Size(width=380, height=340)


def verdict_histogram(edges: Floats, counts: Counts, limits: tuple[float, float], size: Size, *, key: str) -> Markup:
    """How many images got which score; each bar in the colour of its verdict. limits: (pass_below, fail_from)."""
    pass_below, fail_from = limits
    middles = (edges[:-1] + edges[1:]) / 2
    names = ["pass" if at < pass_below else "fail" if at >= fail_from else "review" for at in middles]
    with _styled():
        figure, (axes,) = _canvas(size, panels=1)
        _bars(axes, edges, counts, [_INKS[name] for name in names])
        _count_axis(axes, counts)
        _limit_lines(axes, sorted({pass_below, fail_from}))
        _score_axis(axes)
        return _svg(figure, key)


def class_histograms(
    edges: Floats, defective: Counts, good: Counts, limits: tuple[float, float], size: Size, *, key: str
) -> Markup:
    """Scores of the defective images above, of the good ones below; in full on the wrong side of the limits.

    limits: (pass_below, fail_from); what lies between has the colour of REVIEW.
    """
    middles = (edges[:-1] + edges[1:]) / 2
    pass_below, fail_from = limits
    above = ["fail" if mid < pass_below else "fail-soft" if mid >= fail_from else "review" for mid in middles]
    below = ["pass-soft" if mid < pass_below else "pass" if mid >= fail_from else "review" for mid in middles]
    with _styled():
        figure, (upper, lower) = _canvas(size, panels=2)
        _bars(upper, edges, defective, [_INKS[name] for name in above])
        _bars(lower, edges, good, [_INKS[name] for name in below])
        for axes in (upper, lower):
            _count_axis(axes, np.concatenate([defective, good]))
        _limit_lines(upper, sorted(set(limits)))
        _limit_lines(lower, sorted(set(limits)), labelled=False)
        upper.tick_params(labelbottom=False)
        _score_axis(lower)
        return _svg(figure, key)


def both_class_histograms(
    defective: Floats, good: Floats, limits: tuple[float, float], *, key: str
) -> dict[str, Markup]:
    """`class_histograms` of these scores for wide and for narrow pages; nothing where there is no score."""
    if not defective.size and not good.size:
        return {}
    edges = bin_edges(*limits)
    counts = (count_scores(defective, edges), count_scores(good, edges))
    return {
        "wide": class_histograms(edges, *counts, limits, WIDE_PAIR, key=f"{key}-wide"),
        "narrow": class_histograms(edges, *counts, limits, NARROW_PAIR, key=f"{key}-narrow"),
    }


def overlaid_histograms(edges: Floats, job: Floats, expected: Floats, size: Size, *, key: str) -> Markup:
    """A job's scores as bars, and as a line those that were expected: shares of images in the cells of db.drift.

    Over the log-odds of the score, in which the edges are even; two cells make a bar.
    """
    odds = np.log(edges / (1 - edges))
    step = float(odds[1] - odds[0])
    borders = np.concatenate([[odds[0] - step], odds, [odds[-1] + step]])[::2]
    bars, line = (shares.reshape(-1, 2).sum(axis=1) for shares in (job, expected))
    with _styled():
        figure, (axes,) = _canvas(size, panels=1)
        axes.bar(borders[:-1] + step, bars, 2 * step * 0.86, color=_INKS["pass"], linewidth=0)
        axes.stairs(line, borders, color=_INKS["ink"], linewidth=1.75, baseline=0)
        axes.set_ylim(0, max(float(bars.max()), float(line.max()), 0.01) * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.set_ylabel("share of images")
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        ticks = _ODDS_TICKS if size.width > NARROW.width else _ODDS_TICKS[::2]
        axes.set_xlim(float(borders[0]), float(borders[-1]))
        axes.set_xticks([float(np.log(tick / (1 - tick))) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axes.set_xlabel("score: probability of a defect")
        return _svg(figure, key)


def roc_chart(points: Curves, here: tuple[float, float] | None, *, key: str, other: Curves | None = None) -> Markup:
    """Recall over the false alarm rate. here: (false alarm rate, recall) at the threshold; other: a dashed curve."""
    with _styled():
        figure, (axes,) = _canvas(SQUARE, panels=1)
        axes.plot([0, 1], [0, 1], color=_INKS["muted"], linewidth=1, linestyle=(0, (2, 4)))
        axes.plot(points.false_alarm_rate, points.recall, color=_INKS["pass"], linewidth=2, clip_on=False, zorder=3)
        if other is not None:
            axes.plot(other.false_alarm_rate, other.recall, color=_INKS["fail"], **_OTHER)
        _unit_square(axes, "false alarm rate", "recall", here)
        return _svg(figure, key)


def precision_recall_chart(
    points: Curves, here: tuple[float, float] | None, *, share_defective: float, key: str, other: Curves | None = None
) -> Markup:
    """Precision over recall. here: (recall, precision) at the threshold; share_defective: what guessing reaches.

    other: a dashed curve.
    """
    with _styled():
        figure, (axes,) = _canvas(SQUARE, panels=1)
        axes.axhline(share_defective, color=_INKS["muted"], linewidth=1, linestyle=(0, (2, 4)))
        # A step, as average precision sums it: between two points there is no threshold that gives more.
        axes.step(
            points.recall, points.precision, where="pre", color=_INKS["pass"], linewidth=2, clip_on=False, zorder=3
        )
        if other is not None:
            axes.step(other.recall, other.precision, where="pre", color=_INKS["fail"], **_OTHER)
        _unit_square(axes, "recall", "precision", here)
        return _svg(figure, key)


def reliability_chart(points: Reliability, *, key: str) -> Markup:
    """The share of defective images over the mean score of a tenth, with its exact bounds; on the line it is honest."""
    with _styled():
        figure, (axes,) = _canvas(SQUARE, panels=1)
        axes.plot([0, 1], [0, 1], color=_INKS["muted"], linewidth=1, linestyle=(0, (2, 4)))
        axes.vlines(points.mean_score, points.lcl, points.ucl, color=_INKS["pass"], linewidth=1.5, clip_on=False)
        axes.plot(
            points.mean_score, points.share_defective, "o", color=_INKS["pass"], markersize=7, clip_on=False, zorder=3
        )
        _unit_square(axes, "mean score", "share that is defective", None)
        return _svg(figure, key)


@contextmanager
def _styled() -> Iterator[None]:
    with _DRAWING, mpl.rc_context(_STYLE):
        yield


def _canvas(size: Size, *, panels: int) -> tuple[Figure, Sequence[Axes]]:
    inches = (size.width / _POINTS_PER_INCH, size.height / _POINTS_PER_INCH)
    figure = Figure(figsize=inches, dpi=_POINTS_PER_INCH, layout="constrained")
    grid = figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure, [row[0] for row in grid]


def _bars(axes: Axes, edges: Floats, counts: Counts, colours: Sequence[str]) -> None:
    filled = np.flatnonzero(counts)
    widths = (edges[1:] - edges[:-1])[filled]
    middles = (edges[1:] + edges[:-1])[filled] / 2
    # 0.86: a hairline of the page between neighbours
    axes.bar(middles, counts[filled], widths * 0.86, color=[colours[place] for place in filled.tolist()], linewidth=0)


def _count_axis(axes: Axes, counts: Counts) -> None:
    filled = counts[counts > 0]
    if filled.size and filled.max() >= _LOG_FROM * filled.min():
        axes.set_yscale("log")
        axes.set_ylim(0.5, float(filled.max()) * 1.6)  # below 1, so that a bar of one image has a height
        axes.yaxis.set_major_locator(LogLocator(base=10, numticks=5))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylabel("images, log scale")
    else:
        axes.set_ylim(0, max(1.0, float(counts.max(initial=0))) * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.set_ylabel("images")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _score_axis(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("score: probability of a defect")


def _limit_lines(axes: Axes, limits: Sequence[float], *, labelled: bool = True) -> None:
    for at in limits:
        axes.axvline(at, color=_INKS["ink"], linewidth=1.25, linestyle=(0, (4, 3)))
    if not labelled:
        return
    close = len(limits) == 2 and limits[1] - limits[0] < _CLOSE
    labels = {sum(limits) / 2: " to ".join(map(_limit, limits))} if close else {at: _limit(at) for at in limits}
    for at, label in labels.items():
        side = "left" if at < _CLOSE else "right" if at > 1 - _CLOSE else "center"
        axes.text(at, 1.02, label, transform=axes.get_xaxis_transform(), ha=side, va="bottom", weight="bold")


def _limit(at: float) -> str:
    """Four digits, or as many as show that it is neither 0 nor 1."""
    short = f"{at:.4g}"
    return short if float(short) not in (0.0, 1.0) or float(short) == at else f"{at:.10g}"


def _unit_square(axes: Axes, across: str, upward: str, here: tuple[float, float] | None) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel=across, ylabel=upward, aspect="equal")
    ticks, labels = [0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.grid()
    axes.tick_params(length=0)
    if here is not None:
        (dot,) = axes.plot([here[0]], [here[1]], "o", color=_INKS["fail"], markersize=11, clip_on=False, zorder=5)
        dot.set(markeredgecolor=_INKS["surface"], markeredgewidth=2)  # a ring, to stand out on the line


def _svg(figure: Figure, key: str) -> Markup:
    """The figure as an element of the page. `key` is put before every id: a page holds several charts. Its last part,
    behind a hyphen if there is one, is the element's class."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata=_NO_METADATA)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    opening = rf'<svg viewBox="\1" class="{key.rpartition("-")[2]}" aria-hidden="true">'
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', opening, svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'xlink:href="#', 'href="#', svg)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{key}-", svg)
    svg = svg.replace(f"'{_FONT}'", "var(--sans)")
    for name, colour in _INKS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return Markup(svg)  # noqa: S704 - drawn from numbers and constants of this module
