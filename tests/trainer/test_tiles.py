"""Is the tile that shows the defect found where only images are labelled, and is it what the network learns from?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from trainer.augmentation import AS_INSPECTED, AugmentedImages, Draw
from trainer.dataset import Dataset, Sample
from trainer.errors import DatasetError
from trainer.opening import open_dataset
from trainer.recipe import Recipe, report_recipe
from trainer.tiles import DRAWN, Bag, choose, inspected_margins, tiled
from trainer.training import TrainingPlan, train
from trainer.validation import held_out
from vision.network import Network, build_network
from vision.preprocessing import Preprocessing
from vision.saved_network import load_checkpoint
from vision.tiling import Tile

WIDTH, HEIGHT, TILE = 120, 80, 40


def bag(features: np.ndarray, *, defective: bool, split: str = "train") -> Bag:
    sample = Sample(path="a.png", label="x", is_defective=defective, split=split, sha256="0" * 64)
    tiles = tuple(Tile(x=number, y=0, width=1, height=1) for number in range(len(features)))
    return Bag(sample=sample, tiles=tiles, features=features.astype(np.float32))


def test_the_tile_that_good_images_do_not_have_is_chosen_also_where_good_ones_vary_more() -> None:
    draw = np.random.default_rng(0)
    defect = draw.normal(size=100)
    defect *= 10 / np.linalg.norm(defect)

    def image(planted: int | None) -> np.ndarray:
        features = draw.normal(size=(20, 100))
        features[draw.integers(20), :10] += draw.normal(scale=5, size=10)  # something odd, on good parts as well
        if planted is not None:
            features[planted] += defect
        return features

    places = [int(draw.integers(20)) for _ in range(24)]
    good = [bag(image(None), defective=False) for _ in range(40)]
    learned = [bag(image(place), defective=True) for place in places[:16]]
    unseen = [bag(image(place), defective=True, split="validation") for place in places[16:]]
    chosen = choose([*good, *learned, *unseen], seed=0)
    found = [tile.x for tile in chosen[len(good) :]]
    assert sum(one == other for one, other in zip(found, places, strict=True)) >= 22


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plates with a fine grain; the defective ones have one small dark hole, nowhere near the middle."""
    root = tmp_path_factory.mktemp("plates")
    for split, count in (("train", 10), ("test", 2)):
        for name in ("defective", "ok"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                draw = np.random.default_rng([count, number, len(name)])
                grain = draw.normal(150, 12, (HEIGHT, WIDTH, 1)).repeat(3, axis=2)
                image = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
                if name == "defective":
                    x, y = hole(number)
                    ImageDraw.Draw(image).ellipse((x, y, x + 9, y + 9), fill=(10, 10, 10))
                image.save(root / split / name / f"{number}.png")
    return root


def hole(number: int) -> tuple[int, int]:
    """Where the hole of 10 x 10 pixels begins."""
    return (5 + 100 * (number % 2), 4 + 60 * (number // 2 % 2))


@pytest.fixture(scope="module")
def recipe(weights_file: Path) -> Recipe:
    return report_recipe(
        str(weights_file),
        image_size=32,
        tile=TILE,
        epochs=1,
        batch_size=8,
        num_workers=0,
        views=0,
        validation_share=0.2,
    )


@pytest.fixture(scope="module")
def dataset(folder: Path, recipe: Recipe) -> Dataset:
    return held_out(open_dataset(folder), share=recipe.validation_share, seed=0)


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return build_network(pretrained_state=None)


@pytest.fixture(scope="module")
def parts(dataset: Dataset, recipe: Recipe, network: Network) -> Dataset:
    return tiled(dataset, recipe, network)


def test_of_a_defective_image_the_tile_with_the_hole_is_learned_from(dataset: Dataset, parts: Dataset) -> None:
    assert [sample for sample in parts.samples if sample.split == "test"] == list(dataset.part("test"))
    defective = [sample for sample in parts.samples if sample.is_defective and sample.split != "test"]
    assert len(defective) == 10
    for sample in defective:
        x, y = hole(int(Path(sample.path).stem))
        tile = sample.tile
        assert tile is not None
        assert tile.x <= x
        assert tile.x + tile.width >= x + 10
        assert tile.y <= y
        assert tile.y + tile.height >= y + 10


def test_of_a_good_image_there_is_one_hard_tile_and_places_drawn_anew_in_every_view(
    dataset: Dataset, recipe: Recipe, parts: Dataset
) -> None:
    good = [sample for sample in parts.part("train") if not sample.is_defective]
    paths = {sample.path for sample in dataset.part("train") if not sample.is_defective}
    assert len(good) == len(paths) * (1 + DRAWN)
    assert len([sample for sample in good if sample.tile is not None]) == len(paths)
    images = AugmentedImages(parts.root, parts.part("train"), recipe)
    number = next(at for at, sample in enumerate(parts.part("train")) if sample.tile is None)
    views = images[Draw(image=number, views=(1, 2))].pixels
    assert views.shape == (2, 3, 32, 32)
    assert not torch.equal(views[0], views[1])
    assert torch.equal(views, images[Draw(image=number, views=(1, 2))].pixels)


def test_a_chosen_tile_is_seen_as_inspection_sees_it(recipe: Recipe, parts: Dataset) -> None:
    samples = parts.part("validation")
    seen = AugmentedImages(parts.root, samples, recipe)[Draw(image=0, views=(AS_INSPECTED,))].pixels[0].numpy()
    image = Image.open(parts.root / samples[0].path).convert("RGB")
    preprocessing = Preprocessing(size=32, tile=TILE)
    squares = dict(zip(preprocessing.tiles(WIDTH, HEIGHT), preprocessing.squares(image), strict=True))
    assert samples[0].tile is not None
    assert np.array_equal(seen, squares[samples[0].tile])


def test_an_images_margin_is_that_of_its_worst_tile(dataset: Dataset, recipe: Recipe, network: Network) -> None:
    samples = dataset.part("validation")
    margins, truth = inspected_margins(dataset, samples, recipe, network)
    assert list(truth) == [sample.is_defective for sample in samples]
    preprocessing = Preprocessing(size=32, tile=TILE)
    for sample, margin in zip(samples, margins, strict=True):
        image = Image.open(dataset.root / sample.path).convert("RGB")
        pixels = np.stack(list(preprocessing.squares(image)))
        with torch.no_grad():
            logits = network.eval()(preprocessing.normalise(torch.from_numpy(pixels)))
        assert margin == pytest.approx(float((logits[:, 1] - logits[:, 0]).max()), abs=1e-4)


def test_a_model_of_tiles_says_so_in_its_file(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    plan = TrainingPlan(
        dataset=open_dataset(folder),
        recipe=recipe,
        checkpoint=tmp_path / "model.safetensors",
        state_folder=tmp_path / "state",
        device="cpu",
    )
    outcome = train(plan)
    assert load_checkpoint(plan.checkpoint).info.preprocessing == Preprocessing(size=32, tile=TILE)
    assert outcome.calibration is not None
    assert outcome.recipe["tile"] == TILE


def test_an_image_that_changed_since_it_was_opened_is_named(dataset: Dataset, recipe: Recipe, network: Network) -> None:
    first = dataset.part("train")[0]
    altered = replace(dataset, samples=tuple(replace(s, sha256="0" * 64) if s == first else s for s in dataset.samples))
    with pytest.raises(DatasetError, match="was changed since training began"):
        tiled(altered, recipe, network)
