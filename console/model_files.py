"""Are the model files on disk those that are recorded? Hashed piece by piece; no network is loaded."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from db import checkpoints, runtimes
from db.engine import Session
from db.misfits import Misfit
from vision.runtimes import EXPORTED, REFERENCE, file_of

WHAT = "model file"


@dataclass(kw_only=True)
class ModelFiles:
    """Reads every file once, by iterating over `misfits`; `fit` is complete afterwards."""

    session: Session
    folder: Path
    fit: int = 0

    def misfits(self) -> Iterator[Misfit]:
        """The files of every model and of each export's newest comparison that are missing, or are others."""
        recorded = list(self._recorded())
        if recorded and not self.folder.is_dir():
            says = f"There is no folder {self.folder} with model files. Set INSPECTQ_HOME, or use --skip-model-files."
            yield Misfit(what=WHAT, says=says)
            return
        for whose, file, digest in recorded:
            wrong = _wrong(file, digest)
            if wrong is None:
                self.fit += 1
            else:
                yield Misfit(what=WHAT, says=f"The file of {whose}, {file}, {wrong}.")

    def _recorded(self) -> Iterator[tuple[str, Path, str]]:
        """(whose, where, the recorded sha256) of each file there has to be."""
        for number, name, model in checkpoints.files(self.session):
            whose = f"model {name}"
            yield whose, file_of(REFERENCE, self.folder, model), model
            for runtime, digest in runtimes.files(self.session, number):
                if runtime in EXPORTED:
                    yield f"{whose} for the runtime {runtime}", file_of(runtime, self.folder, model), digest


def _wrong(file: Path, digest: str) -> str | None:
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == digest else f"was altered or swapped: its digest is {found[:12]}, {digest[:12]} is recorded"
