"""How often may somebody try a password?

Counted in memory: whoever tries cannot restart the server, and a second server would only let them try twice as often.
Each try counts, so that many at the same moment do not slip through together; a right one clears its own.
"""

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

MINUTES = 15
_OF_ONE = RateLimitItemPerMinute(10, MINUTES)  # a person at one place who has forgotten theirs
_OF_NAME = RateLimitItemPerMinute(50, MINUTES)  # the same person, from everywhere: more than one place can use up
_OF_PLACE = RateLimitItemPerMinute(100, MINUTES)  # a hall behind one address changes shifts


class Attempts:
    """Since the server started."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def allow(self, name: str, place: str) -> bool:
        """Count a try at that person's password from that address; False: there were too many."""
        counted = [self._limiter.hit(limit, *key) for limit, key in self._keys(name, place)]
        return all(counted)

    def forgive(self, name: str, place: str) -> None:
        """It was the right one. What others tried from the same address stays counted."""
        for limit, key in self._keys(name, place)[:2]:
            self._limiter.clear(limit, *key)

    @staticmethod
    def _keys(name: str, place: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        name = name[:200]
        return [(_OF_ONE, ("one", name, place)), (_OF_NAME, ("name", name)), (_OF_PLACE, ("place", place))]
