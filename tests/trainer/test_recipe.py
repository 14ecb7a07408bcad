"""Is the report's recipe the report's, and is a value out of range refused by its option's name?"""

import json
from dataclasses import replace
from typing import Any

import pytest

from trainer.errors import RecipeInvalid
from trainer.recipe import FINETUNE_EPOCHS, FINETUNE_STEPS, FINETUNE_VIEWS, Recipe, finetune_recipe, report_recipe


def test_the_reports_values_are_the_defaults() -> None:
    recipe = report_recipe()
    assert (recipe.weights, recipe.train_from, recipe.class_weighting) == ("imagenet", "head", "inverse")
    assert (recipe.batch_size, recipe.epochs, recipe.num_workers) == (32, 10, 4)


@pytest.mark.parametrize("images", [1, 40, 900, 1968, 2500, 6633, 10**6])
def test_fine_tuning_takes_about_as_many_steps_whatever_the_data_set(images: int) -> None:
    recipe = finetune_recipe(images=images)
    least, most = FINETUNE_EPOCHS
    assert least <= recipe.epochs <= most
    steps = recipe.epochs * images * (1 - recipe.validation_share) / recipe.batch_size
    if least < recipe.epochs < most:
        assert FINETUNE_STEPS <= steps <= FINETUNE_STEPS * (1 + 1 / (recipe.epochs - 1))
    elif recipe.epochs == least:
        assert steps >= FINETUNE_STEPS
    else:
        assert steps * (most - 1) / most < FINETUNE_STEPS


def test_what_is_asked_for_goes_before_what_fine_tuning_would_choose() -> None:
    recipe = finetune_recipe("some.pth", images=900, epochs=3, train_from="layer4", patience=2)
    assert (recipe.epochs, recipe.train_from, recipe.patience, recipe.weights) == (3, "layer4", 2, "some.pth")


def test_without_validation_images_fine_tuning_does_not_wait_for_them() -> None:
    assert finetune_recipe(images=900, validation_share=0).patience == 0
    with pytest.raises(RecipeInvalid, match="--patience"):
        finetune_recipe(images=900, validation_share=0, patience=3)


def test_labels_that_move_go_neither_with_mixed_images_nor_with_tiles() -> None:
    with pytest.raises(RecipeInvalid, match=r"--label-momentum.*--mixup 0"):
        Recipe(label_momentum=0.9, mixup=0.2)
    with pytest.raises(RecipeInvalid, match=r"--label-momentum would forget defects"):
        Recipe(label_momentum=0.9, tile=448)


def test_fine_tuning_moves_labels_where_it_can() -> None:
    assert finetune_recipe(images=900).label_momentum < 1
    assert finetune_recipe(images=900, label_momentum=1.0).label_momentum == 1
    assert {
        finetune_recipe("none", images=900).label_momentum,
        finetune_recipe(images=900, tile=448).label_momentum,
        finetune_recipe(images=900, mixup=0.2).label_momentum,
        report_recipe().label_momentum,
    } == {1.0}


def test_fine_tuning_holds_images_out_and_keeps_its_best_epoch() -> None:
    recipe = finetune_recipe(images=900)
    assert recipe.validation_share > 0
    assert 0 < recipe.patience < recipe.epochs
    assert recipe.depth_decay < 1


def test_fine_tuning_keeps_views_where_each_is_seen_twice() -> None:
    assert finetune_recipe(images=900).views == FINETUNE_VIEWS
    assert finetune_recipe(images=9000).views == 0
    assert finetune_recipe(images=900, epochs=2 * FINETUNE_VIEWS - 1).views == 0
    assert finetune_recipe(images=9000, epochs=2 * FINETUNE_VIEWS).views == FINETUNE_VIEWS
    assert finetune_recipe(images=900, views=3).views == 3
    assert finetune_recipe(images=900, train_from="stem").views == 0
    assert finetune_recipe("none", images=900).views == 0


def test_from_random_weights_fine_tuning_trains_the_whole_network_at_once() -> None:
    recipe = finetune_recipe("none", images=900)
    assert (recipe.train_from, recipe.head_epochs, recipe.depth_decay) == ("stem", 0, 1.0)


def test_from_random_weights_nothing_is_frozen() -> None:
    assert report_recipe(weights="none").train_from == "stem"
    with pytest.raises(RecipeInvalid, match="cannot be frozen"):
        report_recipe(weights="none", train_from="head")


def test_steps_are_smaller_where_the_whole_network_learns() -> None:
    whole = report_recipe(weights="none").learning_rate
    assert report_recipe(train_from="stem").learning_rate == whole < report_recipe().learning_rate
    assert report_recipe(train_from="stem", learning_rate=0.002).learning_rate == 0.002


def test_views_are_kept_where_layers_are_frozen_and_refused_where_they_learn() -> None:
    assert report_recipe().views == 2
    assert report_recipe(weights="none").views == report_recipe(train_from="stem").views == 0
    with pytest.raises(RecipeInvalid, match=r"^--views needs frozen layers"):
        report_recipe(weights="none", views=1)


def test_a_recipe_from_before_there_were_views_drew_anew_in_every_epoch() -> None:
    former = {name: value for name, value in report_recipe().to_dict().items() if name != "views"}
    assert Recipe.from_dict(former) == report_recipe(views=0)


def test_a_recipe_from_before_stages_could_be_chosen_froze_all_or_nothing() -> None:
    former = {name: value for name, value in report_recipe().to_dict().items() if name != "train_from"}
    assert Recipe.from_dict({**former, "freeze_backbone": True}).train_from == "head"
    assert Recipe.from_dict({**former, "freeze_backbone": False, "views": 0}).train_from == "stem"


def test_a_recipe_survives_json() -> None:
    recipe = report_recipe(weights="some.pth", epochs=3, jitter_hue=0.1)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"views": -1}, "--views"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"crop_scale_min": 1.5}, "--crop-scale-min"),
        ({"schedule": "stairs"}, "--schedule"),
        ({"train_from": "layer5"}, "--train-from"),
        ({"flip_probability": -0.1}, "--flip-probability"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_options_name(change: dict[str, Any], option: str) -> None:
    with pytest.raises(RecipeInvalid, match=f"^{option} must"):
        report_recipe(**change)


def test_the_key_changes_with_whatever_changes_the_weights_and_with_nothing_else() -> None:
    recipe = report_recipe()
    assert replace(recipe, num_workers=0).key() == recipe.key()
    for change in ({"epochs": 11}, {"views": 3}, {"seed": 1}, {"precision": "bfloat16"}, {"rotation_degrees": 0}):
        assert replace(recipe, **change).key() != recipe.key()  # type: ignore[arg-type]


def test_the_learning_rate_rises_then_falls_to_almost_nothing() -> None:
    recipe = report_recipe(learning_rate=0.01, warmup_share=0.1)
    rates = [recipe.learning_rate_at(step, 10) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-5


def test_a_constant_schedule_stays_after_its_rise() -> None:
    recipe = report_recipe(learning_rate=0.01, schedule="constant", warmup_share=0)
    assert {recipe.learning_rate_at(step, 7) for step in range(70)} == {0.01}
