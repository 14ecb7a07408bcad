"""What is checked when a person submits a folder, before anything is promised?"""

import getpass
import os
from pathlib import Path

from db import checkpoints, jobs, operating_points
from db.engine import Engine, writing
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
) -> int:
    """Commit a job for `folder`, below one of `roots` if there are any. Returns its id. The queue need not be up.

    `reuse`: the verdict on an identical file, by the same model, limits and runtime, is taken over. `audit_rate`: of
    the images that pass, a random sample of this share is drawn for people to look at. `submitted_by`: who asks; the
    account of this process, where nobody is named.

    Raises Refused (no such folder, no image in it, outside the roots, a retired model) or NotFound (no such model).
    """
    root = _checked(folder, roots)
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
            submitted_by=submitted_by or person(),
            reuse=reuse,
            runtime=runtime,
            audit_rate=audit_rate,
        )
        return job.id


def person() -> str:
    """Who is asking, by the operating system's word."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def _checked(folder: Path, roots: tuple[bytes, ...]) -> Path:
    if not folder.exists():
        raise Refused(f"There is no folder {folder}. Check the spelling and where it is mounted.")
    if not folder.is_dir():
        raise Refused(f"{folder} is a file. `inspectq scan` takes the folder that holds the images.")
    root = folder.resolve()
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
