"""How does a report become one file that is whole, asks the network for nothing and runs nothing?"""

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from console.files import whole
from console.report import wording
from console.terminal import shown


def render(template: str, made_at: datetime, values: Mapping[str, Any]) -> str:
    """The page as text. Every value is escaped, in text and in attributes, unless it is a drawn chart."""
    return _template(template).render(values, made_at=made_at, version=version("inspectq"))


def picture(chart: Markup, *, width: int, height: int) -> str:
    """A chart as a file of its own, in the colours that the reader's screen asks for. In pixels."""
    return _template("chart.svg.j2").render(chart=chart, width=width, height=height)


def _template(name: str) -> Template:
    return environment(Path(__file__).parent / "templates").get_template(name)


def environment(*templates: Path) -> Environment:
    """In which every value is escaped, and no text acts. `templates`: folders."""
    made = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shown"] = shown
    for name in ("folder_and_name", "counted", "percent", "score", "limit", "figure", "moment", "duration"):
        made.filters[name] = getattr(wording, name)
    return made


def _printable(value: Any) -> Any:
    """The net under the filter `shown`: no text reaches a page with a character in it that acts."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def write(page: str, out: Path) -> None:
    """Write `page` to `out`, which holds either all of it or what it held before. Raises Refused."""
    with whole(out) as part:
        # Paths are stored without them, but a lone surrogate must not cost the report.
        part.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
