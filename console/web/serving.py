"""How is the console served: from one process, on the loopback address?"""

import ipaddress
from collections.abc import Callable
from contextlib import ExitStack

import uvicorn

from console.web.app import create_app
from console.web.embedded import Embedded
from db.engine import Engine
from db.errors import SettingInvalid
from db.settings import Settings
from scheduler.receivers import receivers
from scheduler.webhooks import Delivering

_END_SECONDS = 2  # a page that follows a job is not waited for longer


def serve(engine: Engine, settings: Settings, say: Callable[[str], None]) -> None:
    """Until SIGINT or SIGTERM. Raises SettingInvalid for an address that others could reach."""
    address = settings.web_address
    if not _is_loopback(address):
        raise SettingInvalid(
            f"INSPECTQ_WEB_ADDRESS={address} can be reached by others, and the console has no login yet. Leave it at "
            "127.0.0.1; from elsewhere, reach it through SSH: ssh -L 8080:127.0.0.1:8080 HOST"
        )
    with ExitStack() as stack:
        embedded = None if settings.broker_url else stack.enter_context(Embedded())
        to = receivers(settings)
        if embedded is not None and to is not None:  # elsewhere the leading scheduler does
            stack.enter_context(Delivering(engine, to, lambda: True))
        app = create_app(engine, settings, embedded)
        say(f"The console: http://{address}:{settings.web_port}/  (Ctrl-C ends it)")
        uvicorn.run(
            app,
            host=address,
            port=settings.web_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_END_SECONDS,
        )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
