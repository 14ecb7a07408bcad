"""What is checked when a person submits a folder, before anything is promised?"""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import checkpoints, jobs, operating_points, submissions, webhooks
from db.engine import Engine, Session, reading, writing
from db.errors import Refused
from db.models import ModelStatus
from db.paths import to_text
from db.settings import Settings
from scheduler.receivers import check_receiver
from scheduler.walk import Found, said, walk
from vision.reading import OutsideRoots, allowed_root


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A folder to be inspected, and how."""

    folder: Path
    model: str | None = None  # None: the newest approved one
    priority: int = 0  # higher goes first
    reuse: bool = True  # take over the verdict on an identical file, by the same model, limits and runtime
    runtime: str = "auto"
    audit_rate: float | None = None  # share of the images that pass of which a random sample is drawn for people
    notify: str | None = None  # the address that is told of the job's end

    @property
    def identity(self) -> dict[str, Any]:
        """By which a repeated one is known. What is newer than stored identities is not in it where nobody asks."""
        asked = {**vars(self), "folder": os.fspath(self.folder)}
        if self.notify is None:
            del asked["notify"]
        return asked


def submit(
    engine: Engine, asked: Submission, chosen: Settings, *, submitted_by: str | None = None, key: str | None = None
) -> int:
    """Commit a job, within what an operator allows. Returns its id. The queue need not be up.

    `submitted_by`: who asks; the account of this process, where nobody is named. `key`: by which they know this
    submission again; a second one with it is the first one's job.

    Raises Refused (no such folder, no image in it, outside the roots, a retired model, an address that may not be
    called) or NotFound (no such model).
    """
    asker = submitted_by or person()
    if key is not None and (known := _known(engine, asker, key, asked.identity)) is not None:
        return known
    root = _checked(asked.folder, chosen.root_folders)
    if asked.notify is not None:
        check_receiver(chosen, asked.notify)
    try:
        with writing(engine) as session:
            job = _added(session, asked, root, chosen.batch_images, asker)
            if key is not None:
                submissions.keep(session, asker, key, asked.identity, job)
            return job
    except submissions.Repeated:  # at the same moment; that one counts
        known = _known(engine, asker, key or "", asked.identity)
        if known is None:
            raise RuntimeError("a submission that is repeated has been made") from None
        return known


def _added(session: Session, asked: Submission, root: Path, batch_images: int, asker: str) -> int:
    checkpoint = checkpoints.find(session, asked.model) if asked.model else checkpoints.newest_approved(session)
    if checkpoint.status is ModelStatus.RETIRED:
        raise Refused(f"Model {checkpoint.name} is retired. Choose another: inspectq models list")
    job = jobs.submit(
        session,
        root=to_text(os.fspath(root)),
        checkpoint=checkpoint,
        operating_point=operating_points.current(session, checkpoint),
        priority=asked.priority,
        batch_images=batch_images,
        submitted_by=asker,
        reuse=asked.reuse,
        runtime=asked.runtime,
        audit_rate=asked.audit_rate,
    ).id
    if asked.notify is not None:
        webhooks.add(session, job, asked.notify)
    return job


def _known(engine: Engine, account: str, key: str, asked: Mapping[str, Any]) -> int | None:
    with reading(engine) as session:
        return submissions.found(session, account, key, asked)


def person() -> str:
    """Who is asking, by the operating system's word."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def refuse_relative(folder: Path) -> None:
    """Raise Refused for a folder that is named from wherever this process was started: whoever asks is elsewhere."""
    if not folder.is_absolute():
        raise Refused("Name the folder from / on, as the machine of the console sees it.")


def _checked(folder: Path, roots: tuple[bytes, ...]) -> Path:
    try:
        exists, is_folder, root = folder.exists(), folder.is_dir(), folder.resolve()
    except (OSError, ValueError) as error:  # a name that is too long, or no name
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(f"The folder cannot be looked for: {words}.") from error
    try:
        if roots:  # before anything is said of what lies elsewhere
            allowed_root(os.fsencode(root), roots)
    except OutsideRoots as error:
        raise Refused(f"{error} INSPECTQ_ROOTS says which they are.") from error
    if not exists:
        raise Refused(f"There is no folder {folder}. Check the spelling and where it is mounted.")
    if not is_folder:
        raise Refused(f"{folder} is a file. `inspectq scan` takes the folder that holds the images.")
    try:
        has_image = any(kind is Found.IMAGE for kind, _ in walk(os.fsencode(root), roots=roots))
    except OSError as error:
        raise Refused(f"The folder cannot be read ({said(error)}). Make it readable for this user.") from error
    if not has_image:
        raise Refused(f"There is no image in {folder}: inspectq looks for JPEG, PNG, BMP, TIFF and WebP files.")
    return root
