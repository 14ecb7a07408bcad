"""What does a program send to /api/v1, and what is it told? The shapes that its description names."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from db.models import JobState, Role
from vision.runtimes import RUNTIMES

MOST = 500  # elements of a page
Limit = Annotated[int, Query(ge=1, le=MOST, description="Elements at most.")]
Facts = dict[str, Any]


class Problem(BaseModel):
    """Why something was not done."""

    detail: str


class Me(BaseModel):
    """Who asks."""

    name: str
    role: Role


class Submission(BaseModel):
    """A folder to be inspected."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, max_length=4096, description="As this server sees it; below INSPECTQ_ROOTS.")
    model: str | None = Field(None, max_length=200, description="Name, id or digest prefix. None: the newest approved.")
    priority: int = Field(0, ge=-1000, le=1000, description="Higher goes first.")
    reuse: bool = Field(True, description="Take over the verdict on an identical file.")
    runtime: str = Field("auto", pattern=f"^(auto|{'|'.join(RUNTIMES)})$")
    audit_rate: float | None = Field(None, gt=0, le=1, description="Share of passed images that people are to look at.")
    notify: str | None = Field(None, max_length=2000, description="URL that is told of the end, by a signed POST.")


class Notify(BaseModel):
    """Whom a job tells of its end, and how far that is."""

    url: str
    told_state: JobState | None = Field(description="Of the end that it was told of last.")
    told_revision: int | None
    told_at: datetime | None
    attempts: int = Field(description="To tell of the last end; 0 once it was told.")
    problem: str | None = Field(description="Of the last attempt.")
    next_at: datetime | None = Field(description="Of the next one; None: there is none.")


class Job(BaseModel):
    """A submitted folder, and how far it is."""

    job: int
    state: JobState
    reason: str | None = Field(description="Why it failed or was cancelled.")
    root: str
    model: str
    checkpoint_digest: str
    operating_point: int
    limits: str = Field(description="Who approved them, or UNAPPROVED.")
    priority: int
    revision: int = Field(description="One more with each retry of unreadable images, and each judging anew.")
    submitted_by: str
    submitted_at: datetime
    finished_at: datetime | None
    images_settled: int
    images_planned: int
    images_per_second: float | None
    seconds_left: float | None
    ledger: dict[str, int] | None = Field(description="Where every image ended up; None while the job is open.")
    notify: Notify | None = Field(description="None: nobody is told.")


class Jobs(BaseModel):
    """The newest first."""

    jobs: list[Job]
    after: int | None = Field(description="Of the next page; None: this is the last one.")


class Results(BaseModel):
    """Some verdicts of a job."""

    results: list[Facts] = Field(description="As in `inspectq results --format json`, without the job's own columns.")
    after: str | None


class Decision(BaseModel):
    """What a person says of an image."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=8192, description="As results have it.")
    decision: Literal["PASS", "FAIL", "UNSURE"]
    seen: int | None = Field(None, ge=1, lt=2**63, description="`review` of the result when it was looked at.")
    blind: bool = Field(False, description="They saw neither score nor verdict.")
    reason_code: str | None = Field(None, min_length=1, max_length=50)
    note: str | None = Field(None, max_length=2000)
