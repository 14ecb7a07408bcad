"""Which picture may stand in a report as evidence? Only the one whose bytes were inspected."""

import base64
from dataclasses import dataclass

from db.paths import to_bytes
from vision.faults import Altered, Reason, StorageTrouble, Unreadable
from vision.thumbnail import make_thumbnail
from vision.tiling import Tile


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One image of a report: its picture, or in one sentence why it is not shown."""

    path: str  # relative to the folder of the job or data set, as db.paths writes it
    score: float | None
    uri: str | None  # data:image/jpeg;base64,…
    problem: str | None


def exhibit(
    root: str, path: str, sha256: str | None, score: float | None, mark: tuple[int, int, int, int] | None = None
) -> Exhibit:
    """The picture of `path` below `root`, both as db.paths writes them, if its bytes have this sha256.

    `mark`: x, y, width and height in pixels of what decided, which gets a frame.
    """
    if sha256 is None:
        return Exhibit(path=path, score=score, uri=None, problem="Not shown: no digest of the file was recorded.")
    try:
        tile = None if mark is None else Tile(x=mark[0], y=mark[1], width=mark[2], height=mark[3])
        small = make_thumbnail(to_bytes(root) + b"/" + to_bytes(path), sha256, mark=tile)
    except Altered:
        problem = "Not shown: the file has been changed since it was inspected."
    except Unreadable as fault:
        gone = fault.reason is Reason.VANISHED
        problem = "Not shown: the file is no longer there." if gone else f"Cannot be read now: {fault.detail}"
    except StorageTrouble as trouble:
        problem = f"Cannot be read now: {trouble.strerror or trouble}"
    else:
        encoded = base64.b64encode(small.jpeg).decode("ascii")
        return Exhibit(path=path, score=score, uri=f"data:image/jpeg;base64,{encoded}", problem=None)
    return Exhibit(path=path, score=score, uri=None, problem=problem)


def explanation(reason_code: str | None) -> str:
    """The sentence that belongs to a reason code; empty for a code that this version does not know."""
    known = {reason.value: reason.explanation for reason in Reason}
    return known.get(reason_code or "", "")
