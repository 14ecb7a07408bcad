"""How good do the recipes get on real photographs, and how long do they take?

    python -m benchmarks.accuracy OUT --weights FILE --set casting DIR \\
        --set elpv "DIR --labels FILE --positive-if >=0.5"

Every data set, seed and recipe is one `inspectq train` with the same words, but for where the images lie. A set
without a split of its own is split by the seed. OUT keeps the models and their evaluations, and a run that is there
already is not made again: interrupt it and go on later. Recipes call at 0.5 different things defective; which one finds
more is told at the same false alarms. With --flips every fine-tuned model is also asked about mirror
images, as `inspectq train --tta` would have it asked: what they bring, and what they cost.
"""

import argparse
import json
import shlex
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sklearn.metrics import roc_curve
from sqlalchemy import select

from benchmarks.homes import Home
from benchmarks.machine import described
from console.options import chosen_dataset, dataset_options
from db.engine import reading
from db.models import EvaluationScore
from trainer.dataset import Dataset
from trainer.evaluation import Judging, judge
from vision.flips import MIRRORED
from vision.saved_network import load_checkpoint
from vision.torch_runtime import TorchRuntime

RECIPES = ("report", "finetune")
FALSE_ALARMS = 0.05  # of the good test images


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
    asked = [run for run in runs if run.recipe == "finetune"] if options.flips else []
    for run in asked:
        made = flips_file(home, run)
        if not made.exists():
            print(f"{run.model} and mirror images …", flush=True)
            made.write_text(json.dumps(list(flips(home, run, sets[run.data])), indent=2))
    print(f"{described()}\n")
    print("\n".join(table(home, runs)))
    if asked:
        print("\n" + "\n".join(flips_table(home, asked)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--set", nargs=2, action="append", required=True, metavar=("NAME", "WORDS"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--flips", action="store_true", help="also ask about mirror images")
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
        "digest": shown["digest"],
        "recipe": shown["recipe"],
        "best_epoch": shown["best_epoch"],
    }


def flips_file(home: Home, run: Run) -> Path:
    return home.folder.parent / f"{run.model}.flips.json"


def flips(home: Home, run: Run, words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """For each way of asking: the figures on the test images, and milliseconds an image."""
    dataset: Dataset = _opened.main([*words, "--split-seed", str(run.seed)], standalone_mode=False)
    digest = json.loads((home.folder.parent / f"{run.model}.json").read_text())["digest"]
    model = load_checkpoint(home.models / f"{digest}.safetensors", digest)
    for way in MIRRORED:
        info = replace(model.info, preprocessing=replace(model.info.preprocessing, flips=way))
        outcome = judge(TorchRuntime(replace(model, info=info)), digest, dataset, Judging())
        metrics = outcome.metrics
        yield {
            "flips": way,
            "accuracy": metrics.accuracy,
            "auroc": metrics.auroc,
            "recall": metrics.per_class[0].recall,
            "false_alarm_rate": metrics.false_alarm_rate,
            "milliseconds": 1000 * outcome.seconds / metrics.samples,
        }


@click.command()
@dataset_options
def _opened(**options: Any) -> Dataset:
    return chosen_dataset(options)


def flips_table(home: Home, runs: Sequence[Run]) -> Iterator[str]:
    """Markdown: means over the seeds."""
    columns = ("accuracy", "auroc", "recall", "false_alarm_rate", "milliseconds")
    yield "| set | mirror images | accuracy | AUROC | recall | false alarms | ms an image |"
    yield f"|{' --- |' * (len(columns) + 2)}"
    for data in dict.fromkeys(run.data for run in runs):
        told = [json.loads(flips_file(home, run).read_text()) for run in runs if run.data == data]
        for ways in zip(*told, strict=True):
            *rates, milliseconds = (statistics.mean(way[column] for way in ways) for column in columns)
            shown = " | ".join(f"{rate:.4f}" for rate in rates)
            yield f"| {data} | {ways[0]['flips']} | {shown} | {milliseconds:.0f} |"


def table(home: Home, runs: Sequence[Run]) -> Iterator[str]:
    """Markdown: a row for each run, and the mean over the seeds behind them."""
    same = f"recall at {FALSE_ALARMS:.0%} false alarms"
    titles = ["set", "recipe", "seed", "accuracy", "AUROC", same, "recall at 0.5", "false alarms at 0.5"]
    titles += ["confusion matrix", "training"]
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for data, recipe in dict.fromkeys((run.data, run.recipe) for run in runs):
        rows = []
        for run in runs:
            if (run.data, run.recipe) == (data, recipe):
                told = json.loads((home.folder.parent / f"{run.model}.json").read_text())
                figures = [told["accuracy"], told["auroc"], recall_at(home, told), 1 - told["miss_rate"]]
                rows.append([*figures, told["false_alarm_rate"], told["seconds"]])
                yield _row(data, recipe, str(run.seed), rows[-1], str(told["confusion_matrix"]))
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        yield _row(data, recipe, "**mean**", means, "")


def recall_at(home: Home, told: dict[str, Any]) -> float:
    """Share of the defective test images above the limit that FALSE_ALARMS of the good ones lie above, at the most."""
    asked = select(EvaluationScore.actual, EvaluationScore.score).where(
        EvaluationScore.evaluation_id == int(told["evaluation"].removeprefix("e")), EvaluationScore.score.is_not(None)
    )
    with reading(home.engine) as session:
        actual, scores = zip(*session.execute(asked), strict=True)
    defective = [label == told["class_names"][0] for label in actual]
    alarms, found, _ = roc_curve(defective, scores, drop_intermediate=False)
    return float(max(found[alarms <= FALSE_ALARMS]))


def _row(data: str, recipe: str, seed: str, figures: Sequence[float], matrix: str) -> str:
    *rates, seconds = figures
    shown = " | ".join(f"{rate:.4f}" for rate in rates)
    return f"| {data} | {recipe} | {seed} | {shown} | {matrix} | {seconds / 60:.1f} min |"


if __name__ == "__main__":
    main()
