"""Which options do several commands share, and how do they become one object?

The recipe's options are made from its fields: a value that training stores and that nobody can
set would be a value that nobody can compare.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.terminal import progress_bar

if TYPE_CHECKING:
    from trainer.dataset import Dataset
    from trainer.finding import Reading
    from trainer.recipe import Recipe

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FORMAT = click.option("--format", "as_format", type=click.Choice(["table", "json"]), default="table", show_default=True)
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
)

recipe_options = Composed(
    click.option(
        "--weights",
        default="imagenet",
        show_default=True,
        metavar="imagenet|none|FILE",
        help="What the network starts from. FILE: a state_dict. none: random, and nothing is frozen.",
    ),
    click.option("--epochs", type=int, help="Rounds through the training images.  [default: 10]"),
    click.option("--batch-size", type=int, help="Images per step.  [default: 32]"),
    click.option("--size", "image_size", type=int, help="Edge of what the network sees, in pixels.  [default: 224]"),
    click.option("--seed", type=int, help="Seed of everything that is drawn.  [default: 0]"),
    click.option("--learning-rate", type=float, help="Adam's, at the start.  [default: 0.01; 0.001 with none frozen]"),
    click.option("--schedule", type=click.Choice(["cosine", "constant"]), help="[default: cosine]"),
    click.option("--weight-decay", type=float, help="[default: 0]"),
    click.option(
        "--freeze-backbone/--no-freeze-backbone", default=None, help="[default: frozen, unless --weights none]"
    ),
    click.option("--class-weighting", type=click.Choice(["inverse", "none"]), help="Of the loss.  [default: inverse]"),
    click.option("--rotation-degrees", type=float, help="[default: 10]"),
    click.option("--flip-probability", type=float, help="[default: 0.5]"),
    click.option("--crop-scale-min", type=float, help="Smallest share of the area that a crop keeps.  [default: 0.9]"),
    click.option("--crop-ratio-max", type=float, help="[default: 1.05]"),
    click.option("--jitter-brightness", type=float, help="[default: 0.1]"),
    click.option("--jitter-contrast", type=float, help="[default: 0.1]"),
    click.option("--jitter-saturation", type=float, help="[default: 0.1]"),
    click.option("--jitter-hue", type=float, help="[default: 0.02]"),
    click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="[default: float32]"),
    click.option("--num-workers", type=int, help="Processes that read and augment.  [default: 4]"),
)


def chosen_dataset(options: dict[str, Any], *, needed: tuple[str, ...] = ("train", "test")) -> "Dataset":
    """The data set that the dataset options mean, every image opened once. Takes its own keys out of `options`."""
    from trainer.finding import Reading
    from trainer.labels import LabelsFile

    folder, labels = options.pop("folder"), options.pop("labels")
    columns = {name: options.pop(name) for name in ("path_column", "label_column", "positive_if")}
    if labels is None and any(columns.values()):
        raise click.UsageError("--path-column, --label-column and --positive-if go with --labels.")
    reading = Reading(
        positive=options.pop("positive"),
        labels=None if labels is None else LabelsFile(path=labels, **columns),
        test_share=options.pop("test_share"),
        seed=options.pop("split_seed"),
        needed=needed,
    )
    return opened(folder, reading)


def opened(folder: Path, reading: "Reading") -> "Dataset":
    """The data set in `folder`, read with a progress bar."""
    from trainer.opening import open_dataset

    with progress_bar() as progress:
        task = progress.add_task("Opening every image", total=None)
        return open_dataset(folder, reading, lambda done, of: progress.update(task, completed=done, total=of))


def chosen_recipe(options: dict[str, Any]) -> "Recipe":
    """The report's recipe with the values that were given. Takes every remaining key of `options`."""
    from trainer.recipe import report_recipe

    given = {name: value for name, value in options.items() if value is not None}
    return report_recipe(**given)
