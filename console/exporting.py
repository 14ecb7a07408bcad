"""How do images that people decided about become training data, and what keeps test images out of it?

A folder per class and no split, one file for each distinct bytes, named by their sha256 whatever it was called before:
`inspectq train` takes the folder as it is, and its class folders can be put below those of an older training set.
`provenance.csv` says on which decisions each file rests, `left-out.csv` which images are not there, and why.

Test images are known by their bytes. The database keeps no picture of them, so near twins are looked for among those
that still lie where they were judged; how many do not is told.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from console.export_choice import Choice, LeftOut, Why, as_tested, choose, overruled
from console.files import whole_folder
from console.results import csv_lines
from console.terminal import progress_bar
from db import audit, jobs
from db.decided import Decided, JudgedOn, decided, judged_on
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.models import ReviewDecision
from db.paths import to_bytes, to_text
from db.settings import Settings
from scheduler.submission import person
from trainer.twins import nearest_twins
from vision.decode import Limits, decode_file, read_image
from vision.faults import Altered, Reason, StorageTrouble, Unreadable
from vision.reading import InspectedFolder, OutsideRoots, read_file
from vision.signature import as_array, signature
from vision.suffixes import IMAGE_SUFFIXES

CLASSES = {ReviewDecision.FAIL: "defective", ReviewDecision.PASS: "non-defective"}
PROVENANCE, LEFT_OUT = "provenance.csv", "left-out.csv"
_LEFT_OUT_COLUMNS = ("why", "detail", "sha256", "job", "path", "review", "reviewer", "decision")
_PROVENANCE_COLUMNS = (
    *("file", "sha256", "job", "folder", "path", "review", "reviewer", "account", "decision", "decided_at"),
    *("reason_code", "blind", "drawn", "result", "verdict", "score", "model", "overruled"),
)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    folder: Path
    images: Counter[str]  # by class
    left_out: Counter[Why]
    overruled: int  # images of which somebody, or some job, that was not asked for says otherwise
    provenance_sha256: str
    test_images: int  # that the database knows
    unseen: int  # of these, those that are not where they were judged: no near twin of them can be found

    def fields(self) -> dict[str, Any]:
        """For a person or a script."""
        return {
            "folder": to_text(str(self.folder)),
            "images": dict(self.images),
            "left_out": {why.value: images for why, images in self.left_out.items()},
            "overruled": self.overruled,
            "provenance_sha256": self.provenance_sha256,
            "test_images": self.test_images,
            "test_images_unseen": self.unseen,
        }


def export_reviewed(
    engine: Engine, settings: Settings, out: Path, *, only: Sequence[int] = (), by: Sequence[str] = ()
) -> Exported:
    """Copy what people passed or failed to the folder `out`, whole or not at all, and report it to the audit chain.

    `only`: these jobs' images; `by`: what these people decided; none: all. Raises NotFound, and Refused where nothing
    is left to be written, or `out` is there and not empty.
    """
    with reading(engine) as session:
        for job in only:
            jobs.get(session, job)
        tests = judged_on(session)
        choice = choose(decided(session, only, by), tests)
        against = overruled(choice.images, decided(session))
    with whole_folder(out) as part:
        files, left_out = _copied(part, choice, settings)
        near, unseen = _near_tested(files, tests, settings)
        left_out += near
        counts = Counter(one.why for one in left_out)
        if not files:
            raise Refused(f"No image is left to learn from: nothing was written.{_told(counts)}")
        made = Exported(
            folder=out,
            images=Counter(path.parent.name for path in files),
            left_out=counts,
            overruled=sum(places[0].review.sha256 in against for places, _ in files.values()),
            provenance_sha256=_tell(part, files, left_out, against),
            test_images=len(tests),
            unseen=unseen,
        )
        with writing(engine) as session:
            asked = {"jobs": list(only), "reviewers": list(by)}
            subject = f"provenance:{made.provenance_sha256}"
            audit.record(session, actor=person(), action="dataset.export", subject=subject, **asked, **made.fields())
    return made


_Files = dict[Path, tuple[tuple[Decided, ...], bytes]]  # with the signature of what each shows


def _copied(part: Path, choice: Choice, settings: Settings) -> tuple[_Files, list[LeftOut]]:
    files: _Files = {}
    left_out = list(choice.left_out)
    with progress_bar() as progress, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        task = progress.add_task("Copying decided images", total=len(choice.images))
        copies = pool.map(partial(_copy, part, settings), choice.images)
        for places, copied in zip(choice.images, copies, strict=True):
            progress.advance(task)
            if isinstance(copied, list):
                left_out += copied
            else:
                files[copied[0]] = (places, copied[1])
    return files, left_out


def _copy(part: Path, settings: Settings, places: Sequence[Decided]) -> tuple[Path, bytes] | list[LeftOut]:
    """The copy, from the first of its places that still holds these bytes, and its signature; or why none does."""
    lost = []
    for place in places:
        try:
            with InspectedFolder(to_bytes(place.root), settings.root_folders) as folder:
                file = read_file(to_bytes(place.review.path), settings.max_bytes, folder=folder)
            if file.sha256 != place.review.sha256:
                lost.append(LeftOut(why=Why.CHANGED, image=place, detail=f"sha256 {file.sha256}"))
                continue
            seen = signature(decode_file(file, _limits(settings)).image)
        except OutsideRoots:
            detail = "its folder is not among the allowed ones (INSPECTQ_ROOTS)"
            lost.append(LeftOut(why=Why.UNREADABLE, image=place, detail=detail))
        except Unreadable as fault:
            why = Why.GONE if fault.reason is Reason.VANISHED else Why.UNREADABLE
            lost.append(LeftOut(why=why, image=place, detail=fault.detail))
        except StorageTrouble as trouble:
            lost.append(LeftOut(why=Why.GONE, image=place, detail=str(trouble)))
        else:
            copy = part / CLASSES[place.review.decision] / f"{file.sha256}{_suffix(place.review.path)}"
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.content)
            return copy, seen
    return lost


def _suffix(path: str) -> str:
    """By which `inspectq train` takes it for an image; what it is its content says."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in IMAGE_SUFFIXES else ".jpg"


def _limits(settings: Settings) -> Limits:
    return Limits(max_pixels=settings.max_pixels, max_bytes=settings.max_bytes)


def _near_tested(files: _Files, tests: Mapping[str, JudgedOn], settings: Settings) -> tuple[list[LeftOut], int]:
    """Take away what shows the same as a test image; (what that was, test images that nobody can look at now)."""
    with progress_bar() as progress, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        looked = pool.map(partial(_seen, _limits(settings)), tests.values())
        seen = list(progress.track(looked, total=len(tests), description="Looking at test images"))
    there = [test for test, shown in zip(tests.values(), seen, strict=True) if shown is not None]
    told = as_array([shown for _, shown in files.values()]), as_array([shown for shown in seen if shown is not None])
    paths, left_out = list(files), []
    for pair in nearest_twins(*told):
        path, detail = paths[pair.first], as_tested(there[pair.second])
        left_out += [LeftOut(why=Why.NEAR_TESTED, image=one, detail=detail) for one in files.pop(path)[0]]
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()  # training takes an empty class for a mistake
    return left_out, len(tests) - len(there)


def _seen(limits: Limits, test: JudgedOn) -> bytes | None:
    path = to_bytes(test.root) + b"/" + to_bytes(test.path)
    try:
        return signature(read_image(path, limits, sha256=test.sha256).image)
    except (Unreadable, StorageTrouble, Altered):
        return None


def _tell(part: Path, files: _Files, left_out: Iterable[LeftOut], against: Mapping[str, str]) -> str:
    """Write both tables; the sha256 of the provenance."""
    rows = (
        {**_provenance(path.relative_to(part), place), "overruled": against.get(place.review.sha256 or "")}
        for path in sorted(files)
        for place in files[path][0]
    )
    told = "".join(csv_lines(rows, columns=_PROVENANCE_COLUMNS)).encode()
    (part / PROVENANCE).write_bytes(told)
    lost = ({**_provenance(None, one.image), "why": one.why.value, "detail": one.detail} for one in left_out)
    short = ({name: row[name] for name in _LEFT_OUT_COLUMNS} for row in lost)
    (part / LEFT_OUT).write_bytes("".join(csv_lines(short, columns=_LEFT_OUT_COLUMNS)).encode())
    return hashlib.sha256(told).hexdigest()


def _provenance(file: Path | None, place: Decided) -> dict[str, Any]:
    review, then = place.review, place.then
    return {
        "file": None if file is None else file.as_posix(),
        "sha256": review.sha256,
        "job": review.job_id,
        "folder": place.root,
        "path": review.path,
        "review": review.id,
        "reviewer": review.reviewer,
        "account": review.account,
        "decision": review.decision.value,
        "decided_at": review.created_at,
        "reason_code": review.reason_code,
        "blind": review.blind,
        "drawn": review.drawn,
        "result": then.id,
        "verdict": then.disposition.value,
        "score": then.score,
        "model": place.model,
    }


def _told(counts: Mapping[Why, int]) -> str:
    parts = ", ".join(f"{images} {why.value}" for why, images in counts.items())
    return f" Left out: {parts}." if parts else " Nobody has passed or failed any of these images."
