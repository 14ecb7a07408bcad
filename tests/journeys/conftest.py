"""What do whole stories need beside what every test has? A page that is watched."""

from tests.web.conftest import at_desk

__all__ = ["at_desk"]
