"""How good do the recipes get on real photographs, and how long do they take?

    python -m benchmarks.accuracy OUT --weights FILE --set casting DIR \\
        --set elpv "DIR --labels FILE --positive-if >=0.5"

Every data set, seed and recipe is one `inspectq train` with the same words, but for where the images lie. A set
without a split of its own is split by the seed. OUT keeps the models and their evaluations, and a run that is there
already is not made again: interrupt it and go on later.
"""

import argparse
import json
import shlex
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.homes import Home
from benchmarks.machine import described

RECIPES = ("report", "finetune")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training."""

    data: str  # the set's name
    recipe: str
    seed: int

    @property
    def model(self) -> str:
        return f"{self.data}-{self.recipe}-{self.seed}"


def main() -> None:
    options = parse()
    home = Home(folder=options.out.resolve() / "home")
    home.folder.mkdir(parents=True, exist_ok=True)
    sets = {name: shlex.split(words) for name, words in options.set}
    runs = [
        Run(data=data, recipe=recipe, seed=seed)
        for seed in options.seeds
        for data in sets
        for recipe in options.recipes
    ]
    for run in runs:
        made = home.folder.parent / f"{run.model}.json"
        if not made.exists():
            print(f"{run.model} …", flush=True)
            told = train(home, run, sets[run.data], options)
            made.write_text(json.dumps(told, indent=2))
    print(f"{described()}\n")
    print("\n".join(table(home.folder.parent, runs)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--set", nargs=2, action="append", required=True, metavar=("NAME", "WORDS"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    return parser.parse_args()


def train(home: Home, run: Run, words: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """What the command printed, and the seconds of the training alone. Raises Failed."""
    seeds = ("--seed", str(run.seed), "--split-seed", str(run.seed))
    asked = ("--recipe", run.recipe, "--weights", options.weights, *seeds, "--name", run.model, "--no-export")
    told = json.loads(home.run("train", *words, *asked, "--format", "json").output)
    shown = json.loads(home.run("models", "show", run.model, "--format", "json").output)
    began, ended = (datetime.fromisoformat(shown[name]) for name in ("trained_from", "trained_until"))
    return {
        **told,
        "seconds": (ended - began).total_seconds(),
        "recipe": shown["recipe"],
        "best_epoch": shown["best_epoch"],
    }


def table(folder: Path, runs: Sequence[Run]) -> Iterator[str]:
    """Markdown: a row for each run, and the mean over the seeds behind them."""
    titles = ("set", "recipe", "seed", "accuracy", "AUROC", "recall", "false alarms", "confusion matrix", "training")
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for data, recipe in dict.fromkeys((run.data, run.recipe) for run in runs):
        rows = []
        for run in runs:
            if (run.data, run.recipe) == (data, recipe):
                told = json.loads((folder / f"{run.model}.json").read_text())
                figures = [told["accuracy"], told["auroc"], 1 - told["miss_rate"], told["false_alarm_rate"]]
                rows.append([*figures, told["seconds"]])
                yield _row(data, recipe, str(run.seed), rows[-1], str(told["confusion_matrix"]))
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        yield _row(data, recipe, "**mean**", means, "")


def _row(data: str, recipe: str, seed: str, figures: Sequence[float], matrix: str) -> str:
    *rates, seconds = figures
    shown = " | ".join(f"{rate:.4f}" for rate in rates)
    return f"| {data} | {recipe} | {seed} | {shown} | {matrix} | {seconds / 60:.1f} min |"


if __name__ == "__main__":
    main()
