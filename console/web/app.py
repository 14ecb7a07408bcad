"""Which addresses are there, and what does an error look like?"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from console.web import api, comparison, evaluations, health, images, jobs, models, review
from console.web.context import STATIC, Context
from console.web.embedded import Embedded
from console.web.guard import Guard
from console.web.heat import HeatMaps
from console.web.pictures import Pictures
from db.display import shown
from db.engine import Engine
from db.errors import InspectqError, NotFound, Refused, ServiceAway
from db.settings import Settings

log = logging.getLogger(__name__)


def create_app(engine: Engine, settings: Settings, embedded: Embedded | None) -> FastAPI:
    """The console. `embedded`: what inspects where no cluster does; the caller starts and ends it."""
    cache = settings.home_folder / "cache"  # whoever needs the room may delete it
    heat_maps = HeatMaps(cache / "heat", settings.models_folder, settings.root_folders)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        with heat_maps:
            yield

    app = FastAPI(
        title="inspectq",
        version=version("inspectq"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=life,
    )
    app.state.context = Context(
        engine=engine,
        settings=settings,
        pictures=Pictures(cache / "pictures", settings.root_folders),
        heat_maps=heat_maps,
        embedded=embedded,
    )
    app.add_middleware(Guard)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for each in (jobs, images, review, comparison, models, evaluations, health):
        app.include_router(each.router, include_in_schema=False)
    app.include_router(api.router)
    app.add_exception_handler(InspectqError, _said)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(HTTPException, _no_such_page)
    return app


_STATUS = {NotFound: 404, Refused: 409, ServiceAway: 503}


async def _said(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
    if status == 503:
        log.warning("%s %s: %s", request.method, request.url.path, error)
    return _answer(request, status, str(error))


async def _misunderstood(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:])) or "what was sent"
    return _answer(request, 422, f"This could not be understood: {shown(where)}: {first['msg']}.")


async def _no_such_page(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _answer(request, status, "There is no such page." if status == 404 else "That cannot be done here.")


def _answer(request: Request, status: int, sentence: str) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        context: Context = request.app.state.context
        return context.page("problem.html.j2", status=status, sentence=sentence)
    return JSONResponse({"detail": sentence}, status_code=status)
