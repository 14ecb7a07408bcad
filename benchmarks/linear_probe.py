"""How close does the report's recipe come to a linear probe on the same frozen features?

    python benchmarks/linear_probe.py DIR --weights FILE [--model CHECKPOINT]
    python benchmarks/linear_probe.py DIR --labels FILE --positive-if '>=0.5' --weights FILE

The probe is scikit-learn's logistic regression with balanced classes, fitted to convergence on the features of
the uncropped training images; its strength of regularisation is chosen by cross-validation on them alone. With
--model the checkpoint is judged on the same test images, by the code that the workers run.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from torch import nn
from tqdm import tqdm

from trainer.dataset import Dataset, Sample
from trainer.evaluation import Judging, evaluate
from trainer.finding import Reading
from trainer.labels import LabelsFile
from trainer.metrics import Metrics, classification_table, compute_metrics
from trainer.opening import open_dataset
from vision.decode import read_image
from vision.network import build_network, load_weights
from vision.preprocessing import Preprocessing
from vision.torch_runtime import choose_device

FloatArray = NDArray[np.float32]

BATCH = 32


def main() -> None:
    options = parse()
    labels = None
    if options.labels is not None:
        labels = LabelsFile(path=options.labels, positive_if=options.positive_if)
    dataset = open_dataset(options.folder, Reading(labels=labels, seed=options.seed))
    print(f"linear probe, {options.image_size} pixels\n{classification_table(probe(dataset, options))}")
    if options.model is not None:
        judged = evaluate(options.model, None, dataset, Judging())
        print(f"{options.model}\n{classification_table(judged.metrics)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--positive-if")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def probe(dataset: Dataset, options: argparse.Namespace) -> Metrics:
    """The probe's metrics on the test images."""
    train, test = dataset.part("train"), dataset.part("test")
    learned = LogisticRegressionCV(
        Cs=np.logspace(-3, 1, 9), cv=4, class_weight="balanced", max_iter=10_000, use_legacy_attributes=False
    )
    learned.fit(features(dataset, train, options), truth(train))
    chances = learned.predict_proba(features(dataset, test, options))[:, 1]
    return compute_metrics(
        truth(test).tolist(), (chances >= 0.5).tolist(), chances.tolist(), class_names=dataset.class_names
    )


def truth(samples: tuple[Sample, ...]) -> NDArray[np.bool_]:
    return np.array([sample.is_defective for sample in samples])


def features(dataset: Dataset, samples: tuple[Sample, ...], options: argparse.Namespace) -> FloatArray:
    """What the frozen backbone says of each image, shape (n, 512)."""
    device = choose_device("auto")
    network = build_network(pretrained_state=load_weights(options.weights).state)
    network.fc = nn.Identity()
    network.eval().to(device=device, memory_format=torch.channels_last)
    preprocessing = Preprocessing(size=options.image_size)
    paths = [dataset.root / sample.path for sample in samples]
    parts: list[FloatArray] = []
    with torch.inference_mode(), tqdm(total=len(paths), unit="image") as bar:
        for start in range(0, len(paths), BATCH):
            squares = np.stack([square(path, preprocessing) for path in paths[start : start + BATCH]])
            pixels = preprocessing.normalise(torch.from_numpy(squares).to(device))
            parts.append(network(pixels.contiguous(memory_format=torch.channels_last)).cpu().numpy())
            bar.update(len(squares))
    return np.concatenate(parts)


def square(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    seen = read_image(path, edge=preprocessing.edge)
    return preprocessing.apply(seen.image, (seen.width, seen.height))


if __name__ == "__main__":
    main()
