"""Which verdict does the outcome of an image stand for, and which outcome is not to be believed?"""

import os
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from db.batches import Claim
from db.models import Disposition
from db.paths import to_bytes
from db.results import KnownVerdict, NewResult
from vision.faults import Reason, StorageTrouble
from vision.pipeline import ImageScore
from vision.runtime import Runtime
from vision.tiling import Tile

SUBFOLDER_PATIENCE_SECONDS = 120.0  # a folder inside the job's that is gone for longer was removed by somebody


class JudgedBy(Protocol):
    """The limits of an operating point, and its model's words for the two classes."""

    @property
    def pass_below(self) -> float: ...
    @property
    def fail_from(self) -> float: ...
    @property
    def positive_class(self) -> str: ...
    @property
    def negative_class(self) -> str: ...


def judge(score: float, by: JudgedBy) -> tuple[str, Disposition]:
    """(label, disposition) of a score by an operating point."""
    label = by.positive_class if score >= by.fail_from else by.negative_class
    return label, Disposition.of(score, by.pass_below, by.fail_from)


def verdict(held: Claim, path: str, outcome: ImageScore, runtime: Runtime, worker: str) -> NewResult:
    """The row for one image: its outcome, judged or taken over, and what it was judged with."""
    known = outcome.known if isinstance(outcome.known, KnownVerdict) else None
    if known is not None:
        label, disposition = known.label, known.disposition
    elif outcome.score is not None:
        label, disposition = judge(outcome.score, held)
    else:
        label, disposition = None, Disposition.UNREADABLE
    seen = known or outcome
    tile = known.tile if known is not None else _place(outcome.tile)
    return NewResult(
        path=path,
        sha256=outcome.sha256,
        size=outcome.size,
        width=seen.width,
        height=seen.height,
        score=seen.score,
        novelty=seen.novelty,
        tile_x=tile[0],
        tile_y=tile[1],
        tile_width=tile[2],
        tile_height=tile[3],
        label=label,
        disposition=disposition,
        reason_code=outcome.reason,
        detail=outcome.detail,
        checkpoint_id=held.checkpoint_id,
        operating_point_id=held.operating_point_id,
        engine=runtime.engine,
        precision=runtime.precision,
        device=runtime.device if known is None else known.device,
        worker=worker,
        reused_from=None if known is None else known.result,
    )


def _place(tile: Tile | None) -> tuple[int | None, int | None, int | None, int | None]:
    return (None, None, None, None) if tile is None else (tile.x, tile.y, tile.width, tile.height)


def doubt_vanished(held: Claim, rows: list[NewResult]) -> None:
    """A file is gone for good only if its folder is there and it is not. Raises StorageTrouble otherwise."""
    root = to_bytes(held.root)
    for row in rows:
        if row.reason_code != Reason.VANISHED:
            continue
        file = os.path.join(root, to_bytes(row.path))
        if is_away(root):
            raise StorageTrouble(None, f"the job's folder {held.root} is not there, or empty: is it mounted?")
        if os.path.exists(file):
            raise StorageTrouble(None, f"{row.path} was away for a moment")
        parent = os.path.dirname(file)
        if held.waited_seconds < SUBFOLDER_PATIENCE_SECONDS and is_away(parent):
            raise StorageTrouble(None, f"the folder of {row.path} is not there, or empty: is it mounted?")


def is_away(folder: bytes) -> bool:
    """A folder that is not mounted is missing, or an empty mount point."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def counted(rows: Iterable[NewResult]) -> str:
    """How many verdicts of each kind, in words for Flower and the log."""
    counts = Counter(row.disposition for row in rows)
    return ", ".join(f"{counts[disposition]} {disposition}" for disposition in Disposition if counts[disposition])
