"""Is a picture made once, only of the bytes that were inspected, and never of a file that may not be shown?"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from console.web.pictures import SMALL, NoPicture, Pictures
from db import jobs, results
from db.engine import Engine, reading
from db.models import InspectionJob, InspectionResult
from tests.console.conftest import Rows, Verdict, draw

Asked = tuple[InspectionJob, InspectionResult]


def asked(engine: Engine, folder: Path, *, name: str = "a.png", sha256: str | None = None) -> Asked:
    rows = Rows(engine=engine)
    rows.add_model()
    digest = sha256 or draw(folder, name)
    job = rows.add_job(folder, [Verdict(path=name, score=0.5, sha256=digest)])
    with reading(engine) as session:
        return jobs.get(session, job), results.get(session, 1)


def test_it_has_all_pixels_or_is_small(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (600, 900), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "grey.tif")
    from hashlib import sha256

    job, row = asked(engine, folder, name="grey.tif", sha256=sha256((folder / "grey.tif").read_bytes()).hexdigest())
    pictures = Pictures(tmp_path / "cache")
    assert Image.open(io.BytesIO(pictures.full(job, row))).size == (900, 600)
    assert max(Image.open(io.BytesIO(pictures.small(job, row))).size) == SMALL


def test_it_is_made_once_and_stays_when_the_file_goes(engine: Engine, tmp_path: Path) -> None:
    job, row = asked(engine, tmp_path / "images")
    pictures = Pictures(tmp_path / "cache")
    made = pictures.small(job, row)
    (tmp_path / "images/a.png").unlink()
    assert pictures.small(job, row) == made
    with pytest.raises(NoPicture, match="no longer there"):
        pictures.full(job, row)


def test_a_file_with_other_bytes_is_not_shown(engine: Engine, tmp_path: Path) -> None:
    job, row = asked(engine, tmp_path / "images", sha256="ab" * 32)
    draw(tmp_path / "images", "a.png")
    with pytest.raises(NoPicture, match="changed since it was inspected"):
        Pictures(tmp_path / "cache").small(job, row)


def test_a_folder_that_may_not_be_shown_is_not(engine: Engine, tmp_path: Path) -> None:
    job, row = asked(engine, tmp_path / "images")
    (tmp_path / "others").mkdir()
    with pytest.raises(NoPicture, match="INSPECTQ_ROOTS"):
        Pictures(tmp_path / "cache", (bytes(tmp_path / "others"),)).small(job, row)


def test_a_link_that_leads_elsewhere_is_not_followed(engine: Engine, tmp_path: Path) -> None:
    digest = draw(tmp_path / "secret", "a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").symlink_to(tmp_path / "secret/a.png")
    job, row = asked(engine, tmp_path / "images", sha256=digest)
    with pytest.raises(NoPicture, match="symbolic link that leads out"):
        Pictures(tmp_path / "cache").full(job, row)


def test_the_oldest_ones_go_where_all_together_are_too_large(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.web.pictures._LOOK_EVERY", 1)
    rows = Rows(engine=engine)
    rows.add_model()
    names = [f"{number}.png" for number in range(4)]
    verdicts = [
        Verdict(path=name, score=0.5, sha256=draw(tmp_path / "images", name, 40 * at)) for at, name in enumerate(names)
    ]
    number = rows.add_job(tmp_path / "images", verdicts)
    with reading(engine) as session:
        job, found = jobs.get(session, number), [results.get(session, result) for result in (1, 2, 3, 4)]
    size = len(Pictures(tmp_path / "first").small(job, found[0]))
    pictures = Pictures(tmp_path / "cache", most_bytes=int(2.5 * size))
    for row in found:
        pictures.small(job, row)
    kept = {path.stem for path in (tmp_path / "cache").rglob("*.jpg")}
    assert kept == {row.sha256 for row in found[2:]}
