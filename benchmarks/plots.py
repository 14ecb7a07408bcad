"""How do figures become a picture that is read at a glance?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

OURS, THEIRS = "#1f6f8b", "#b8b8b8"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A median and its spread."""

    name: str
    ours: bool
    value: float
    low: float
    high: float


def draw_panels(panels: Mapping[str, Sequence[Bar]], path: Path, label: str) -> None:
    """Horizontal bars, a panel per title, as a PNG."""
    rows = max(len(bars) for bars in panels.values())
    figure = Figure(figsize=(4.2 * len(panels), 0.42 * rows + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    names = list(dict.fromkeys(bar.name for bars in panels.values() for bar in bars))
    places = {name: len(names) - index for index, name in enumerate(names)}
    for number, (title, bars) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), number + 1)
        at = [places[bar.name] for bar in bars]
        axes.barh(at, [bar.value for bar in bars], color=[OURS if bar.ours else THEIRS for bar in bars], height=0.7)
        axes.hlines(at, [bar.low for bar in bars], [bar.high for bar in bars], color="black", linewidth=1)
        for place, bar in zip(at, bars, strict=True):
            axes.annotate(
                f"{bar.value:.1f}", (max(bar.value, bar.high), place), (4, 0), textcoords="offset points", va="center"
            )
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_yticks(list(places.values()), list(places) if number == 0 else [""] * len(places))
        axes.set_ylim(0.4, len(names) + 0.6)
        axes.set_xlim(0, max((bar.high for bar in bars), default=1) * 1.2)
        axes.tick_params(left=False)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.supxlabel(label, fontsize=10)
    figure.savefig(path, dpi=110)
