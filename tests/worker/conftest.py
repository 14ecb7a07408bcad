"""A database, a real checkpoint, a folder of real images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.engine import Engine
from db.schema import open_database
from tests.networks import add_random_model


@pytest.fixture
def engine(sqlite_with_tables: str) -> Iterator[Engine]:
    """An engine on a SQLite database with empty tables."""
    made = open_database(sqlite_with_tables)
    yield made
    made.dispose()


@pytest.fixture
def models_folder(tmp_path: Path) -> Path:
    """Where checkpoints lie."""
    return tmp_path / "models"


@pytest.fixture
def digest(engine: Engine, models_folder: Path) -> str:
    """The digest of a registered checkpoint."""
    return add_random_model(engine, models_folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six small photographs."""
    root = tmp_path / "images"
    root.mkdir()
    draw = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(draw.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(root / f"{number}.png")
    return root
