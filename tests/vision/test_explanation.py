"""Does the map say what each place adds to the score, at the place where it is?"""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.networks import save_random_model
from vision.explanation import drawn, heat_map
from vision.preprocessing import Preprocessing
from vision.saved_network import Checkpoint, load_checkpoint
from vision.tiling import Tile


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("models")
    digest = save_random_model(folder, pixels=128)
    return load_checkpoint(folder / f"{digest}.safetensors", digest)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def log_odds(checkpoint: Checkpoint, image: Image.Image) -> float:
    preprocessing = checkpoint.info.preprocessing
    with torch.inference_mode():
        logits = checkpoint.network(preprocessing.normalise(torch.from_numpy(preprocessing.apply(image))[None]))[0]
    return float(logits[1] - logits[0])


def test_the_mean_of_the_map_and_the_bias_are_the_score(checkpoint: Checkpoint) -> None:
    from vision.explanation import _added

    image = noise(200, 200)
    preprocessing = checkpoint.info.preprocessing
    with torch.inference_mode():
        square = preprocessing.normalise(torch.from_numpy(preprocessing.apply(image))[None])
        added = float(_added(checkpoint.network, square, preprocessing).mean())
    bias = checkpoint.network.fc.bias
    assert added + float((bias[1] - bias[0]).detach()) == pytest.approx(log_odds(checkpoint, image), abs=1e-4)


def test_it_is_grad_cam(checkpoint: Checkpoint) -> None:
    """By its definition: the last layer's maps, each weighted by the mean of the gradient with respect to it."""
    from vision.explanation import _added, _last_layer

    preprocessing = checkpoint.info.preprocessing
    square = preprocessing.normalise(torch.from_numpy(preprocessing.apply(noise(90, 90)))[None])
    network = checkpoint.network
    seen = _last_layer(network, square).detach().requires_grad_()
    logits = network.fc(torch.flatten(network.avgpool(seen), 1))[0]
    (gradient,) = torch.autograd.grad(logits[1] - logits[0], seen)
    by_definition = (gradient.mean(dim=(2, 3), keepdim=True) * seen).sum(dim=1)[0]
    cells = by_definition.numel()
    with torch.inference_mode():
        ours = _added(network, square, preprocessing)
    assert torch.allclose(ours, by_definition.detach() * cells, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(300, 100), (100, 300), (64, 64), (1, 40)])
def test_it_has_the_shape_of_the_picture(checkpoint: Checkpoint, width: int, height: int) -> None:
    found = heat_map(checkpoint, noise(width, height))
    assert found.shape[1] / found.shape[0] == pytest.approx(width / height, rel=0.3)
    assert max(found.shape) == 128


def test_a_part_of_a_picture_has_a_map_of_its_own(tmp_path: Path) -> None:
    digest = save_random_model(tmp_path, pixels=64, tile=100)
    tiled = load_checkpoint(tmp_path / f"{digest}.safetensors", digest)
    image = noise(260, 100)
    part = heat_map(tiled, image, Tile(x=160, y=0, width=100, height=100))
    same = heat_map(tiled, image.crop((160, 0, 260, 100)), Tile(x=0, y=0, width=100, height=100))
    assert np.array_equal(part, same)
    assert part.shape == (64, 64)


def test_mirror_images_are_asked_as_the_score_asks_them(checkpoint: Checkpoint) -> None:
    from vision.explanation import _added

    both = Preprocessing(size=128, flips="horizontal")
    with torch.inference_mode():
        square = both.normalise(torch.from_numpy(both.apply(noise(128, 128)))[None])
        found = _added(checkpoint.network, square, both)
        mirrored = _added(checkpoint.network, torch.flip(square, (3,)), both)
    assert torch.allclose(found, torch.flip(mirrored, (1,)), atol=1e-5)


def test_what_speaks_for_a_defect_is_seen_and_a_weak_reason_looks_weak() -> None:
    added = np.zeros((40, 80), dtype=np.float32)
    added[:, 60:] = 20.0
    added[:, :20] = -20.0
    strong = np.asarray(Image.open(io.BytesIO(drawn(added))))
    weak = np.asarray(Image.open(io.BytesIO(drawn(added / 20))))
    assert strong.shape == (224, 448, 4)
    assert strong[100, 440, 3] == 190
    assert strong[100, 200, 3] == strong[100, 5, 3] == 0
    assert 0 < weak[100, 440, 3] < 40
