"""Who may sign in to the console, and what may they do there?"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import database_now
from db.models.base import Base, Id, enum_column


class Role(StrEnum):
    """What a person may do; each may all that the one before may."""

    VIEWER = "viewer"  # look at everything
    INSPECTOR = "inspector"  # submit, cancel and retry jobs, and decide about images
    APPROVER = "approver"  # propose and approve limits, approve and retire models
    ADMIN = "admin"  # add people, change their roles, end what they have

    def covers(self, other: "Role") -> bool:
        """Whether whoever has this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class WebUser(Base):
    """A person who may sign in. Never removed: decisions carry the name."""

    __tablename__ = "web_user"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    role: Mapped[Role] = mapped_column(enum_column(Role))
    is_active: Mapped[bool] = mapped_column(default=True)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=database_now())


class WebPassword(Base):
    """Of a person who signs in by one: what argon2 makes of it. A table of its own, which auditors cannot read."""

    __tablename__ = "web_password"

    user_id: Mapped[int] = mapped_column(ForeignKey("web_user.id"), primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(500))
    changed_at: Mapped[datetime] = mapped_column(default=database_now())


class WebSession(Base):
    """Somebody has signed in, in one browser. The browser has the token, the row what sha256 makes of it."""

    __tablename__ = "web_session"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("web_user.id"), index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    ends_at: Mapped[datetime]
    user: Mapped[WebUser] = relationship()


class ApiToken(Base):
    """By which a program asks as a person, with no more than that role. Shown once; the row has its sha256."""

    __tablename__ = "api_token"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("web_user.id"))
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[Role] = mapped_column(enum_column(Role))
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=database_now())
    ends_at: Mapped[datetime | None]  # None: it holds until it is revoked
    used_at: Mapped[datetime | None]  # to the hour
    revoked_at: Mapped[datetime | None]
    user: Mapped[WebUser] = relationship()
