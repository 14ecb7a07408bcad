"""What do all pages share: the database, the settings, what inspects, the pictures, and how a page is drawn?"""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from console.report.page import environment
from console.web.embedded import Embedded
from console.web.heat import HeatMaps
from console.web.pictures import Pictures
from db.engine import Engine
from db.settings import Settings

_HERE = Path(__file__).parent
STATIC = _HERE / "static"


@dataclass(frozen=True)
class Context:
    """Made once, with the application."""

    engine: Engine
    settings: Settings
    pictures: Pictures
    heat_maps: HeatMaps
    embedded: Embedded | None  # None: workers of a cluster inspect

    @cached_property
    def _environment(self) -> Environment:
        made = environment(_HERE / "templates")
        made.globals["version"] = version("inspectq")
        return made

    def text(self, template: str, **values: Any) -> str:
        """A page or a part of one, with every value escaped."""
        return self._environment.get_template(template).render(values)

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """The same, as an answer."""
        return HTMLResponse(self.text(template, **values), status_code=status)


def _context(request: Request) -> Context:
    return cast("Context", request.app.state.context)


Shared = Annotated[Context, Depends(_context)]
