"""What does a reverse proxy say of a request, and is it one that may say so?

Whoever reads the header with a person's name behind this may believe it: it is taken from requests of anybody else.
"""

import ipaddress
from collections.abc import Sequence
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from db.errors import SettingInvalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(setting: str) -> list[Network]:
    """Of addresses or networks, separated by commas. Raises SettingInvalid."""
    try:
        return [ipaddress.ip_network(one.strip()) for one in setting.split(",") if one.strip()]
    except ValueError as error:
        raise SettingInvalid(f"INSPECTQ_WEB_PROXIES={setting!r} cannot be used: {error}.") from None


class Proxies:
    """Before everything else that looks at a request."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network], user_header: str) -> None:
        """`user_header`: by which the trusted ones name who asks; empty: they name nobody."""
        self._strangers = app
        believed = ProxyHeadersMiddleware(
            app,  # type: ignore[arg-type]  # uvicorn spells these types in its own way
            trusted_hosts=[str(one) for one in trusted],
        )
        self._believed = cast("ASGIApp", believed)
        self._trusted = trusted
        self._theirs = user_header.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and self._is_trusted(scope):
            await self._believed(scope, receive, send)
            return
        if scope["type"] == "http":
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != self._theirs]}
        await self._strangers(scope, receive, send)

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            peer = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)
