"""Who may sign in, studies of agreement, whom to tell of a job's end, leases that ran out, and where the time went."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_ROLES = ("viewer", "inspector", "approver", "admin")
_ANSWERS = ("PASS", "FAIL", "UNSURE")
_JOBS = ("pending", "planning", "running", "done", "cancelled", "failed")


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, native_enum=False, create_constraint=True, length=16, name=name)


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"))


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*(columns or ("id",)), name=op.f(f"pk_{table}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, _ID, nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, _MOMENT, nullable=nullable)


def upgrade() -> None:
    # In plain SQL, SQLite adds a column in place. Alembic would copy the table.
    op.execute("ALTER TABLE batch ADD COLUMN expiries INTEGER DEFAULT 0 NOT NULL")
    _make_people()
    _make_agreement()
    op.create_table(
        "webhook",
        _id("id"),
        _id("job_id"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("told_state", _words("jobstate", *_JOBS), nullable=True),
        _number("told_revision", nullable=True),
        _moment("told_at", nullable=True),
        _number("attempts"),
        _moment("next_at", nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        _moment("created_at"),
        _refers("webhook", "job_id", "inspection_job"),
        _key("webhook"),
        _unique("webhook", "job_id"),
    )
    op.create_index(op.f("ix_webhook_next_at"), "webhook", ["next_at"])
    op.create_table(
        "stage_time",
        _text("host", 200),
        _text("stage", 20),
        sa.Column("seconds", sa.Double(), nullable=False),
        _key("stage_time", "host", "stage"),
    )


def _make_people() -> None:
    _make_people_tables()
    if op.get_bind().dialect.name == "postgresql":  # rights on later tables, which `db grants` gave, are too much here
        op.execute(
            "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'inspectq_auditor') THEN "
            "REVOKE ALL ON web_password, web_session, api_token FROM inspectq_auditor, inspectq_service; "
            "END IF; END $$"
        )


def _make_people_tables() -> None:
    op.create_table(
        "web_user",
        _id("id"),
        _text("name", 200),
        sa.Column("role", _words("role", *_ROLES), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        _text("created_by", 200),
        _moment("created_at"),
        _key("web_user"),
        _unique("web_user", "name"),
    )
    op.create_table(
        "web_password",
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        _text("hash", 500),
        _moment("changed_at"),
        _refers("web_password", "user_id", "web_user"),
        _key("web_password", "user_id"),
    )
    op.create_table(
        "web_session",
        _id("id"),
        _id("user_id"),
        _text("token_sha256", 64),
        _moment("created_at"),
        _moment("ends_at"),
        _refers("web_session", "user_id", "web_user"),
        _key("web_session"),
        _unique("web_session", "token_sha256"),
    )
    op.create_index(op.f("ix_web_session_user_id"), "web_session", ["user_id"])
    op.create_table(
        "api_token",
        _id("id"),
        _id("user_id"),
        _text("name", 100),
        sa.Column("role", _words("role", *_ROLES), nullable=False),
        _text("token_sha256", 64),
        _text("created_by", 200),
        _moment("created_at"),
        _moment("ends_at", nullable=True),
        _moment("used_at", nullable=True),
        _moment("revoked_at", nullable=True),
        _refers("api_token", "user_id", "web_user"),
        _key("api_token"),
        _unique("api_token", "user_id", "name"),
        _unique("api_token", "token_sha256"),
    )


def _make_agreement() -> None:
    op.create_table(
        "agreement_study",
        _id("id"),
        _id("job_id"),
        _id("operating_point_id"),
        sa.Column("reviewers", sa.JSON(), nullable=False),
        _number("trials"),
        _text("created_by", 200),
        _moment("created_at"),
        _refers("agreement_study", "job_id", "inspection_job"),
        _refers("agreement_study", "operating_point_id", "operating_point"),
        _key("agreement_study"),
    )
    op.create_index(op.f("ix_agreement_study_job_id"), "agreement_study", ["job_id"])
    op.create_table(
        "agreement_image",
        _id("id"),
        _id("study_id"),
        _number("position"),
        _id("result_id"),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("reference", _words("answer", *_ANSWERS), nullable=True),
        _refers("agreement_image", "study_id", "agreement_study"),
        _refers("agreement_image", "result_id", "inspection_result"),
        _key("agreement_image"),
        _unique("agreement_image", "study_id", "position"),
    )
    op.create_table(
        "agreement_answer",
        _id("id"),
        _id("study_id"),
        _id("image_id"),
        _text("reviewer", 200),
        _text("account", 200),
        _number("trial"),
        sa.Column("answer", _words("answer", *_ANSWERS), nullable=False),
        _moment("created_at"),
        _refers("agreement_answer", "study_id", "agreement_study"),
        _refers("agreement_answer", "image_id", "agreement_image"),
        _key("agreement_answer"),
        _unique("agreement_answer", "image_id", "reviewer", "trial"),
    )
    op.create_index("ix_agreement_answer_reviewer", "agreement_answer", ["study_id", "reviewer"])
