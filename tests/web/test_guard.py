"""Does the console refuse what comes from other sites, and may its pages load nothing from elsewhere?"""

import http.client
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.web.conftest import Console

PAGES = ("/jobs", "/jobs/1", "/jobs/1/images", "/jobs/1/review", "/images/1", "/static/console.css", "/nothing")


def asked(console: Console, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers, body) of one request, with exactly these headers."""
    connection = http.client.HTTPConnection(urlsplit(console.url).netloc)
    given = {"Host": urlsplit(console.url).netloc} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_it_does_not_answer_to_a_foreign_name(console: Console, host: str) -> None:
    status, _, body = asked(console, "GET", "/jobs", Host=host)
    assert (status, "does not answer to this name" in body) == (403, True)


def test_whoever_watches_over_it_may_ask_by_any_name_and_way(serve: Callable[..., Console]) -> None:
    console = serve(login=True)
    for path in ("/healthz", "/readyz"):
        assert asked(console, "GET", path, Host="10.0.0.7:8080")[0] == 200
    assert asked(console, "GET", "/metrics", Host="10.0.0.7:8080")[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080"])
def test_it_answers_to_its_own(console: Console, host: str) -> None:
    assert asked(console, "GET", "/jobs", Host=host)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},  # another program of this machine
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_nothing_is_changed_for_another_sites_page(console: Console, headers: dict[str, str]) -> None:
    status, _, body = asked(console, "POST", "/jobs/1/cancel", **headers)
    assert (status, body) == (403, "Another site's page has sent this. Nothing was changed.")


def test_its_own_pages_and_programs_may(console: Console) -> None:
    own = urlsplit(console.url)
    for headers in ({}, {"Origin": f"http://{own.netloc}"}, {"Sec_Fetch_Site": "same-origin"}):
        status, _, body = asked(console, "POST", "/jobs/1/cancel", **headers)
        assert (status, "no job 1" in json.loads(body)["detail"]) == (404, True)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_load_nothing_from_elsewhere_and_run_nothing_that_is_written_into_it(
    console: Console, path: str
) -> None:
    _, headers, _ = asked(console, "GET", path, Accept="text/html")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"


def test_an_error_is_a_sentence_for_whoever_asks(console: Console) -> None:
    _, headers, body = asked(console, "GET", "/jobs/99", Accept="text/html")
    assert headers["content-type"].startswith("text/html")
    assert "There is no job 99." in body
    assert json.loads(asked(console, "GET", "/jobs/99")[2])["detail"].startswith("There is no job 99.")
    for number in ("nine", "0", str(2**63)):
        assert asked(console, "GET", f"/jobs/{number}", Accept="text/html")[0] == 422
