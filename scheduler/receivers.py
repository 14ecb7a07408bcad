"""Whom may this system call, when somebody asks to be told of a job's end?

Whoever submits a job names the address, and this system calls it from where it stands. Unchecked, they could have it
ask whatever they cannot reach and it can: a service beside it, a cloud's metadata (server-side request forgery). So it
calls nobody but the hosts and ports that an operator has named, and is told so again before each call.
"""

from dataclasses import dataclass, field

from db.errors import Refused
from db.settings import Settings

LONGEST_URL = 2000  # characters
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, kw_only=True)
class Receivers:
    """The hosts that an operator has named, and what signs what they are told."""

    key: bytes = field(repr=False)
    hosts: frozenset[tuple[str, int | None]]  # None: the scheme's own port

    def check(self, url: str) -> None:
        """Raises Refused, with a sentence, where this address may not be called."""
        import httpx  # here, since few jobs tell anybody, and it takes as long to load as all the rest of `scan`

        if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise Refused(f"The address to be told is no URL: ASCII without spaces, {LONGEST_URL} characters at most.")
        try:
            asked = httpx.URL(url)  # as it will be called: two ways to read a URL are a way around this check
        except httpx.InvalidURL as error:
            raise Refused(f"The address to be told is no URL: {error}.") from error
        if asked.scheme not in _PORTS or not asked.raw_host:
            raise Refused("The address to be told begins with https://, or http://, and a host.")
        if asked.userinfo:
            raise Refused("The address to be told names a user: whoever sees the job would see the password, too.")
        host, port = asked.raw_host.decode("ascii").lower(), asked.port
        if (host, port) not in self.hosts and (host, port or _PORTS[asked.scheme]) not in self.hosts:
            raise Refused(f"INSPECTQ_WEBHOOK_HOSTS does not name {asked.netloc.decode('ascii')}, so it is not called.")


def receivers(chosen: Settings) -> Receivers | None:
    """None: nobody may be called."""
    if not chosen.webhook_key or not chosen.webhook_receivers:
        return None
    return Receivers(key=chosen.webhook_key, hosts=chosen.webhook_receivers)


def check_receiver(chosen: Settings, url: str) -> None:
    """Raises Refused where this address may not be told of a job's end."""
    allowed = receivers(chosen)
    if allowed is None:
        raise Refused(
            "Nobody can be told of a job's end here: an operator has to set INSPECTQ_WEBHOOK_SECRET and "
            "INSPECTQ_WEBHOOK_HOSTS first."
        )
    allowed.check(url)
