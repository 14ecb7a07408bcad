"""A console that is served on a free port, and a browser that looks at it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from console.web.app import create_app
from console.web.embedded import Embedded
from db.engine import Engine
from db.schema import open_database
from db.settings import Settings
from tests.console.conftest import Rows

expect.set_options(timeout=30_000)  # milliseconds: other tests want the same cores


@dataclass(frozen=True, kw_only=True)
class Console:
    """Where it is, and what it shows."""

    url: str
    rows: Rows
    settings: Settings


@pytest.fixture
def engine(sqlite_with_tables: str) -> Iterator[Engine]:
    made = open_database(sqlite_with_tables)
    yield made
    made.dispose()


@pytest.fixture
def serve(tmp_path: Path, sqlite_with_tables: str, engine: Engine) -> Iterator[Callable[..., Console]]:
    """Serves a console in a thread of this process."""
    served: list[tuple[uvicorn.Server, threading.Thread]] = []

    def begin(embedded: Embedded | None = None, *, login: bool = False, **chosen: object) -> Console:
        settings = Settings(home=tmp_path, database_url=sqlite_with_tables, device="cpu", **chosen)  # type: ignore[arg-type]
        config = uvicorn.Config(
            create_app(engine, settings, embedded, login=login),
            port=0,
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        listening = config.bind_socket()
        listening.listen()  # who asks before the server accepts waits for it
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        served.append((server, thread))
        return Console(url=f"http://127.0.0.1:{port}", rows=Rows(engine=engine), settings=settings)

    yield begin
    for server, thread in served:
        server.should_exit = True
        thread.join()


@pytest.fixture
def console(serve: Callable[..., Console]) -> Console:
    """One that inspects nothing."""
    return serve()


@dataclass(kw_only=True)
class Looked:
    """A page, and what it did that nobody sees."""

    page: Page
    asked: list[str] = field(default_factory=list)  # the addresses of all requests
    said: list[str] = field(default_factory=list)  # what stands in the browser's log


@contextmanager
def _looking(browser: Browser, width: int, scheme: Literal["light", "dark"]) -> Iterator[Looked]:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    found = Looked(page=context.new_page())
    found.page.on("request", lambda asked: found.asked.append(asked.url))
    found.page.on("console", lambda message: found.said.append(message.text))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    yield found
    assert [url for url in found.asked if not url.startswith("http://127.0.0.1:")] == []
    assert found.said == []
    context.close()


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide and light", "narrow and dark"])
def looked(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Looked]:
    """A page at a desk, then one on a telephone; at the end neither may have asked elsewhere, or logged anything."""
    with _looking(browser, *request.param) as found:
        yield found


@pytest.fixture
def at_desk(browser: Browser) -> Iterator[Looked]:
    """The first of the two alone, for what takes long and looks the same on both."""
    with _looking(browser, 1280, "light") as found:
        yield found
