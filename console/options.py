"""Which options do several commands share, and how do they become one object?

The recipe's options are made from its fields: a value that training stores and that nobody can
set would be a value that nobody can compare.
"""

from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from console.terminal import progress_bar
from db.settings import settings
from trainer.recipe import FINETUNE_EPOCHS, FINETUNE_STEPS, FINETUNE_VIEWS, Recipe, finetune_recipe, report_recipe

if TYPE_CHECKING:
    from trainer.dataset import Dataset
    from trainer.finding import Reading

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FORMAT = click.option("--format", "as_format", type=click.Choice(["table", "json"]), default="table", show_default=True)
LARGEST_ID = 2**63 - 1  # what a database can number
DEVICE = click.option("--device", default=None, help="auto, cpu, cuda or cuda:N.  [default: INSPECTQ_DEVICE, or auto]")


class Composed:
    """Several click decorators as one."""

    def __init__(self, *decorators: Decorator) -> None:
        self._decorators = decorators

    def __call__(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """The command with all the options, in the order in which they are listed."""
        for decorate in reversed(self._decorators):
            command = decorate(command)
        return command


dataset_options = Composed(
    click.argument("folder", metavar="DIR", type=click.Path(path_type=Path)),
    click.option("--positive", help="The defective class, where its name does not say so."),
    click.option("--labels", type=click.Path(path_type=Path), help="A table of paths and labels, for images in DIR."),
    click.option("--path-column", help="Column of the path in the labels file: its name, or its number from 1."),
    click.option("--label-column", help="Column of the label: its name, or its number from 1."),
    click.option("--positive-if", metavar="COND", help="Numeric labels that mean defective, such as '>=0.5'."),
    click.option("--test-share", default=0.25, show_default=True, help="For the test, where DIR has no test/."),
    click.option("--split-seed", default=0, show_default=True, help="Seed of that split."),
    click.option(
        "--group",
        metavar="RULE",
        help="Images that no split parts: folder, column:NAME (of the labels file), 'name:REGEX' (its first brackets), "
        "or block:N (N in a row).",
    ),
    click.option(
        "--part-twins",
        is_flag=True,
        help="Draw the split as if twins were strangers, as published figures do: it leaks, and says so.",
    ),
)

# What a person should know about a value of the recipe beside its name, type and default.
_ABOUT = {
    "train_from": "The first part of the network that learns; the parts before it are frozen. stem, and always so with "
    "--weights none: the whole network.",
    "image_size": "Edge of what the network sees, in pixels.",
    "tile": "Look at overlapping tiles of this edge, in pixels of the image; the worst decides. 0: at the whole image.",
    "tile_overlap": "Share of a tile's edge that its neighbour has in common with it, at least.",
    "tta": "Also look at each image mirrored left to right, or in all four ways, and average: scans take twice or four "
    "times as long.",
    "epochs": "Rounds through the training images, beside --head-epochs.",
    "batch_size": "Images per step.",
    "learning_rate": "Of Adam, for the head, at its highest; 0.001 from random numbers, and where report trains more "
    "than the head.",
    "depth_decay": "Factor of the learning rate from each part of the network to the one before it.",
    "head_epochs": "Rounds before those, in which the head alone learns.",
    "head_learning_rate": "In those.",
    "weight_decay": "Of matrices and kernels, in each step times the learning rate.",
    "label_smoothing": "Share of each label that is given to both classes.",
    "label_momentum": "Share of each label that stays each time its image is learned from; the rest becomes what the "
    "network says of it, until neither class is likelier. 1: labels stay what they are; they should be beyond doubt.",
    "mixup": "Mix images in pairs, by shares drawn from Beta(x, x). 0: do not.",
    "averaging": "Share of the running mean of the weights that stays with each step; the mean is kept. 0: none.",
    "patience": "Rounds in a row that are clearly worse on the validation images than an earlier one and end the "
    "training. 0: none do. Where there are validation images the last round that is not is kept.",
    "warmup_share": "Share of the steps in which the learning rate rises.",
    "schedule": "How the learning rate falls.",
    "class_weighting": "Of the loss: by the inverse of a class's frequency, or none.",
    "views": "Augmented views of each image, computed once, on which the epochs take turns. 0: a new one in every "
    "epoch, which takes longer, and always so where nothing is frozen.",
    "rotation_degrees": "Turned by up to this, either way.",
    "flip_probability": "Mirrored left to right.",
    "vertical_flip_probability": "Mirrored top to bottom.",
    "quarter_turn_probability": "Turned by 90 degrees.",
    "framing": "crop: what turning and cropping leave. whole: all of the picture, smaller.",
    "crop_scale_min": "Smallest share of the area that a crop keeps; framed whole, of the square that the picture "
    "fills.",
    "crop_ratio_max": "Longest shape of a crop.",
    "validation_share": "Share of the training images that the network does not learn from: limits are read off their "
    "scores (inspectq threshold propose).",
    "seed": "Of everything that is drawn.",
    "num_workers": "Processes that read and augment. Where the CPU has no more cores than that: one per core, which "
    "compute the frozen layers, too.",
    "precision": "Of the network, but for the head, while training.",
}


# Their defaults, as far as they do not follow from the data set.
_RECIPES = {"finetune": finetune_recipe(images=FINETUNE_STEPS), "report": report_recipe()}


def _recipe_option(field: Field[Any]) -> Decorator:
    spelled = "--" + field.name.replace("_", "-")
    about = f"{_ABOUT.get(field.name, '')}  [default: {_default(field.name)}]".strip()
    if field.type is bool:
        return click.option(f"{spelled}/--no-{spelled[2:]}", field.name, default=None, help=about)
    kind: Any = field.type
    if get_args(kind):
        kind = click.Choice(get_args(kind))
    return click.option(spelled, field.name, type=kind, help=about)


def _default(name: str) -> str:
    values = {recipe: getattr(values, name) for recipe, values in _RECIPES.items()}
    if name == "epochs":
        least, most = FINETUNE_EPOCHS
        values["finetune"] = f"{least} to {most}, about {FINETUNE_STEPS} steps"
    if name == "views":
        values["finetune"] = f"{FINETUNE_VIEWS}, 0 for fewer than {2 * FINETUNE_VIEWS} epochs"
    if len(set(values.values())) == 1:
        return str(values["report"])
    return "; ".join(f"{recipe}: {value}" for recipe, value in values.items())


recipe_options = Composed(
    click.option(
        "--recipe",
        "name",
        type=click.Choice(tuple(_RECIPES)),
        default="finetune",
        show_default=True,
        help="Named values. finetune: the last stages learn, too. report: the head alone, as in the report.",
    ),
    click.option(
        "--weights",
        default="imagenet",
        show_default=True,
        metavar="imagenet|none|FILE",
        help="What the network starts from. FILE: a state_dict. none: random numbers.",
    ),
    *(_recipe_option(field) for field in fields(Recipe) if field.name not in ("name", "weights")),
)


def chosen_dataset(options: dict[str, Any], *, needed: tuple[str, ...] = ("train", "test")) -> "Dataset":
    """The data set that the dataset options mean, every image opened once. Takes its own keys out of `options`."""
    from trainer.finding import Reading
    from trainer.grouping import GroupRule
    from trainer.labels import LabelsFile
    from vision.decode import Limits

    folder, labels, group = options.pop("folder"), options.pop("labels"), options.pop("group")
    columns = {name: options.pop(name) for name in ("path_column", "label_column", "positive_if")}
    if labels is None and any(columns.values()):
        raise click.UsageError("--path-column, --label-column and --positive-if go with --labels.")
    reading = Reading(
        positive=options.pop("positive"),
        labels=None if labels is None else LabelsFile(path=labels, **columns),
        test_share=options.pop("test_share"),
        seed=options.pop("split_seed"),
        group=None if group is None else GroupRule.parse(group),
        part_twins=options.pop("part_twins"),
        needed=needed,
        limits=Limits(max_pixels=settings().max_pixels, max_bytes=settings().max_bytes),
        boxes=options.pop("boxes", None),
    )
    return opened(folder, reading)


def opened(folder: Path, reading: "Reading") -> "Dataset":
    """The data set in `folder`, read with a progress bar."""
    from trainer.opening import open_dataset

    with progress_bar() as progress:
        task = progress.add_task("Opening every image", total=None)
        return open_dataset(folder, reading, lambda done, of: progress.update(task, completed=done, total=of))


def chosen_recipe(options: dict[str, Any], *, images: int) -> Recipe:
    """The named recipe for so many training images, with the values that were given: every key of `options`."""
    given = {name: value for name, value in options.items() if value is not None}
    if given["name"] == "report":
        return report_recipe(**given)
    return finetune_recipe(images=images, **given)
