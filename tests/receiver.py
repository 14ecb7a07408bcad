"""Who is told of a job's end? A real server on the loopback address, which remembers what it was sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]  # by their names in small letters
    body: bytes


@dataclass(kw_only=True)
class Receiver:
    """Answers with each of `answers` in turn, then with 204. It keeps a request waiting until `open` is set."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    was_asked: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)
    trickles: bool = False  # a part of the answer comes before `open` is set

    @property
    def host(self) -> str:
        """As INSPECTQ_WEBHOOK_HOSTS names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address to be told."""
        return f"http://{self.host}/ends?line=1"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One POST."""
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Asked(path=handler.path, headers=headers, body=body))
        self.was_asked.set()
        if self.trickles:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        if not self.open.wait(30) or self.trickles:
            return
        handler.send_response(self.answers.pop(0) if self.answers else 204)
        handler.send_header("location", f"http://{self.host}/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        cast("Any", self.server).receiver.answer(self)

    def do_GET(self) -> None:  # whoever followed a redirect would come so
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    """One on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made = Receiver(port=server.server_port, answers=list(answers))
    made.open.set()
    server.receiver = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.open.set()
    server.shutdown()
    thread.join()
    server.server_close()
