"""Which images and which runtimes does a repeatability study take, and how is its outcome shown?"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.terminal import progress_bar
from db import operating_points, runtimes
from db.engine import Engine, reading
from db.models import Checkpoint
from db.paths import to_text
from db.settings import Settings
from scheduler.walk import Found, walk
from trainer.errors import DatasetError
from trainer.repeatability import Condition, Study, study
from vision.checkpoint import CheckpointError
from vision.decode import Limits
from vision.runtime import DeviceUnavailable, Runtime
from vision.runtimes import EXPORTED, REFERENCE, open_runtime
from worker.choice import best_runtime


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A study with what it was made with."""

    study: Study
    base: str  # the runtime and the device that all others are compared with
    operating_point: int
    left_out: dict[str, str]  # runtimes that could not be opened, and why


def drawn(folder: Path, most: int, seed: int) -> list[Path]:
    """At most so many of the images below `folder`, in order. Raises DatasetError where there is none."""
    root = os.fsencode(folder)
    try:
        found = [path for kind, path in walk(root) if kind is Found.IMAGE]
    except OSError as error:
        raise DatasetError(f"{folder} cannot be listed: {error.strerror}.") from error
    if not found:
        raise DatasetError(f"{folder} holds no image: nothing to study.")
    chosen = random.Random(seed).sample(found, min(most, len(found)))  # noqa: S311 - a sample, not a secret
    return [Path(os.fsdecode(os.path.join(root, path))) for path in sorted(chosen)]  # noqa: PTH118 - paths are bytes


def look_again(engine: Engine, settings: Settings, checkpoint: Checkpoint, paths: list[Path], device: str) -> Asked:
    """Study the model on these images, by its current limits and every accepted runtime that this machine has."""
    with reading(engine) as session:
        point = operating_points.current(session, checkpoint)
        compared = runtimes.of_checkpoint(session, checkpoint.id)
    models, digest = settings.models_folder, checkpoint.digest
    base = best_runtime(settings.runtime, compared, models, digest, device)
    others: dict[str, Runtime] = {}
    left_out: dict[str, str] = {}
    files = {row.name: row.file_digest for row in compared if row.accepted} | {REFERENCE: None}
    for name, place in _places(files):
        try:
            runtime = open_runtime(name, models, digest, files[name], place)
        except (CheckpointError, DeviceUnavailable) as error:
            left_out[f"{name} on {place}"] = str(error)
            continue
        if _named(runtime) != _named(base):
            others[_named(runtime)] = runtime
    limits = Limits(max_pixels=settings.max_pixels, max_bytes=settings.max_bytes)
    with progress_bar() as progress:
        task = progress.add_task("Looking again", total=len(paths))
        found = study(
            paths,
            base,
            others,
            pass_below=point.pass_below,
            fail_from=point.fail_from,
            limits=limits,
            on_image=lambda: progress.advance(task),
        )
    return Asked(study=found, base=_named(base), operating_point=point.id, left_out=left_out)


def fields(asked: Asked) -> dict[str, Any]:
    """For scripts, and for the audit event."""
    return {
        "operating_point": asked.operating_point,
        "base": asked.base,
        "images": asked.study.images,
        "unreadable": asked.study.unreadable,
        "conditions": [_row(condition) for condition in asked.study.conditions],
        "left_out": asked.left_out,
    }


def described(folder: Path) -> str:
    """A folder's name as it is stored and shown."""
    return to_text(str(folder.resolve()))


def _places(names: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    """(runtime, device): each on every device of this machine that it runs on."""
    from vision.torch_runtime import choose_device

    gpu = choose_device("auto")
    for name in names:
        if name in EXPORTED or name == REFERENCE:
            yield name, "cpu"
        if name not in EXPORTED and gpu != "cpu":
            yield name, gpu


def _named(runtime: Runtime) -> str:
    return f"{runtime.engine} {runtime.precision} on {runtime.device}"


def _row(condition: Condition) -> dict[str, Any]:
    return {
        "condition": condition.name,
        "images": condition.images,
        "flipped": condition.flipped,
        "flipped_share": condition.flipped_share,
        "flipped_lcl": condition.bounds.lcl,
        "flipped_ucl": condition.bounds.ucl,
        "largest_difference": condition.largest_difference,
        "p95_difference": condition.p95_difference,
    }
