"""What do all pages share: the database, the settings, what inspects, the pictures, and how a page is drawn?"""

import pathlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from console.report.page import environment
from console.web.attempts import Attempts
from console.web.embedded import Embedded
from console.web.guard import Rules
from console.web.heat import HeatMaps
from console.web.people import Looking, Person
from console.web.pictures import Pictures
from db.engine import Engine
from db.settings import Settings

_HERE = pathlib.Path(__file__).parent
STATIC = _HERE / "static"


@dataclass(frozen=True, kw_only=True)
class Context:
    """Made once, with the application; each request gets a copy that knows who looks."""

    engine: Engine
    settings: Settings
    rules: Rules
    attempts: Attempts
    pictures: Pictures
    heat_maps: HeatMaps
    embedded: Embedded | None  # None: workers of a cluster inspect
    templates: Environment
    looking: Person | None = None

    def text(self, template: str, **values: Any) -> str:
        """A page or a part of one, with every value escaped."""
        return self.templates.get_template(template).render(values, looking=self.looking, login=self.rules.login)

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """The same, as an answer."""
        return HTMLResponse(self.text(template, **values), status_code=status)


def templates() -> Environment:
    """What pages are drawn with."""
    made = environment(_HERE / "templates")
    made.globals["version"] = version("inspectq")
    return made


def _unseen(request: Request) -> Context:
    return cast("Context", request.app.state.context)


def _seen(request: Request, looking: Looking) -> Context:
    return replace(_unseen(request), looking=looking)


Number = Annotated[int, Path(ge=1, lt=2**63)]  # what a database can number

# Whoever uses the first has said who they are; the second is for what a stranger may ask.
Shared = Annotated[Context, Depends(_seen)]
Open = Annotated[Context, Depends(_unseen)]
