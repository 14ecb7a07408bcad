"""How often may somebody try a password?

Counted in memory: whoever tries cannot restart the server, and a second server would only let them try twice as often.
Each try counts, so that many at the same moment do not slip through together; a right one clears its own.
"""

import ipaddress

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

MINUTES = 15
_OF_PLACE = RateLimitItemPerMinute(100, MINUTES)  # a hall behind one address changes shifts
_OF_ONE = RateLimitItemPerMinute(10, MINUTES)  # a person at one place who has forgotten theirs
_OF_NAME = RateLimitItemPerMinute(50, MINUTES)  # the same person, from everywhere: only several places use it up
_MOST_KEYS = 50_000  # about 40 MB, which the storage never gives back by itself


class Attempts:
    """Since the server started."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def allow(self, name: str, place: str) -> bool:
        """Count a try at that person's password from that address; False: there were too many.

        One that a place has no right to any more counts against nobody else.
        """
        if len(self._storage.events) > _MOST_KEYS:  # somebody with thousands of addresses: nothing here stops them
            self._storage.reset()
        return all(self._limiter.hit(limit, *key) for limit, key in _keys(name, place))

    def forgive(self, name: str, place: str) -> None:
        """It was the right one. What others tried from the same address stays counted."""
        for limit, key in _keys(name, place)[1:]:
            self._limiter.clear(limit, *key)


def _keys(name: str, place: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    name, place = name[:200], _network(place)
    return [(_OF_PLACE, ("place", place)), (_OF_ONE, ("one", name, place)), (_OF_NAME, ("name", name))]


def _network(place: str) -> str:
    """Of IPv6 the /64, all of whose addresses one subscriber has."""
    try:
        address = ipaddress.ip_address(place)
    except ValueError:
        return place
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else place
