"""Which requests does this server answer, and what may a page of it load?

Without a login it listens on the loopback address, where every program and every page in a browser of this machine can
reach it. So it answers to its own names only (a foreign name that leads here is DNS rebinding). With a login, passwords
and what they protect travel by HTTPS, or stay on this machine. Nothing is changed for a request that another site's
page has sent: browsers say where a request comes from, and no page can make them say otherwise
(https://www.w3.org/TR/fetch-metadata/, https://www.rfc-editor.org/rfc/rfc6454#section-7). Pages load nothing but this
server's own files, and run no script that is written into them.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOLD_TO_ALL = frozenset({"/healthz", "/readyz"})  # by whatever name and way: whoever watches over it has its own
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an operator has said about who may ask."""

    login: bool  # people sign in
    names: frozenset[str]  # by which this server may be asked beside its loopback names; none, with a login: by any
    plain_http: bool  # other names are answered without HTTPS


class Guard:
    """Refuses what comes from elsewhere, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, streamed ones as well."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kept = scope["path"].startswith("/static/")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache" if kept else "no-store")
            await send(message)

        headers = Headers(scope=scope)
        refusal = _origin(scope["method"], headers)
        if scope["path"] not in _TOLD_TO_ALL:
            refusal = self._place(scope["scheme"], headers) or refusal
        answer = self._app if refusal is None else PlainTextResponse(refusal, status_code=403)
        await answer(scope, receive, send_guarded)

    def _place(self, scheme: str, headers: Headers) -> str | None:
        """What is wrong with the name by which, and the way on which, this server was asked."""
        name, rules = _without_port(headers.get("host", "")), self._rules
        is_ours = name in LOOPBACK_NAMES
        if not is_ours and not (rules.login and (name in rules.names or not rules.names)):
            return "inspectq does not answer to this name. Open it by the address that `inspectq web` prints."
        if not rules.login and "x-forwarded-for" in headers:
            return "A proxy has handed this on, and nobody signs in here. Set INSPECTQ_WEB_LOGIN=true."
        if rules.login and not is_ours and scheme != "https" and not rules.plain_http:
            return (
                "Here people sign in, and without HTTPS a password can be read on its way. Open it by https://, by a "
                "proxy that speaks it (INSPECTQ_WEB_PROXIES) or with INSPECTQ_WEB_CERTIFICATE and INSPECTQ_WEB_KEY."
            )
        return None


def _origin(method: str, headers: Headers) -> str | None:
    """What is wrong with where a request comes from that changes something."""
    if method in _SAFE:
        return None
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in (None, "same-origin", "none") or (origin is not None and _place(origin) != headers.get("host", "")):
        return "Another site's page has sent this. Nothing was changed."
    # Programs have no cookie, and need neither header; a browser sends one of the two with everything that it changes.
    if site is None and origin is None and "cookie" in headers:
        return "A request with a cookie has to say which page has sent it. Nothing was changed."
    return None


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()
