"""What is checked when a person submits a folder, before anything is promised?"""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db import checkpoints, jobs, operating_points, submissions
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.models import ModelStatus
from db.paths import to_text
from scheduler.walk import Found, said, walk
from vision.reading import OutsideRoots, allowed_root


def submit(
    engine: Engine,
    folder: Path,
    *,
    model: str | None,
    priority: int,
    batch_images: int,
    reuse: bool = True,
    runtime: str = "auto",
    roots: tuple[bytes, ...] = (),
    audit_rate: float | None = None,
    submitted_by: str | None = None,
    key: str | None = None,
) -> int:
    """Commit a job for `folder`, below one of `roots` if there are any. Returns its id. The queue need not be up.

    `reuse`: the verdict on an identical file, by the same model, limits and runtime, is taken over. `audit_rate`: of
    the images that pass, a random sample of this share is drawn for people to look at. `submitted_by`: who asks; the
    account of this process, where nobody is named. `key`: by which they know this submission again; a second one with
    it is the first one's job.

    Raises Refused (no such folder, no image in it, outside the roots, a retired model) or NotFound (no such model).
    """
    asker = submitted_by or person()
    asked: dict[str, Any] = {
        "folder": os.fspath(folder),
        "model": model,
        "priority": priority,
        "reuse": reuse,
        "runtime": runtime,
    }
    asked |= {"audit_rate": audit_rate}
    if key is not None and (known := _known(engine, asker, key, asked)) is not None:
        return known
    root = _checked(folder, roots)
    try:
        with writing(engine) as session:
            checkpoint = checkpoints.find(session, model) if model else checkpoints.newest_approved(session)
            if checkpoint.status is ModelStatus.RETIRED:
                raise Refused(f"Model {checkpoint.name} is retired. Choose another: inspectq models list")
            job = jobs.submit(
                session,
                root=to_text(os.fspath(root)),
                checkpoint=checkpoint,
                operating_point=operating_points.current(session, checkpoint),
                priority=priority,
                batch_images=batch_images,
                submitted_by=asker,
                reuse=reuse,
                runtime=runtime,
                audit_rate=audit_rate,
            ).id
            if key is not None:
                submissions.keep(session, asker, key, asked, job)
            return job
    except submissions.Repeated:  # at the same moment; that one counts
        known = _known(engine, asker, key or "", asked)
        if known is None:
            raise RuntimeError("a submission that is repeated has been made") from None
        return known


def _known(engine: Engine, account: str, key: str, asked: Mapping[str, Any]) -> int | None:
    with reading(engine) as session:
        return submissions.found(session, account, key, asked)


def person() -> str:
    """Who is asking, by the operating system's word."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def _checked(folder: Path, roots: tuple[bytes, ...]) -> Path:
    try:
        exists, is_folder, root = folder.exists(), folder.is_dir(), folder.resolve()
    except (OSError, ValueError) as error:  # a name that is too long, or no name
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(f"The folder cannot be looked for: {words}.") from error
    if not exists:
        raise Refused(f"There is no folder {folder}. Check the spelling and where it is mounted.")
    if not is_folder:
        raise Refused(f"{folder} is a file. `inspectq scan` takes the folder that holds the images.")
    try:
        if roots:
            allowed_root(os.fsencode(root), roots)
    except OutsideRoots as error:
        raise Refused(f"{error} INSPECTQ_ROOTS says which they are.") from error
    try:
        has_image = any(kind is Found.IMAGE for kind, _ in walk(os.fsencode(root), roots=roots))
    except OSError as error:
        raise Refused(f"The folder cannot be read ({said(error)}). Make it readable for this user.") from error
    if not has_image:
        raise Refused(f"There is no image in {folder}: inspectq looks for JPEG, PNG, BMP, TIFF and WebP files.")
    return root
