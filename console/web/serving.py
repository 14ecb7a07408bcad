"""How is the console served: from one process, on which address, and do people sign in?"""

import ipaddress
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

import uvicorn

from console.exits import ExitCode
from console.web.app import create_app
from console.web.embedded import Embedded
from db import people
from db.engine import Engine, reading
from db.errors import SettingInvalid
from db.settings import Settings
from scheduler.receivers import receivers
from scheduler.webhooks import Delivering

_END_SECONDS = 2  # a page that follows a job is not waited for longer


def serve(engine: Engine, settings: Settings, say: Callable[[str], None]) -> None:
    """Until SIGINT or SIGTERM. Raises SettingInvalid."""
    address = settings.web_address
    login = settings.web_login or bool(settings.web_user_header) or not _is_loopback(address)
    if login and not settings.root_folders:
        raise SettingInvalid(
            "INSPECTQ_ROOTS is empty, so whoever may submit could have any folder of this machine inspected and shown. "
            "Set it to the folders that hold images."
        )
    with _ended_by_sigterm(), ExitStack() as stack:
        embedded = None if settings.broker_url else stack.enter_context(Embedded())
        to = receivers(settings)
        if embedded is not None and to is not None:  # elsewhere the leading scheduler does
            stack.enter_context(Delivering(engine, to, lambda: True))
        app = create_app(engine, settings, embedded, login=login)
        config = uvicorn.Config(
            app,
            host=address,
            port=settings.web_port,
            ssl_certfile=settings.web_certificate or None,
            ssl_keyfile=settings.web_key or None,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # console/web/proxies.py
            timeout_graceful_shutdown=_END_SECONDS,
        )
        say(f"The console: {_shown(config)}  (Ctrl-C ends it)")
        if login:
            say(_about_people(engine))
        uvicorn.Server(config).run()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """uvicorn raises the signal that ended it anew, which by default leaves nobody the time to end what they began."""

    def end(_: int, __: FrameType | None) -> NoReturn:
        raise SystemExit(ExitCode.DONE)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _shown(config: uvicorn.Config) -> str:
    """Where a browser on this machine finds it."""
    try:
        config.load()
    except OSError as error:  # ssl's own is one
        raise SettingInvalid(f"INSPECTQ_WEB_CERTIFICATE and INSPECTQ_WEB_KEY cannot be used: {error}.") from None
    anywhere = config.host in ("0.0.0.0", "::")  # noqa: S104 - what was chosen, to be shown as one can open it
    host = "127.0.0.1" if anywhere else f"[{config.host}]" if ":" in config.host else config.host
    return f"{'https' if config.is_ssl else 'http'}://{host}:{config.port}/"


def _about_people(engine: Engine) -> str:
    with reading(engine) as session:
        if people.any_there(session):
            return "People sign in. Who may: inspectq users list"
    return "People sign in, and nobody may yet. Add the first: inspectq users add NAME --role admin"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
