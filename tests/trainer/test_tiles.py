"""Is the tile that shows the defect found, with boxes and without, and is it what the network learns from?"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from trainer.augmentation import AS_INSPECTED, AugmentedImages, Draw
from trainer.boxes import Box
from trainer.dataset import Dataset, Sample
from trainer.errors import DatasetError, TrainingInterrupted
from trainer.finding import Reading
from trainer.opening import open_dataset
from trainer.progress import Step
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


def test_boxes_in_some_images_tell_what_is_the_defect_in_the_others() -> None:
    """Defective images have more in common than their defect, such as a sticker that says so: it is found first."""
    draw = np.random.default_rng(0)
    defect, sticker = (vector / np.linalg.norm(vector) for vector in draw.normal(size=(2, 100)))

    def image(planted: int | None) -> np.ndarray:
        features = draw.normal(size=(20, 100))
        if planted is not None:
            features[planted] += 10 * defect
            features[(planted + 7) % 20] += 14 * sticker
        return features

    places = [int(draw.integers(20)) for _ in range(24)]
    good = [bag(image(None), defective=False) for _ in range(40)]
    learned = [bag(image(place), defective=True) for place in places[:16]]
    unseen = [bag(image(place), defective=True, split="validation") for place in places[16:]]
    boxed = [replace(one, shown=(np.array([place]),)) for one, place in zip(learned[:3], places, strict=False)]

    def found(defective: list[Bag]) -> list[int]:
        return [tile.x for tile in choose([*good, *defective, *unseen], seed=0)[len(good) :]]

    assert found(learned) == [(place + 7) % 20 for place in places]
    assert found([*boxed, *learned[3:]]) == places


def test_of_a_box_that_several_tiles_show_the_most_defective_is_chosen_and_none_beside_it() -> None:
    draw = np.random.default_rng(0)
    defect = 10 * np.eye(100)[0]
    good = [bag(draw.normal(size=(20, 100)), defective=False) for _ in range(40)]

    def image(planted: int) -> np.ndarray:
        features = draw.normal(size=(20, 100))
        features[[planted, 19]] += np.outer([1, 3], defect)  # outside every box there is a worse one
        return features

    boxes = (np.array([2, 3, 4]), np.array([8, 9]))
    defective = [replace(bag(image(3), defective=True), shown=boxes) for _ in range(8)]
    assert [tile.x for tile in choose([*good, *defective], seed=0)[len(good) :]] == [3] * 8


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
        assert holds(sample.tile, hole(int(Path(sample.path).stem)))


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


def draw_marked(root: Path) -> None:
    """Plates of which the defective ones also have a large white mark, in another corner than the hole."""
    for path in sorted(root.rglob("*.png")):
        if path.parent.name == "defective":
            image = Image.open(path)
            x, y = hole(int(path.stem))
            ImageDraw.Draw(image).rectangle((100 - x, 54 - y, 119 - x, 73 - y), fill=(255, 255, 255))
            image.save(path)


@pytest.fixture(scope="module")
def marked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("marked") / "plates"
    shutil.copytree(folder, root)
    draw_marked(root)
    return root


def boxed(root: Path, *, of: Sequence[int], recipe: Recipe, larger: int = 0) -> Dataset:
    """The folder, with a box around the hole of these training images."""
    rows = [f"train/defective/{number}.png,{{}},{{}},{10 + larger},10".format(*hole(number)) for number in of]
    (root / "boxes.csv").write_text("\n".join(["path,x,y,width,height", *rows]), encoding="utf-8")
    return held_out(open_dataset(root, Reading(boxes=root / "boxes.csv")), share=recipe.validation_share, seed=0)


def test_the_tile_with_the_box_is_learned_from_where_something_else_would_be_found(
    marked: Path, recipe: Recipe, network: Network
) -> None:
    def with_hole(dataset: Dataset) -> list[bool]:
        """Of each defective image that is learned from, or held out: does its chosen tile show the hole?"""
        chosen = [one for one in tiled(dataset, recipe, network).samples if one.tile is not None and one.is_defective]
        assert {one.split for one in chosen} == {"train", "validation"}
        assert len(chosen) == 10
        return [holds(one.tile, hole(int(Path(one.path).stem))) for one in chosen]

    assert not any(with_hole(held_out(open_dataset(marked), share=recipe.validation_share, seed=0)))
    assert all(with_hole(boxed(marked, of=range(10), recipe=recipe)))


def holds(tile: Tile | None, place: tuple[int, int]) -> bool:
    """Is all of a hole that begins there in the tile?"""
    assert tile is not None
    (x, y), edges = place, (tile.x + tile.width, tile.y + tile.height)
    return tile.x <= x and x + 10 <= edges[0] and tile.y <= y and y + 10 <= edges[1]


def test_around_boxes_places_are_drawn_anew_and_what_no_box_touches_is_not_learned_from(
    marked: Path, recipe: Recipe, network: Network
) -> None:
    dataset = boxed(marked, of=range(5), recipe=recipe)
    parts = tiled(dataset, recipe, network)
    number_of = {sample.path: len(sample.boxes) for sample in dataset.part("train") if sample.is_defective}
    assert set(number_of.values()) == {0, 1}
    for path, boxes in number_of.items():
        own = [sample for sample in parts.part("train") if sample.path == path]
        x, y = hole(int(Path(path).stem))
        around = (Box(x=x, y=y, width=10, height=10),)
        assert all(sample.is_defective for sample in own)
        assert [sample.around for sample in own if sample.tile is None] == [around] * boxes * DRAWN
    assert all(sample.around == () for sample in parts.samples if not sample.is_defective)


def test_training_goes_on_only_with_the_boxes_that_it_began_with(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    longer = replace(recipe, epochs=2, validation_share=0)

    def few(larger: int = 0) -> Dataset:
        whole = boxed(folder, of=(1, 2), larger=larger, recipe=longer)
        return replace(whole, samples=tuple(one for one in whole.samples if int(Path(one.path).stem) < 3))

    plan = TrainingPlan(
        dataset=few(),
        recipe=longer,
        checkpoint=tmp_path / "model.safetensors",
        state_folder=tmp_path / "state",
        device="cpu",
    )

    def stop_in(epoch: int, step: Step) -> None:
        if step.epoch == epoch:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="after epoch 1 of 2"):
        train(plan, partial(stop_in, 2))
    others = replace(plan, dataset=few(larger=1), resume=True)
    assert others.dataset.fingerprint == plan.dataset.fingerprint
    with pytest.raises(TrainingInterrupted, match="before its first epoch"):
        train(others, partial(stop_in, 1))
    outcome = train(replace(plan, resume=True))
    assert outcome.resumed_after == 1
    drawn = plan.dataset.drawn_boxes
    assert drawn is not None
    stored = {"boxes": 2, "boxed_images": 2, "boxes_sha256": drawn.boxes_sha256}
    assert outcome.recipe == longer.to_dict() | stored
    assert stored.items() <= load_checkpoint(plan.checkpoint).info.recipe.items()


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
