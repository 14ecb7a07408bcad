"""How much faster than a plain PyTorch script is our training, and is its model as good?

    python benchmarks/training.py [DIR] --weights FILE [--epochs N] [--images N] [--views 2 4] [--repeat N]

(a) The plain script, as a good user would write it: a Dataset that opens files with Pillow, torchvision's transforms
with the recipe's values, a DataLoader with two workers, a frozen ResNet18 in evaluation mode with a new head, Adam.
(b) Our exact recipe, `--views 0`. (c) Our recipe with kept views. Without DIR photographs are drawn; without weights
the network is random, and only the seconds mean anything.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.models import resnet18
from torchvision.transforms import v2

from trainer.dataset import Dataset, Sample
from trainer.evaluation import Judging, evaluate
from trainer.fit import class_weights
from trainer.metrics import Metrics, compute_metrics
from trainer.opening import open_dataset
from trainer.recipe import Recipe, report_recipe
from trainer.training import TrainingPlan, train
from vision.checkpoint import POSITIVE_INDEX
from vision.network import build_network, load_weights
from vision.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from vision.samples import draw_sample_set
from vision.torch_runtime import choose_device

PLAIN = "(a) plain PyTorch"
PLAIN_WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, and how its model does on the test images."""

    seconds: float  # of the training alone: neither opening the data set nor judging is in it
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all runs share."""

    dataset: Dataset
    recipe: Recipe  # the exact one
    device: str
    folder: Path  # for files that may go


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench = prepared(options, folder)
        ways: dict[str, Callable[[], Run]] = {
            PLAIN: lambda: plain_run(bench),
            "(b) ours, exact": lambda: our_run(bench, 0),
        }
        for views in options.views:
            ways[f"(c) ours, {views} views"] = lambda views=views: our_run(bench, views)  # type: ignore[misc]
        runs: dict[str, list[Run]] = defaultdict(list)
        for _ in range(options.repeat):  # interleaved: a busy minute of the machine falls on everybody
            for name, way in ways.items():
                runs[name].append(way())
                print(f"  {name}: {runs[name][-1].seconds:.1f} s", flush=True)
        report(bench, runs)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="labelled images; without: drawn ones")
    parser.add_argument("--weights", default="none", metavar="FILE|none")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, help="at most so many training images, of both classes alike")
    parser.add_argument("--views", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=4, help="of ours; the plain script has two")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of both")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=1)
    return parser.parse_args()


def prepared(options: argparse.Namespace, folder: Path) -> Bench:
    images = options.folder
    if images is None:
        images = folder / "drawn"
        draw_sample_set(images, images=400 if options.images is None else max(8, options.images * 4 // 3))
    dataset = open_dataset(images)
    weights = options.weights
    if weights == "none":  # a frozen backbone needs a file, be it of random numbers
        weights = str(folder / "random.pth")
        torch.manual_seed(options.seed)
        torch.save(build_network(pretrained_state=None).state_dict(), weights)
    recipe = report_recipe(
        weights=weights,
        epochs=options.epochs,
        image_size=options.image_size,
        num_workers=options.workers,
        precision=options.precision,
        seed=options.seed,
        views=0,
    )
    if options.images is not None:
        dataset = replace(dataset, samples=(*fewer(dataset, options.images), *dataset.part("test")))
    return Bench(dataset=dataset, recipe=recipe, device=choose_device(options.device), folder=folder)


def fewer(dataset: Dataset, images: int) -> list[Sample]:
    """So many training images at equal steps through the sorted ones, so that classes keep their shares."""
    samples = sorted(dataset.part("train"), key=lambda sample: (sample.is_defective, sample.path))
    step = max(1.0, len(samples) / images)
    return [samples[int(number * step)] for number in range(min(images, len(samples)))]


def our_run(bench: Bench, views: int) -> Run:
    plan = TrainingPlan(
        dataset=bench.dataset,
        recipe=replace(bench.recipe, views=views),
        checkpoint=bench.folder / "model.safetensors",
        state_folder=bench.folder / "state",
        device=bench.device,
    )
    started = time.perf_counter()
    outcome = train(plan)
    seconds = time.perf_counter() - started
    judged = evaluate(outcome.checkpoint, outcome.digest, bench.dataset, Judging(device=bench.device))
    return Run(seconds=seconds, metrics=judged.metrics)


class PlainImages(TorchDataset[tuple[Tensor, int]]):
    """As torchvision's ImageFolder: a picture through its transform, and its class."""

    def __init__(self, dataset: Dataset, split: str, transform: v2.Transform) -> None:
        self._root = dataset.root
        self._samples = dataset.part(split)
        self._transform = transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        sample = self._samples[index]
        picture = Image.open(self._root / sample.path).convert("RGB")
        return self._transform(picture), POSITIVE_INDEX if sample.is_defective else 1 - POSITIVE_INDEX


def plain_run(bench: Bench) -> Run:
    recipe, device = bench.recipe, torch.device(bench.device)
    torch.manual_seed(recipe.seed)
    started = time.perf_counter()
    network = plain_network(recipe).to(device)
    criterion = nn.CrossEntropyLoss(weight=class_weights(bench.dataset, recipe).to(device))
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=recipe.learning_rate)
    loader = plain_loader(bench, "train")
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: recipe.learning_rate_at(step, len(loader)) / recipe.learning_rate,
    )
    for _ in range(recipe.epochs):
        for pixels, targets in loader:
            with plain_autocast(bench):
                logits = network(pixels.to(device, non_blocking=True))
            loss = criterion(logits.float(), targets.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return Run(seconds=seconds, metrics=plain_metrics(bench, network))


def plain_network(recipe: Recipe) -> nn.Module:
    """Frozen but for a new head; in evaluation mode, since its BatchNorm must not move."""
    network = resnet18()
    state = load_weights(recipe.weights).state or {}
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")}, strict=False)
    network.requires_grad_(False)
    network.fc = nn.Linear(network.fc.in_features, 2)
    frozen: nn.Module = network.eval()
    return frozen


def plain_loader(bench: Bench, split: str) -> DataLoader[tuple[Tensor, int]]:
    learning = split == "train"
    return DataLoader(
        PlainImages(bench.dataset, split, plain_transform(bench.recipe, learning)),
        batch_size=bench.recipe.batch_size,
        shuffle=learning,
        num_workers=PLAIN_WORKERS,
        pin_memory=bench.device != "cpu",
    )


def plain_transform(recipe: Recipe, learning: bool) -> v2.Transform:
    size = (recipe.image_size, recipe.image_size)
    drawn = [
        v2.RandomRotation(recipe.rotation_degrees, interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomHorizontalFlip(recipe.flip_probability),
        v2.RandomResizedCrop(
            size, scale=(recipe.crop_scale_min, 1.0), ratio=(1 / recipe.crop_ratio_max, recipe.crop_ratio_max)
        ),
        v2.ColorJitter(recipe.jitter_brightness, recipe.jitter_contrast, recipe.jitter_saturation, recipe.jitter_hue),
    ]
    still = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    return v2.Compose([*(drawn if learning else [v2.Resize(size)]), *still])


def plain_autocast(bench: Bench) -> torch.autocast:
    half = bench.recipe.precision == "bfloat16"
    return torch.autocast(torch.device(bench.device).type, torch.bfloat16, enabled=half)


def plain_metrics(bench: Bench, network: nn.Module) -> Metrics:
    truth: list[bool] = []
    scores: list[float] = []
    with torch.inference_mode():
        for pixels, targets in plain_loader(bench, "test"):
            chances = torch.softmax(network(pixels.to(bench.device)).float(), dim=1)[:, POSITIVE_INDEX]
            truth += [target == POSITIVE_INDEX for target in targets.tolist()]
            scores += chances.tolist()
    return compute_metrics(truth, [score >= 0.5 for score in scores], scores, class_names=bench.dataset.class_names)


def report(bench: Bench, runs: dict[str, list[Run]]) -> None:
    """The table, and how it was measured."""
    seconds = {name: statistics.median(run.seconds for run in done) for name, done in runs.items()}
    test = f"{len(bench.dataset.part('test'))} test images"
    print(f"\n{'':<20} {'seconds':>9} {'times (a)':>10} {'accuracy':>9} {'recall':>8}   ({test})")
    for name, done in runs.items():
        metrics = done[-1].metrics
        recall = metrics.per_class[0].recall
        faster = seconds[PLAIN] / seconds[name]
        print(f"{name:<20} {seconds[name]:>9.1f} {faster:>10.2f} {metrics.accuracy:>9.4f} {recall:>8.4f}")
    recipe, images = bench.recipe, len(bench.dataset.part("train"))
    print(
        f"\n{images} training images at {recipe.image_size} px, {recipe.epochs} epochs, {recipe.precision}, one after "
        f"the other, {len(runs[PLAIN])} time(s) in turns, medians; (a) with {PLAIN_WORKERS} workers, ours with "
        f"{recipe.num_workers}.\nFrom the weights' file to the trained model, without opening the data set and without "
        f"judging; {bench.device}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, torch "
        f"{torch.__version__}, torchvision {torchvision.__version__}."
    )


if __name__ == "__main__":
    main()
