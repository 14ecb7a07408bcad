"""May everybody do what their role says, and nothing more? Every route is asked as every role."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import select
from starlette.routing import Mount, Route

from console.web.app import create_app
from db import people, sign_ins
from db.engine import Engine, reading, writing
from db.models import AuditEvent, Role
from tests.web.conftest import Console

OPEN = None  # a stranger may
# Who may at least. What only shows something is for viewers: whoever adds a route that does more adds it here.
MAY = {
    "GET /": OPEN,  # leads to /jobs
    "GET /login": OPEN,
    "POST /logout": Role.VIEWER,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /api/v1/openapi.json": OPEN,
    "GET /account": Role.VIEWER,
    "POST /account/password": Role.VIEWER,
    "POST /account/tokens": Role.VIEWER,
    "POST /tokens/{token}/revoke": Role.VIEWER,  # one's own
    "GET /people": Role.ADMIN,
    "POST /people": Role.ADMIN,
    "POST /people/{user}": Role.ADMIN,
    "GET /jobs/{job}/review": Role.INSPECTOR,
    "GET /agreements/{study}/answer": Role.INSPECTOR,
    "POST /models/{model}/status": Role.APPROVER,
    "POST /models/{model}/limits": Role.APPROVER,
    "POST /operating-points/{point}/approve": Role.APPROVER,
}
IN_PERSON = {"/account", "/account/password", "/account/tokens", "/tokens/{token}/revoke", "/people", "/people/{user}"}


def at_least(method: str, path: str) -> Role | None:
    return MAY.get(f"{method} {path}", Role.VIEWER if method == "GET" else Role.INSPECTOR)


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path) of everything that answers."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route.original_route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, str(route.path)


@pytest.fixture
def served(serve: Callable[..., Console]) -> Console:
    return serve(login=True)


@pytest.fixture
def clients(served: Console, engine: Engine) -> Iterator[dict[str, httpx.Client]]:
    """By role, with a token of somebody who has it; by `session-ROLE`, with a session; and a stranger."""
    with ExitStack() as stack:

        def client(**options: dict[str, str]) -> httpx.Client:
            return stack.enter_context(httpx.Client(base_url=served.url, **options))  # type: ignore[arg-type]

        made = {"stranger": client()}
        for role in Role:
            with writing(engine) as session:
                user = people.add(session, f"the {role.value}", role, by="test")
                token = sign_ins.add_token(session, user, "walk", role, days=1, by="test")
                cookie = sign_ins.begin(session, user)
            made[role.value] = client(headers={"Authorization": f"Bearer {token}"})
            made[f"session-{role.value}"] = client(cookies={"inspectq": cookie}, headers={"Origin": served.url})
        yield made


def test_every_route_asks_who_may(served: Console, engine: Engine, clients: dict[str, httpx.Client]) -> None:
    app = create_app(engine, served.settings, None, login=True)
    walked = sorted(routes(app))
    assert set(MAY) <= {f"{method} {path}" for method, path in walked}, "the table names a route that is gone"
    wrong = []
    for method, path in walked:
        if path.endswith("/live") or (method, path) == ("POST", "/login"):
            continue  # the first answers for as long as one looks (below), the second says 401 of a wrong password
        for who, client in clients.items():
            if path == "/logout" and who.startswith("session-"):
                continue  # would end the session that is needed for the rest
            # A number that is nobody's: whoever is let through is told so, and nothing changes.
            status = client.request(method, numbered(path)).status_code
            if (status in (401, 403)) != (not may(who, method, path)):
                wrong.append(f"{method} {path} as {who}: {status}")
    assert wrong == []
    assert len(walked) > 50


def numbered(path: str) -> str:
    for name in ("job", "result", "model", "evaluation", "score", "point", "token", "user", "study"):
        path = path.replace(f"{{{name}}}", "999999")
    assert "{" not in path, "which number?"
    return path


def may(who: str, method: str, path: str) -> bool:
    least = at_least(method, path)
    if least is OPEN:
        return True
    if who == "stranger":
        return False
    if path in IN_PERSON and not who.startswith("session-"):
        return False
    return Role(who.removeprefix("session-")).covers(least)


def test_what_goes_on_answering_asks_as_well(clients: dict[str, httpx.Client]) -> None:
    assert clients["stranger"].get("/jobs/live").status_code == 401
    assert clients["stranger"].get("/jobs/1/live").status_code == 401
    with clients["viewer"].stream("GET", "/jobs/live") as answer:
        assert answer.status_code == 200


def test_a_token_may_no_more_than_its_person_does_by_now(clients: dict[str, httpx.Client], engine: Engine) -> None:
    assert clients["inspector"].post("/api/v1/jobs/999999/cancel").status_code == 404
    with writing(engine) as session:
        people.set_role(session, people.find(session, "the inspector"), Role.VIEWER, by="test")
    assert clients["inspector"].get("/api/v1/me").json() == {"name": "the inspector", "role": "viewer"}
    assert clients["inspector"].post("/api/v1/jobs/999999/cancel").status_code == 403


def test_whoever_is_shut_out_is_out_at_once(clients: dict[str, httpx.Client], engine: Engine) -> None:
    with writing(engine) as session:
        people.set_active(session, people.find(session, "the viewer"), False, by="test")
    for who in ("viewer", "session-viewer"):
        assert clients[who].get("/api/v1/me").status_code == 401
    with writing(engine) as session:
        people.set_active(session, people.find(session, "the viewer"), True, by="test")
    assert clients["viewer"].get("/api/v1/me").status_code == 200
    assert clients["session-viewer"].get("/api/v1/me").status_code == 401  # the session was ended, not paused


def test_what_is_done_carries_the_name_and_the_token(
    clients: dict[str, httpx.Client], served: Console, engine: Engine
) -> None:
    checkpoint = served.rows.add_model()
    answer = clients["session-approver"].post(f"/models/{checkpoint}/status", data={"status": "retired"})
    assert answer.status_code == 303
    assert clients["approver"].post(f"/models/{checkpoint}/status", data={"status": "approved"}).status_code == 303
    with reading(engine) as session:
        of_model = select(AuditEvent.actor).where(AuditEvent.subject.like("model:%")).order_by(AuditEvent.id)
        actors = session.scalars(of_model).all()
    assert actors[-2:] == ["the approver", "the approver, token walk"]
