"""How does the server draw where the network saw a defect, without loading the network itself?

In one process of its own, begun by the first who asks, which keeps the last models: torch takes seconds to load and
hundreds of megabytes, and pages are to be served meanwhile. Maps are named by model, file and tile, and made once.
"""

import multiprocessing
import multiprocessing.connection
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from console.web.pictures import NoPicture
from db.models import Checkpoint, InspectionJob, InspectionResult
from db.paths import to_bytes

if TYPE_CHECKING:
    from vision.saved_network import Checkpoint as Loaded

_KEPT_MODELS = 2


class HeatMaps:
    """Maps of inspected images, kept in a folder. Use it as a context: its process ends with it."""

    def __init__(self, folder: Path, models: Path, roots: tuple[bytes, ...] = ()) -> None:
        """`models`: where the files of models lie, each named by its digest."""
        self._folder = folder
        self._models = models
        self._roots = roots
        self._changing = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "HeatMaps":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def png(self, job: InspectionJob, row: InspectionResult, model: Checkpoint) -> bytes:
        """A PNG to be laid over the picture, or over the tile that decided. Raises NoPicture."""
        if row.sha256 is None or row.score is None:
            raise NoPicture("It could not be read when it was inspected.")
        tile = [each for each in (row.tile_x, row.tile_y, row.tile_width, row.tile_height) if each is not None]
        name = "-".join([row.sha256, *map(str, tile)])
        file = self._folder / model.digest[:16] / f"{name}.png"
        with suppress(OSError):
            return file.read_bytes()
        asked = (self._models, model.digest, to_bytes(job.root), to_bytes(row.path), self._roots, row.sha256, tile)
        try:
            made = self._running().submit(_explained, *asked).result()
        except BrokenProcessPool as error:
            self._end()
            raise NoPicture("The process that explains has ended while it was asked. Ask again.") from error
        if isinstance(made, str):
            raise NoPicture(made)
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{threading.get_ident()}.part")
            part.write_bytes(made)
            part.replace(file)
        return made

    def _running(self) -> ProcessPoolExecutor:
        with self._changing:
            if self._pool is None:
                spawn = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_end_with_the_server)
            return self._pool

    def _end(self) -> None:
        with self._changing:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_the_server() -> None:
    """However that ends: a process that waits for work holds the pipe itself, and would wait for ever."""
    server = multiprocessing.parent_process()

    def follow() -> None:
        multiprocessing.connection.wait([server.sentinel] if server else [])
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()


def _explained(
    models: Path, digest: str, root: bytes, path: bytes, roots: tuple[bytes, ...], sha256: str, box: list[int]
) -> bytes | str:
    """In the process of its own: the map as a PNG, or a sentence that says why there is none."""
    # Imported here: the server calls this in another process, and never loads torch.
    from vision.checkpoint import CheckpointError
    from vision.decode import read_image
    from vision.explanation import drawn, heat_map
    from vision.faults import Altered, StorageTrouble, Unreadable
    from vision.reading import InspectedFolder, OutsideRoots
    from vision.tiling import Tile

    try:
        loaded = _loaded(models, digest)
        with InspectedFolder(root, roots) as folder:
            picture = read_image(path, folder=folder, edge=loaded.info.preprocessing.edge, sha256=sha256)
    except (CheckpointError, OutsideRoots) as error:
        return str(error)
    except (Unreadable, StorageTrouble):
        return "The file cannot be read now."
    except Altered:
        return "The file has been changed since it was inspected."
    tile = Tile(**dict(zip(("x", "y", "width", "height"), box, strict=True))) if box else None
    return drawn(heat_map(loaded, picture.image, tile, stored=(picture.width, picture.height)))


@lru_cache(_KEPT_MODELS)
def _loaded(models: Path, digest: str) -> "Loaded":
    from vision.saved_network import load_checkpoint

    return load_checkpoint(models / f"{digest}.safetensors", digest)
