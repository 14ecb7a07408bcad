"""How is a number, a moment or a hostile file name written, so that a person reads it right?"""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from console.terminal import shown

NOTHING = "–"  # where a figure does not exist, which is not the same as zero


def folder_and_name(path: str) -> tuple[str, str]:
    """The folder, with its final '/', and the file's own name; both as console.terminal.shown writes them."""
    folder, slash, name = path.rpartition("/")
    return shown(folder + slash), shown(name)


def counted(number: int, noun: str = "", plural: str = "") -> str:
    """1,234 — or "1 image", "1,234 images"."""
    figure = f"{number:,}"
    if not noun:
        return figure
    return f"{figure} {noun if number == 1 else plural or noun + 's'}"


def percent(part: float, whole: float) -> str:
    """part / whole as 18.3%; a share that is neither none nor all is never written as 0.0% or 100.0%."""
    if not whole:
        return NOTHING
    if 0 < part / whole < 0.0005:
        return "<0.1%"
    if 0.9995 <= part / whole < 1:
        return ">99.9%"
    return f"{100 * part / whole:.1f}%"


def score(value: float | None) -> str:
    """P(defective) with three decimals, rounded down: 0.4998 is below a limit of 0.5 and has to look so."""
    if value is None:
        return NOTHING
    return str(Decimal(repr(value)).quantize(Decimal("0.001"), ROUND_DOWN))


def limit(value: float) -> str:
    """A limit as it was set, without rounding: 0.5, 0.625; at least one decimal."""
    return repr(float(value))


def figure(value: float | None, digits: int = 3) -> str:
    """A metric with a fixed number of decimals, or a dash where it is not defined."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def moment(when: datetime | None) -> str:
    """2026-03-04 14:05:09 UTC."""
    return NOTHING if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(span: timedelta) -> str:
    """0.8 s, 42 s, 3 min 20 s, 2 h 5 min."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def said_of_twins(kind: str, similarity: float | None) -> str:
    """What two images have in common, in words: similarity is that of near twins, 0 to 1."""
    return kind if similarity is None else f"{kind}, similarity {similarity:.3f}"
