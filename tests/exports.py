"""How does a test get a model that is exported for every runtime, once per session?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tests.trainer.conftest import draw_split_folders
from trainer.dataset import Dataset
from trainer.export import Exported, export
from trainer.novelty import remember
from trainer.opening import open_dataset
from vision.checkpoint import CheckpointInfo
from vision.decode import read_image
from vision.network import build_network, layers_before
from vision.novelty import directions
from vision.preprocessing import Preprocessing
from vision.runtime import Pixels
from vision.saved_network import save_checkpoint

SIZE = 64  # pixels


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """A checkpoint of random weights, its exports, and the parts on which its scores lie on both sides of 0.5."""

    folder: Path
    digest: str
    files: tuple[Exported, ...]
    dataset: Dataset
    pixels: Pixels  # of the test images


def export_random_model(folder: Path) -> ExportedModel:
    """Draw parts, make a network whose head spreads its answers over them, and export it."""
    dataset = open_dataset(draw_split_folders(folder / "parts"))
    preprocessing = Preprocessing(size=SIZE)
    pixels = np.stack(
        [preprocessing.apply(read_image(dataset.root / sample.path).image) for sample in dataset.part("test")]
    )
    models = folder / "models"
    models.mkdir()
    digest = _save(models, preprocessing, pixels)
    files = export(models, digest, dataset)
    return ExportedModel(folder=models, digest=digest, files=files, dataset=dataset, pixels=pixels)


def _save(models: Path, preprocessing: Preprocessing, pixels: Pixels) -> str:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        network = build_network(pretrained_state=None).eval()
        features = layers_before(network, "head")(preprocessing.normalise(torch.from_numpy(pixels)))
        logits = network.fc(features)
        spread = (logits[:, 1] - logits[:, 0]).std()
        network.fc.weight.div_(spread)
        network.fc.bias.sub_(logits.mean(dim=0)).div_(spread)
        novelty = remember(directions(features[::2]), torch.empty(0, 512), seed=0)
    info = CheckpointInfo(
        class_names=("ok", "defective"),
        positive_class="defective",
        preprocessing=preprocessing,
        recipe={"name": "report"},
        dataset_fingerprint="f" * 64,
        code_version="0",
        created="2026-11-22T00:00:00+00:00",
        novelty_radius=novelty.radius,
    )
    digest = save_checkpoint(models / "part", network, info, novelty)
    (models / "part").rename(models / f"{digest}.safetensors")
    return digest
