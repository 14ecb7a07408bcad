"""How does a worker go from one batch to the next without its device waiting?

A shift begins with the batch that a message named. While that is scored, the next one is claimed and read, and the
one before is saved: what is drawn beyond the first comes from the database, not from the queue, and only from
jobs of the same model. A batch that a fault has met has a shift of its own.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial

from db.batches import Claim
from db.paths import to_bytes
from db.results import NewResult
from vision.decode import Limits
from vision.guard import Guard
from vision.pipeline import Group, ImageScore, score_groups
from vision.reading import InspectedFolder
from vision.runtime import Runtime
from vision.stages import stage
from worker.lease import Leases
from worker.verdicts import counted, doubt_vanished, verdict

SHIFT_SECONDS = 10.0  # so that Flower shows a task ending now and then, and a more urgent model gets its turn
UNSAVED = 2  # batches that may wait for the database while others are scored

OnImage = Callable[[int], None]  # called with its job's number


class NotSaved(Exception):
    """Verdicts of a batch could not be written, because of `error`; it stays with its lease."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(str(error))


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What became of a batch."""

    held: Claim
    rows: list[NewResult]
    kept: bool  # False: it was cancelled or taken back, and nothing was written


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a shift works with."""

    worker: str
    runtime: Runtime
    limits: Limits
    roots: tuple[bytes, ...]
    threads: int | None
    leases: Leases
    draw: Callable[[Claim], Claim | None]  # the next batch for the same model, if there is one
    known: Callable[[Claim, Sequence[str]], Mapping[str, object]]  # of some sha256s, the verdicts there are
    save: Callable[[Claim, list[NewResult]], bool]  # False: the batch is no longer ours
    on_image: OnImage


class Shift:
    """One message's worth of work."""

    def __init__(self, first: Claim) -> None:
        self.first = first
        self.open: deque[Claim] = deque([first])  # claimed and not yet scored; it is the first one's turn
        self.saved: list[Saved] = []
        self._rows: list[NewResult] = []  # of the one whose turn it is

    def work(self, bench: Bench) -> None:
        """Score and save until the time is over or there is nothing to draw.

        Raises what ends the shift early; `open` then says whose turn it was, and which others are held.
        """
        with ExitStack() as folders, _Saving(bench, self.saved) as saving, self._guard(bench) as guard:
            threads = bench.threads if guard is None else 1
            groups = self._groups(bench, guard, folders)
            scored = score_groups(groups, bench.runtime, limits=bench.limits, threads=threads)
            with closing(scored):
                for group, outcomes in scored:
                    held = group.of
                    self._take(bench, held, outcomes)
                    if len(self._rows) == len(held.paths):
                        doubt_vanished(held, self._rows)
                        bench.leases.scored(held)
                        saving.put(held, self._rows)
                        self._rows = []
                        self.open.popleft()

    def _guard(self, bench: Bench) -> AbstractContextManager[Guard | None]:
        """After a fault each image is decoded on its own, in a process of its own."""
        return Guard(bench.runtime.preprocessing, bench.limits) if self.first.faults else nullcontext()

    def _groups(self, bench: Bench, guard: Guard | None, folders: ExitStack) -> Iterator[Group[Claim]]:
        """The first batch, then what can be drawn. Runs in a thread of the pipeline's."""
        ends_at = time.monotonic() + SHIFT_SECONDS
        opened: dict[str, InspectedFolder] = {}
        held: Claim | None = self.first
        while held is not None:
            if held.root not in opened:
                opened[held.root] = folders.enter_context(InspectedFolder(to_bytes(held.root), bench.roots))
            yield Group(
                of=held,
                paths=[to_bytes(path) for path in held.paths],
                folder=opened[held.root],
                guard=guard,
                on_progress=partial(bench.leases.check, held),
                known=partial(bench.known, held) if held.reuse and guard is None else None,
            )
            drawn = None
            if guard is None and time.monotonic() < ends_at:
                drawn = bench.draw(held)
            if drawn is not None:
                bench.leases.add(drawn)
                self.open.append(drawn)
            held = drawn

    def _take(self, bench: Bench, held: Claim, outcomes: Sequence[ImageScore]) -> None:
        for outcome in outcomes:
            bench.leases.check(held)
            path = held.paths[outcome.index]
            self._rows.append(verdict(held, path, outcome, bench.runtime, bench.worker))
            bench.on_image(held.job)


class _Saving:
    """Writes scored batches in a thread, so that the next one need not wait for the database."""

    def __init__(self, bench: Bench, saved: list[Saved]) -> None:
        self._bench = bench
        self._saved = saved
        self._waiting: queue.Queue[tuple[Claim, list[NewResult]] | None] = queue.Queue(UNSAVED)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._save_all, name="save", daemon=True)

    def __enter__(self) -> "_Saving":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if kind is None:
            self._raise()

    def put(self, held: Claim, rows: list[NewResult]) -> None:
        """Have a batch saved. Raises what went wrong with one before it."""
        self._raise()
        self._waiting.put((held, rows))

    def _raise(self) -> None:
        if self._error is not None:
            raise NotSaved(self._error) from self._error

    def _save_all(self) -> None:
        while (work := self._waiting.get()) is not None:
            held, rows = work
            if self._error is not None:  # its lease runs out, or whoever handles the error gives it back
                continue
            try:
                with stage("write"):
                    kept = self._bench.save(held, rows)
            except BaseException as error:
                self._error = error
                continue
            self._bench.leases.remove(held)
            self._saved.append(Saved(held=held, rows=rows, kept=kept))


def told(saved: Sequence[Saved]) -> list[str]:
    """What became of the batches, a phrase per job."""
    lines = []
    for job in dict.fromkeys(item.held.job for item in saved):
        kept = [item for item in saved if item.held.job == job and item.kept]
        if kept:
            numbers = ", ".join(str(item.held.batch) for item in kept)
            named = f"batch {numbers}" if len(kept) == 1 else f"batches {numbers}"
            lines.append(f"job {job}, {named}: {counted(row for item in kept for row in item.rows)}")
    lost = [item.held for item in saved if not item.kept]
    return lines + [f"job {held.job}, batch {held.batch}: not saved, it was cancelled or taken back" for held in lost]
