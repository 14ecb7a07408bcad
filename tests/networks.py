"""How does a test get a real checkpoint file, small enough to make in a second?"""

from dataclasses import replace
from pathlib import Path

import torch

from db import checkpoints
from db.engine import Engine, writing
from db.models import ModelStatus
from tests.rows import add_model
from vision.checkpoint import CheckpointInfo
from vision.network import build_network
from vision.novelty import Novelty
from vision.preprocessing import Preprocessing
from vision.saved_network import save_checkpoint


def save_random_model(
    models_folder: Path, *, seed: int = 0, bias: float = 0.0, pixels: int = 32, tile: int | None = None
) -> str:
    """A ResNet18 with random weights that looks at `pixels` squared; `bias` moves every score up. Its digest."""
    models_folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(pretrained_state=None)
        novelty = Novelty(torch.rand(8, 512), radius=0.5)
    with torch.no_grad():
        network.fc.bias[1] += bias
    info = CheckpointInfo(
        class_names=("ok", "defective"),
        positive_class="defective",
        preprocessing=Preprocessing(size=pixels, tile=tile),
        recipe={"name": "report"},
        dataset_fingerprint="f" * 64,
        code_version="0",
        created="2026-11-22T00:00:00+00:00",
    )
    part = models_folder / "part"
    digest = save_checkpoint(part, network, replace(info, novelty_radius=novelty.radius), novelty)
    part.rename(models_folder / f"{digest}.safetensors")
    return digest


def add_random_model(
    engine: Engine,
    models_folder: Path,
    *,
    name: str = "tiny",
    bias: float = 0.0,
    pixels: int = 32,
    tile: int | None = None,
) -> str:
    """The same, registered and approved. Its digest."""
    digest = save_random_model(models_folder, bias=bias, pixels=pixels, tile=tile)
    with writing(engine) as session:
        checkpoints.set_status(
            session, add_model(session, name=name, digest=digest), ModelStatus.APPROVED, actor="test"
        )
    return digest
