"""Is the tile that decided stored with the verdict, and does it stay with it when that is taken over?"""

from pathlib import Path

import pytest

from db import batches, results
from db.engine import Engine, reading, writing
from db.settings import Settings
from tests.networks import add_random_model
from tests.rows import add_job
from vision.decode import read_image
from vision.preprocessing import Preprocessing
from worker.inspection import from_settings

NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture
def digest(engine: Engine, tmp_path: Path) -> str:
    return add_random_model(engine, tmp_path / "models", pixels=16, tile=20)


def test_the_tile_that_decided_is_stored_and_taken_over(
    engine: Engine, sqlite_url: str, tmp_path: Path, digest: str, folder: Path
) -> None:
    (folder / "5.png").write_bytes(b"no image")
    inspector = from_settings("w@here", Settings(home=tmp_path, database_url=sqlite_url, device="cpu"))
    found = []
    for _ in range(2):
        job = add_job(engine, [NAMES], root=str(folder), reuse=True)
        with writing(engine) as session:
            (message,) = batches.dispatch(session, window=1)
        inspector.inspect(message.batch, message.attempt)
        with reading(engine) as session:
            found.append(list(results.of_job(session, job)))
    first, again = ([[row[name] for name in _PLACE] for row in rows] for rows in found)
    assert first == again
    assert all(row["reused_from"] for row in found[1][:5])
    assert first[5] == [None] * 4
    tiling = Preprocessing(size=16, tile=20)
    for row, place in zip(found[0][:5], first, strict=False):
        picture = read_image(folder / row["path"])
        assert tuple(place) in [(t.x, t.y, t.width, t.height) for t in tiling.tiles(picture.width, picture.height)]


_PLACE = ("tile_x", "tile_y", "tile_width", "tile_height")
