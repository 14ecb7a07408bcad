"""How is a folder cut into batches, in small transactions that a crash cannot undo?"""

import errno
import logging
from collections.abc import Iterator
from itertools import islice

from db import jobs
from db.engine import Engine, writing
from db.jobs import PlannedChunk
from db.models import InspectionJob
from db.paths import to_bytes, to_text
from scheduler.walk import Found, said, walk

log = logging.getLogger(__name__)

# What a person has to mend. Anything else, a stale handle or an I/O error, may pass by itself.
PERMANENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM)
BATCHES_PER_CHUNK = 16  # one transaction: about a thousand paths, some milliseconds


class Planner:
    """Walks one job's folder, a chunk at a time. Holds the job by its planner token."""

    def __init__(self, engine: Engine, job: InspectionJob) -> None:
        if job.planner_token is None:
            raise ValueError(f"job {job.id} has not been claimed for planning")
        self.id = job.id
        self._engine = engine
        self._job = job
        self._token = job.planner_token
        after = to_bytes(job.cursor) if job.cursor is not None else None
        self._walk = walk(to_bytes(job.root), after)
        self._found_any = job.cursor is not None
        self._seen = dict.fromkeys(Found, 0)

    def advance(self) -> bool:
        """Plan one chunk. False once the job is planned, or is no longer this planner's.

        A folder that is not there or may not be read, or without an image, fails the job with the reason.
        """
        try:
            batches = self._next_batches()
        except OSError as error:
            if error.errno not in PERMANENT:
                log.warning("job %d: %s; tried again when the planner's lease has run out", self.id, said(error))
                return False
            return self._fail(
                f"The folder cannot be read ({said(error)}). Mend it, then: inspectq jobs retry {self.id}"
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
            held = jobs.add_chunk(session, self._job, self._token, chunk)
            if held and complete:
                held = jobs.finish_planning(session, self._job.id, self._token)
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

    def _fail(self, reason: str) -> bool:
        with writing(self._engine) as session:
            jobs.fail(session, self.id, reason, planner_token=self._token)
        return False
