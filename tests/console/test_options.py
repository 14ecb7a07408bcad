"""Can every value that training stores be set, and does what is set arrive?"""

from dataclasses import fields
from pathlib import Path

import click
import pytest

from console.commands.make import train
from console.exits import ExitCode
from console.options import chosen_dataset, chosen_recipe
from tests.console.shell import type_here
from tests.trainer.conftest import draw_split_folders
from trainer.recipe import Recipe, finetune_recipe, report_recipe


def given(*words: str) -> dict[str, object]:
    """The options of `inspectq train DIR` with these words, as its function gets them."""
    context = train.make_context("train", ["DIR", *words])
    return {field.name: context.params[field.name] for field in fields(Recipe) if field.name in context.params}


def test_every_value_of_the_recipe_is_an_option() -> None:
    assert {field.name for field in fields(Recipe)} <= {parameter.name for parameter in train.params}


def test_without_options_the_recipe_is_fine_tuning_and_the_reports_has_its_name() -> None:
    assert chosen_recipe(given(), images=900) == finetune_recipe(images=900)
    assert chosen_recipe(given("--recipe", "report"), images=900) == report_recipe()


@pytest.mark.parametrize("recipe", ["finetune", "report"])
def test_from_random_weights_nothing_is_frozen(recipe: str) -> None:
    assert chosen_recipe(given("--recipe", recipe, "--weights", "none"), images=900).train_from == "stem"


@pytest.mark.parametrize("recipe", ["finetune", "report"])
def test_what_is_set_arrives_with_its_type(recipe: str) -> None:
    words = ("--image-size", "96", "--jitter-hue", "0.3", "--train-from", "layer4", "--schedule", "constant")
    chosen = chosen_recipe(given("--recipe", recipe, "--epochs", "3", *words), images=900)
    assert (chosen.image_size, chosen.jitter_hue, chosen.train_from) == (96, 0.3, "layer4")
    assert (chosen.schedule, chosen.epochs, chosen.name) == ("constant", 3, recipe)


def test_help_names_every_default() -> None:
    shown = {parameter.name: parameter.help or "" for parameter in train.params if isinstance(parameter, click.Option)}
    tuned, reports = finetune_recipe(images=900), report_recipe()
    for field in fields(Recipe):
        if field.name in ("name", "weights", "epochs", "views"):
            continue
        default, reported = getattr(tuned, field.name), getattr(reports, field.name)
        words = f"{default}" if default == reported else f"finetune: {default}; report: {reported}"
        assert f"[default: {words}]" in shown[field.name]
    assert "[default: finetune: 6 to 36, about 1800 steps; report: 10]" in shown["epochs"]
    assert "[default: finetune: 12, 0 for fewer than 24 epochs; report: 2]" in shown["views"]


@pytest.mark.parametrize("words", [(), ("--tile", "0")])
def test_boxes_without_tiles_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    said = type_here(capsys, "train", "DIR", "--boxes", "boxes.csv", *words)
    assert said.code == ExitCode.WRONG_USAGE
    assert said.err.endswith("Error: --boxes says where on large images defects lie: it needs --tile.\n")


def test_a_file_of_boxes_is_read_with_the_data_set(tmp_path: Path) -> None:
    draw_split_folders(tmp_path, train=2, test=1)
    (tmp_path / "boxes.csv").write_text(
        "path;x;y;width;height\ntrain/defective/part 01.png;1;2;3;4\n", encoding="utf-8"
    )
    context = train.make_context("train", [str(tmp_path), "--tile", "64", "--boxes", str(tmp_path / "boxes.csv")])
    dataset = chosen_dataset(context.params)
    assert [len(sample.boxes) for sample in dataset.part("train") if sample.is_defective] == [0, 1]


def test_columns_without_a_labels_file_are_refused() -> None:
    context = train.make_context("train", ["DIR", "--positive-if", ">=0.5"])
    with pytest.raises(click.UsageError, match="--labels"):
        chosen_dataset({**context.params, "folder": Path("DIR")})
