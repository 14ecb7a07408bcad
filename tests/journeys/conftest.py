"""What do whole stories need beside what every test has? A browser."""

from tests.web.conftest import at_desk, browser

__all__ = ["at_desk", "browser"]
