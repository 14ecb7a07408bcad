"""How is a folder cut into batches, in small transactions that a crash cannot undo?"""

import errno
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from db import jobs, plans
from db.engine import Engine, writing
from db.models import InspectionJob
from db.paths import to_bytes, to_text
from db.plans import PlannedChunk
from scheduler.walk import Found, said, walk
from vision.reading import OutsideRoots, allowed_root

log = logging.getLogger(__name__)

# What only a person can mend. Anything else, a folder that is not mounted or an I/O error, may pass by itself.
PERMANENT = (errno.EACCES, errno.EPERM)
REST_SECONDS = 8.0  # between two tries to list a folder
BATCHES_PER_CHUNK = 16  # one transaction: about a thousand paths, some milliseconds


@dataclass(frozen=True, kw_only=True)
class PlanningBounds:
    """What a job may ask for."""

    roots: tuple[bytes, ...] = ()  # the allowed ones; none: whatever folder a person has named
    max_files: int = 10_000_000  # images in one job


class Planner:
    """Walks one job's folder, a chunk at a time. Holds the job by its planner token."""

    def __init__(self, engine: Engine, job: InspectionJob, bounds: PlanningBounds) -> None:
        if job.planner_token is None:
            raise ValueError(f"job {job.id} has not been claimed for planning")
        self.id = job.id
        self._engine = engine
        self._job = job
        self._token = job.planner_token
        self._bounds = bounds
        self._submitted = job.submitted
        self._begun = False
        after = to_bytes(job.cursor) if job.cursor is not None else None
        self._walk = walk(to_bytes(job.root), after, roots=bounds.roots)
        self._found_any = job.cursor is not None
        self._seen = dict.fromkeys(Found, 0)

    def advance(self) -> bool:
        """Plan one chunk. False once the job is planned, or is no longer this planner's.

        A folder that may not be read or holds no image, or too many, fails the job with the reason. One that cannot
        be listed now is tried again later, by whoever plans then.
        """
        try:
            if self._bounds.roots:
                allowed_root(to_bytes(self._job.root), self._bounds.roots)
            if not self._begun and _is_empty(to_bytes(self._job.root)):
                # Not "no image": an unmounted folder must not end a walk that was half-way through it either.
                raise OSError(errno.ENOENT, "it is empty: is it mounted?", self._job.root)
            self._begun = True
            batches = self._next_batches()
        except OutsideRoots as error:
            return self._fail(f"{error} INSPECTQ_ROOTS of the scheduler says which they are.")
        except OSError as error:
            if error.errno not in PERMANENT:
                self._rest(f"Waiting: the folder cannot be listed ({said(error)}).")
                return False
            return self._fail(
                f"The folder cannot be read ({said(error)}). Mend it, then: inspectq jobs retry {self.id}"
            )
        self._submitted += sum(len(paths) for paths in batches)
        if self._submitted > self._bounds.max_files:
            return self._fail(
                f"There are more than {self._bounds.max_files} images in {self._job.root} (INSPECTQ_MAX_FILES). "
                "Submit its folders one by one."
            )
        complete = len(batches) < BATCHES_PER_CHUNK
        self._found_any = self._found_any or bool(batches)
        if complete and not self._found_any:
            return self._fail(f"There is no image in {self._job.root}. Fill it, then: inspectq jobs retry {self.id}")
        chunk = PlannedChunk(
            batches=batches,
            cursor=batches[-1][-1] if batches else None,
            other_files=self._seen[Found.OTHER],
            linked_folders=self._seen[Found.LINKED_FOLDER],
        )
        self._seen = dict.fromkeys(Found, 0)
        with writing(self._engine) as session:
            held = plans.add_chunk(session, self._job, self._token, chunk)
            if held and complete:
                held = plans.finish(session, self._job.id, self._token)
        return held and not complete

    def _next_batches(self) -> list[list[str]]:
        batches: list[list[str]] = []
        while len(batches) < BATCHES_PER_CHUNK:
            paths = list(islice(self._images(), self._job.batch_images))
            if paths:
                batches.append(paths)
            if len(paths) < self._job.batch_images:
                break
        return batches

    def _images(self) -> Iterator[str]:
        for kind, path in self._walk:
            self._seen[kind] += 1
            if kind is Found.IMAGE:
                yield to_text(path)

    def _rest(self, reason: str) -> None:
        log.warning("job %d: %s", self.id, reason)
        with writing(self._engine) as session:
            plans.rest(session, self.id, self._token, reason=reason, pause_seconds=REST_SECONDS)

    def _fail(self, reason: str) -> bool:
        with writing(self._engine) as session:
            jobs.fail(session, self.id, reason, planner_token=self._token)
        return False


def _is_empty(folder: bytes) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is None
