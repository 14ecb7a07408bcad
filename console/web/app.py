"""Which addresses are there, and what does an error look like?"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from console.web import account, agreements, api, comparison, evaluations, health, images, jobs, models, review, sign_in
from console.web.attempts import Attempts
from console.web.context import STATIC, Context, templates
from console.web.embedded import Embedded
from console.web.guard import Guard, Rules
from console.web.heat import HeatMaps
from console.web.people import NotAllowed, NotSignedIn
from console.web.pictures import Pictures
from console.web.proxies import Proxies, networks
from db.display import shown
from db.engine import Engine
from db.errors import InspectqError, NotFound, Refused, ServiceAway, SettingInvalid
from db.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_BODY = 2**20  # bytes; nothing that is sent here is a file


def create_app(engine: Engine, settings: Settings, embedded: Embedded | None, *, login: bool) -> FastAPI:
    """The console. `embedded`: what inspects where no cluster does; the caller starts and ends it.

    `login`: people sign in. Without it whoever asks may everything. Raises SettingInvalid.
    """
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
        max_body_size=_LONGEST_BODY,
        lifespan=life,
    )
    rules = Rules(login=login, names=_names(settings.web_names), plain_http=settings.web_plain_http)
    app.state.context = Context(
        engine=engine,
        settings=settings,
        rules=rules,
        attempts=Attempts(),
        templates=templates(),
        pictures=Pictures(cache / "pictures", settings.root_folders),
        heat_maps=heat_maps,
        embedded=embedded,
    )
    app.add_middleware(Guard, rules=rules)
    trusted, header = networks(settings.web_proxies), settings.web_user_header.strip()
    if header and not trusted:
        raise SettingInvalid("INSPECTQ_WEB_USER_HEADER needs INSPECTQ_WEB_PROXIES: anybody could send that header.")
    app.add_middleware(Proxies, trusted=trusted, user_header=header)  # the last one added looks first
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for each in (sign_in, account, jobs, images, review, agreements, comparison, models, evaluations, health):
        app.include_router(each.router, include_in_schema=False)
    app.include_router(api.router)
    app.add_exception_handler(InspectqError, _said)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(HTTPException, _no_such_page)
    return app


def _names(setting: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in setting.split(",") if name.strip())


_AWAY = "The console cannot answer now: it waits for its database, or for others. Try again in a while."
_STATUS = {NotSignedIn: 401, NotAllowed: 403, NotFound: 404, Refused: 409, ServiceAway: 503}


async def _said(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
    if status == 503:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return _answer(request, status, _AWAY)  # strangers read it: the server's log says which database, and where
    answer = _to_the_door(request) if status == 401 else None
    return answer or _answer(request, status, str(error))


def _to_the_door(request: Request) -> Response | None:
    """Where a person who looks at pages signs in, and comes back from."""
    wants_page = "text/html" in request.headers.get("accept", "")
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if not wants_page:
        return None
    asked = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    back = f"?{urlencode({'next': asked})}" if request.method == "GET" and asked != "/" else ""
    return RedirectResponse(f"/login{back}", status_code=303)


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
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"detail": sentence}, status_code=status, headers=headers)
