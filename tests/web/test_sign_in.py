"""Does the door let in whom it should, and nobody else, and does what is secret stay so?"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy import select, text

from console import hashing
from console.web.attempts import Attempts
from db import people, reviews, sign_ins
from db.engine import Engine, reading, writing
from db.models import AuditEvent, Role, WebPassword, WebSession
from tests.web.conftest import Console, Looked
from tests.web.test_accessibility import serious
from tests.web.test_journey import job_of

PASSWORD = "four words nobody guesses"


hashed = cache(hashing.hashed)  # slow on purpose: once for all of these tests


def add(engine: Engine, name: str, role: Role, password: str | None = PASSWORD) -> None:
    with writing(engine) as session:
        user = people.add(session, name, role, by="test")
        if password is not None:
            people.set_password(session, user, hashed(password), by="test")


@pytest.fixture
def behind_login(serve: Callable[..., Console], engine: Engine) -> Console:
    """A console into which an inspector and an admin may sign in."""
    add(engine, "Ines", Role.INSPECTOR)
    add(engine, "Ada", Role.ADMIN)
    return serve(login=True)


@pytest.fixture
def client(behind_login: Console) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=behind_login.url, headers={"Origin": behind_login.url}) as made:
        yield made


def sign_in(client: httpx.Client, name: str = "Ines", password: str = PASSWORD, **more: str) -> httpx.Response:
    return client.post("/login", data={"name": name, "password": password, **more})


def test_a_person_signs_in_comes_back_to_the_page_and_signs_out(behind_login: Console, looked: Looked) -> None:
    page = looked.page
    page.goto(f"{behind_login.url}/health?x=1")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert serious(page) == []
    page.get_by_label("Name").fill("Ines")
    page.get_by_label("Password").fill("not this one, surely")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The name or the password is not right.")
    looked.said.clear()  # the browser logs the status
    page.get_by_label("Name").fill("Ines")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Health")
    assert page.url == f"{behind_login.url}/health?x=1"
    expect(page.get_by_role("link", name="Ines")).to_be_visible()
    expect(page.get_by_role("link", name="People")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(f"{behind_login.url}/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_an_admin_adds_somebody_who_makes_a_token_and_changes_the_password(
    behind_login: Console, looked: Looked
) -> None:
    page = looked.page
    page.goto(behind_login.url)
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="People").click()
    page.get_by_role("textbox", name="Name It stands").fill("Björn Ødegård-Smith")
    assert serious(page) == []
    page.get_by_label("Role").last.select_option("approver")
    page.locator("form.propose").get_by_label("Password").fill("first given password")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Björn Ødegård-Smith")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill("Björn Ødegård-Smith")
    page.get_by_label("Password").fill("first given password")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Björn Ødegård-Smith").click()
    page.get_by_label("Name", exact=True).fill("line 3")
    page.get_by_label("It may do what this role may").select_option("inspector")
    page.get_by_role("button", name="Make a token").click()
    assert serious(page) == []
    token = page.locator("pre.secret").inner_text()
    me = httpx.get(f"{behind_login.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json() == {"name": "Björn Ødegård-Smith", "role": "inspector"}
    page.get_by_role("link", name="Björn Ødegård-Smith").click()
    expect(page.locator("pre.secret")).to_have_count(0)
    expect(page.get_by_text("last used about")).to_be_visible()
    page.get_by_label("Current password").fill("first given password")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_nobody_yet_is_told_how_the_first_is_added(serve: Callable[..., Console], at_desk: Looked) -> None:
    at_desk.page.goto(serve(login=True).url)
    expect(at_desk.page.get_by_text("inspectq users add NAME --role admin")).to_be_visible()


def test_whoever_is_signed_out_in_the_middle_of_a_review_is_told_what_was_not_saved(
    behind_login: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = at_desk.page, job_of(behind_login.rows, tmp_path / "images")
    page.goto(f"{behind_login.url}/jobs/{job}/review")
    page.get_by_label("Name").fill("Ines")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    place = page.locator("[data-path]")
    expect(place).to_contain_text("doubt-")
    before = place.inner_text()
    with writing(engine) as session:
        sign_ins.end_all(session, people.find(session, "Ines"))
    page.keyboard.press("f")
    expect(page.get_by_role("alert")).to_contain_text("your last answer was not saved")
    at_desk.said.clear()  # the browser logs the status
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Name").fill("Ines")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(place).to_have_text(before)
    with reading(engine) as session:
        assert list(reviews.of_job(session, job)) == []


def test_the_cookie_is_the_servers_alone(behind_login: Console, client: httpx.Client) -> None:
    cookie = sign_in(client).headers["set-cookie"].lower()
    assert cookie.startswith("inspectq=")
    assert {"httponly", "samesite=lax", "path=/", "max-age=43200"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie, "a browser would not send it to http://127.0.0.1"


def test_by_https_it_never_leaves_it(serve: Callable[..., Console], engine: Engine) -> None:
    add(engine, "Ines", Role.INSPECTOR)
    served = serve(login=True, web_proxies="127.0.0.1", web_names="inspect.example")
    headers = {"Host": "inspect.example", "X-Forwarded-Proto": "https", "Origin": "https://inspect.example"}
    with httpx.Client(base_url=served.url, headers=headers) as client:
        answer = sign_in(client)
        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith("__host-inspectq=")
        assert "; secure" in cookie
        given = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        assert client.get("/api/v1/me", headers=given).json()["name"] == "Ines"


def test_a_password_does_not_travel_without_https(behind_login: Console, serve: Callable[..., Console]) -> None:
    for host in ("inspect.example", "10.0.0.7:8080"):
        refused = httpx.get(f"{behind_login.url}/login", headers={"Host": host})
        assert refused.status_code == 403
        assert "without HTTPS a password can be read" in refused.text
    trusting = serve(login=True, web_plain_http=True, web_names="inspect.example")
    assert httpx.get(f"{trusting.url}/login", headers={"Host": "inspect.example"}).status_code == 200
    assert httpx.get(f"{trusting.url}/login", headers={"Host": "elsewhere.example"}).status_code == 403


def test_a_cookie_alone_changes_nothing(behind_login: Console) -> None:
    """A browser says where a request comes from; what does not say so is not one of ours."""
    with httpx.Client(base_url=behind_login.url) as client:
        assert client.post("/login", data={"name": "Ines", "password": PASSWORD}).status_code == 303
        refused = client.post("/jobs/1/cancel")
        assert (refused.status_code, "which page has sent it" in refused.text) == (403, True)
        foreign = client.post("/jobs/1/cancel", headers={"Origin": "http://evil.example"})
        assert (foreign.status_code, "Another site" in foreign.text) == (403, True)
        assert client.post("/jobs/1/cancel", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 404


@pytest.mark.parametrize(
    ("next_page", "lands"),
    [
        ("/jobs/7?x=1", "/jobs/7?x=1"),
        ("https://evil.example/", "/jobs"),
        ("//evil.example/", "/jobs"),
        ("/\\evil.example", "/jobs"),
        ("javascript:alert(1)", "/jobs"),
        ("/x\r\nSet-Cookie: a=b", "/jobs"),
        ("//[", "/jobs"),
        ("", "/jobs"),
    ],
)
def test_signing_in_leads_to_pages_of_this_server_only(client: httpx.Client, next_page: str, lands: str) -> None:
    assert sign_in(client, next=next_page).headers["location"] == lands


def test_passwords_cannot_be_tried_for_ever(client: httpx.Client) -> None:
    for _ in range(10):
        assert sign_in(client, password="a wrong one, again").status_code == 401
    late = sign_in(client)
    assert (late.status_code, late.headers["retry-after"]) == (429, "900")
    assert sign_in(client, name="Ada").status_code == 303, "others are not kept out"


def test_who_gets_it_right_counts_anew_and_who_tries_everybody_is_kept_out() -> None:
    attempts = Attempts()
    for _ in range(3):
        assert all(attempts.allow("Ines", "10.0.0.1") for _ in range(10))
        attempts.forgive("Ines", "10.0.0.1")
    assert all(attempts.allow(f"person {number}", "10.0.0.1") for number in range(70))
    assert not attempts.allow("one more", "10.0.0.1")
    assert attempts.allow("one more", "10.0.0.2")
    assert not any(attempts.allow("Ada", "10.0.0.1") for _ in range(60)), "and uses up nobody's tries any more"
    assert all(attempts.allow("Ada", f"10.0.1.{number}") for number in range(50))
    assert not attempts.allow("Ada", "10.0.2.1")
    assert all(attempts.allow("Bob", f"2001:db8::{number}") for number in range(10))
    assert not attempts.allow("Bob", "2001:db8::ffff"), "all of a /64 are one place"


def test_whoever_tries_many_names_at_one_person_from_one_place_leaves_them_their_own() -> None:
    attempts = Attempts()
    assert sum(attempts.allow("Ada", "10.0.0.1") for _ in range(60)) == 10
    assert attempts.allow("Ada", "10.0.0.2")


def test_names_that_nobody_has_do_not_fill_the_memory() -> None:
    attempts = Attempts()
    for number in range(1000):
        attempts.allow(f"nobody {number}", "10.0.0.1")
    assert len(attempts._storage.events) < 300


@pytest.mark.parametrize(
    ("name", "password"), [("Nobody", PASSWORD), ("Nobody", ""), ("Ines", ""), ("Tess", ""), ("Tess", PASSWORD)]
)
def test_who_has_no_password_has_none_that_fits(client: httpx.Client, engine: Engine, name: str, password: str) -> None:
    add(engine, "Tess", Role.VIEWER, password=None)
    assert sign_in(client, name=name, password=password).status_code == 401


def test_another_password_ends_every_session(client: httpx.Client, engine: Engine) -> None:
    sign_in(client)
    assert client.get("/api/v1/me").status_code == 200
    wrong = client.post("/account/password", data={"current": "no", "new": "another one of these"})
    assert "not the password that holds now" in wrong.text
    short = client.post("/account/password", data={"current": PASSWORD, "new": "short"})
    assert "at least 12 characters" in short.text
    assert client.post("/account/password", data={"current": PASSWORD, "new": "another one of these"}).is_redirect
    assert client.get("/api/v1/me").status_code == 401
    assert sign_in(client).status_code == 401
    assert sign_in(client, password="another one of these").status_code == 303


def test_a_body_without_end_is_not_read(client: httpx.Client) -> None:
    assert client.post("/login", data={"name": "Ines", "password": "x" * 2**21}).status_code == 413


def test_a_session_ends_with_the_shift(client: httpx.Client, engine: Engine) -> None:
    sign_in(client)
    with writing(engine) as session:
        session.execute(text("UPDATE web_session SET ends_at = '2026-01-01 00:00:00.000000'"))
    assert client.get("/api/v1/me").status_code == 401
    sign_in(client)
    with reading(engine) as session:
        assert len(session.scalars(select(WebSession)).all()) == 1, "the one that was over is cleared away"


def test_a_page_without_a_session_leads_to_the_door_and_a_program_is_told(client: httpx.Client) -> None:
    page = client.get("/jobs/7?x=1", headers={"Accept": "text/html"})
    assert page.headers["location"] == "/login?next=%2Fjobs%2F7%3Fx%3D1"
    part = client.get("/jobs/7/images", headers={"HX-Request": "true", "Accept": "text/html"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")
    program = client.get("/api/v1/jobs")
    assert (program.status_code, program.headers["www-authenticate"]) == (401, "Bearer")
    assert "Sign in first" in program.json()["detail"]


def test_a_proxy_is_believed_and_others_are_not(serve: Callable[..., Console], engine: Engine) -> None:
    add(engine, "Ines", Role.INSPECTOR, password=None)
    believing = serve(login=True, web_proxies="127.0.0.0/8, ::1", web_user_header="X-Remote-User")
    named = {"X-Remote-User": "Ines"}
    assert httpx.get(f"{believing.url}/api/v1/me", headers=named).json() == {"name": "Ines", "role": "inspector"}
    unknown = httpx.get(f"{believing.url}/api/v1/me", headers={"X-Remote-User": "Mallory"})
    assert (unknown.status_code, "may not sign in here" in unknown.text) == (403, True)
    twice = httpx.get(f"{believing.url}/api/v1/me", headers=[("X-Remote-User", "Ines"), ("X-Remote-User", "Ada")])
    assert twice.status_code == 401
    doubting = serve(login=True, web_proxies="10.1.2.3", web_user_header="X-Remote-User")
    assert httpx.get(f"{doubting.url}/api/v1/me", headers=named).status_code == 401


def test_without_a_login_nothing_that_a_proxy_handed_on_is_answered(console: Console) -> None:
    refused = httpx.get(f"{console.url}/jobs", headers={"X-Forwarded-For": "10.0.0.9"})
    assert (refused.status_code, "INSPECTQ_WEB_LOGIN" in refused.text) == (403, True)


def test_nothing_that_is_kept_lets_anybody_in(client: httpx.Client, engine: Engine) -> None:
    sign_in(client)
    cookie = client.cookies["inspectq"]
    with writing(engine) as session:
        user = people.find(session, "Ines")
        token = sign_ins.add_token(session, user, "x", Role.VIEWER, days=1, by="test")
        assert session.get_one(WebPassword, user.id).hash.startswith("$argon2id$")
        rows = []
        for table in ("web_user", "web_password", "web_session", "api_token", "audit_event"):
            rows += [str(row) for row in session.execute(text(f"SELECT * FROM {table}"))]
    kept = " ".join(rows)
    for secret in (PASSWORD, cookie, token):
        assert secret not in kept
        assert secret.removeprefix("iq_") not in kept


def inspectq(url: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console.cli", *words],
        env={"INSPECTQ_DATABASE_URL": url, "PATH": "", "HOME": "/nonexistent"},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_operator_lets_people_in_and_out(sqlite_with_tables: str, engine: Engine) -> None:
    url = sqlite_with_tables
    added = inspectq(url, "users", "add", "anna", "--role", "admin", "--password-stdin", typed=f"{PASSWORD}\n")
    assert (added.returncode, added.stdout, added.stderr) == (0, "", "anna may sign in as admin.\n")
    weak = inspectq(url, "users", "add", "ben", "--role", "viewer", "--password-stdin", typed="short\n")
    assert (weak.returncode, "at least 12 characters" in weak.stderr) == (2, True)
    made = inspectq(url, "tokens", "add", "anna", "line 3", "--role", "inspector")
    assert re.fullmatch(r"iq_[\w-]{43}\n", made.stdout)
    with reading(engine) as session:
        assert sign_ins.of_token(session, made.stdout.strip()) is not None
    assert inspectq(url, "tokens", "revoke", "1").stderr == "Token line 3 of anna is revoked.\n"
    with reading(engine) as session:
        assert sign_ins.of_token(session, made.stdout.strip()) is None
        actions = session.scalars(select(AuditEvent.action).where(AuditEvent.subject == "user:1")).all()
    assert actions == ["user.add", "user.password", "token.add", "token.revoke"]
    assert inspectq(url, "audit", "verify").returncode == 0
