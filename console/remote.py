"""How do commands reach a console elsewhere: what is asked of /api/v1, and what is an answer that is none?"""

import json
import secrets
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from console.web.guard import LOOPBACK_NAMES
from db.errors import NotFound, Refused, ServiceAway, SettingInvalid
from db.settings import Settings

_SECONDS = 30.0
_NO_CONSOLE = "What answers at {} is no console of inspectq."
_TRIES = 3  # at a submission, whose key makes the second one harmless


class Remote:
    """The interface at INSPECTQ_API_URL. Use it as a context. Raises ServiceAway, NotFound or Refused."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingInvalid for an address that is none, or to which a token would travel readable."""
        url, token = _address(settings.api_url), settings.api_token
        is_private = url.scheme == "https" or url.host in LOOPBACK_NAMES or url.host == "::1"
        if token and not is_private and not settings.web_plain_http:
            raise SettingInvalid(
                "INSPECTQ_API_URL does not begin with https://, and the token could be read on its way."
            )
        self._place = f"{url.scheme}://{url.netloc.decode()}"
        self._client = httpx.Client(
            base_url=f"{self._place}{url.path.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_SECONDS,
            trust_env=url.scheme == "https",  # a proxy of the environment would read the token
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str, /, **query: Any) -> Any:
        """The JSON that is there."""
        return self._asked("GET", path, params=_given(query))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What comes of it. It is tried once."""
        return self._asked("POST", path, json=body)

    def submit(self, wish: Mapping[str, Any]) -> int:
        """The job's number. Tried again where no answer comes: by its key it is one submission."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        for _ in range(_TRIES - 1):
            try:
                return int(self._asked("POST", "/jobs", json=wish, headers=headers)["job"])
            except ServiceAway:
                continue
        return int(self._asked("POST", "/jobs", json=wish, headers=headers)["job"])

    def lines(self, path: str, /, **query: Any) -> Iterator[dict[str, Any]]:
        """The JSON objects of an answer that has one on each line, as they come."""
        try:
            with self._client.stream("GET", path, params=_given(query)) as answer:
                if not answer.is_success:
                    answer.read()
                    self._refuse(answer)
                for line in answer.iter_lines():
                    yield json.loads(line)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        except ValueError:
            raise ServiceAway(_NO_CONSOLE.format(self._place)) from None

    def _asked(self, method: str, path: str, **what: Any) -> Any:
        try:
            answer = self._client.request(method, path, **what)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        if not answer.is_success:
            self._refuse(answer)
        try:
            return answer.json()
        except ValueError:
            raise ServiceAway(_NO_CONSOLE.format(self._place)) from None

    def _away(self, error: httpx.HTTPError) -> ServiceAway:
        return ServiceAway(f"The console at {self._place} does not answer ({error or type(error).__name__}).")

    def _refuse(self, answer: httpx.Response) -> None:
        try:
            said = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            said = answer.text.strip()[:500] or f"it answers {answer.status_code}"
        if answer.status_code == 401:
            said += " Set INSPECTQ_API_TOKEN."
        kind = {404: NotFound, 502: ServiceAway, 503: ServiceAway, 504: ServiceAway}.get(answer.status_code, Refused)
        raise kind(f"{self._place}: {said}")


def _address(setting: str) -> httpx.URL:
    try:
        url = httpx.URL(setting)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingInvalid("INSPECTQ_API_URL is the address of a console, such as https://inspect.example")
    return url


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
