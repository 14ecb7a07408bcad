"""Can every value that training stores be set, and does what is set arrive?"""

from dataclasses import fields
from pathlib import Path

import click
import pytest

from console.commands.make import train
from console.options import chosen_dataset, chosen_recipe
from trainer.recipe import Recipe


def given(*words: str) -> dict[str, object]:
    """The options of `inspectq train DIR` with these words, as its function gets them."""
    context = train.make_context("train", ["DIR", *words])
    return {field.name: context.params[field.name] for field in fields(Recipe) if field.name in context.params}


def test_every_value_of_the_recipe_is_an_option() -> None:
    names = {parameter.name for parameter in train.params}
    assert {field.name for field in fields(Recipe)} - {"name"} <= names


def test_without_options_the_recipe_is_the_reports() -> None:
    recipe = chosen_recipe(given())
    assert (recipe.epochs, recipe.batch_size, recipe.image_size, recipe.num_workers) == (10, 32, 224, 4)
    assert (recipe.weights, recipe.train_from, recipe.class_weighting) == ("imagenet", "head", "inverse")


def test_from_random_weights_nothing_is_frozen() -> None:
    assert chosen_recipe(given("--weights", "none")).train_from == "stem"


def test_what_is_set_arrives_with_its_type() -> None:
    recipe = chosen_recipe(
        given("--image-size", "96", "--jitter-hue", "0.3", "--train-from", "stem", "--schedule", "constant")
    )
    assert (recipe.image_size, recipe.jitter_hue, recipe.train_from) == (96, 0.3, "stem")
    assert recipe.schedule == "constant"


def test_help_names_every_default() -> None:
    shown = {parameter.name: parameter.help or "" for parameter in train.params if isinstance(parameter, click.Option)}
    for field in fields(Recipe):
        if field.name not in ("name", "weights"):
            assert f"[default: {field.default}]" in shown[field.name]


def test_columns_without_a_labels_file_are_refused() -> None:
    context = train.make_context("train", ["DIR", "--positive-if", ">=0.5"])
    with pytest.raises(click.UsageError, match="--labels"):
        chosen_dataset({**context.params, "folder": Path("DIR")})
