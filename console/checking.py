"""What does `inspectq dataset check` find in a folder, beside what opening it tells?"""

from pathlib import Path
from typing import Any

from console.terminal import progress_bar
from db import checkpoints
from db.display import shown
from db.engine import reading
from db.paths import to_text
from db.schema import open_database
from db.settings import settings
from trainer.dataset import SPLITS, Dataset
from trainer.label_errors import Doubt, doubtful_labels
from vision.network import Network, build_network, load_weights
from vision.saved_network import load_checkpoint

_MOST_TOLD = 20
_IMAGE_SIZE = 224  # pixels, what ImageNet's weights were trained on


def doubts(dataset: Dataset, weights: str | None, model: str | None) -> tuple[Doubt, ...] | None:
    """The doubtful labels by this network's features; None where none was named."""
    if weights is None and model is None:
        return None
    network, size = _network(weights, model)
    with progress_bar() as progress:
        progress.add_task("Looking for label errors", total=None)
        return doubtful_labels(dataset, network, size)


def described(dataset: Dataset, found: tuple[Doubt, ...] | None) -> str:
    """The doubtful labels as text."""
    if found is None:
        return "label errors: not looked for; give a network with --weights imagenet|FILE or --model MODEL\n"
    lines = [f"doubtful labels, by the images around them: {len(found)} of {len(dataset.samples)}"]
    lines += [f"  {shown(row.path)}: {1 - row.agreement:.3f} not {shown(row.label)}" for row in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        lines.append(f"  and {len(found) - _MOST_TOLD} more: all are in --format json, the first as pictures in --html")
    return "\n".join(lines) + "\n"


def machine_readable(dataset: Dataset, found: tuple[Doubt, ...] | None) -> dict[str, Any]:
    """The whole check for scripts. Paths as db.paths writes them."""
    counts = {(row.split, row.label): row.count for row in dataset.counts()}
    return {
        "root": to_text(str(dataset.root)),
        "layout": dataset.layout,
        "fingerprint": dataset.fingerprint,
        "positive_class": dataset.positive,
        "counts": {split: {label: counts[split, label] for label in dataset.class_names} for split in SPLITS},
        "split_seed": dataset.split_seed,
        "test_share": dataset.test_share,
        "group_rule": dataset.group_rule,
        "parted_groups": sorted(dataset.parted_groups()),
        "unreadable": [{"path": to_text(skip.path), "reason": skip.reason} for skip in dataset.skipped],
        "other_files": dataset.other_files,
        "same_bytes_across_splits": [
            {"train": [to_text(path) for path in twin.train_paths], "test": [to_text(path) for path in twin.test_paths]}
            for twin in dataset.twins()
        ],
        "near_twins": [
            {"first": to_text(pair.first), "second": to_text(pair.second), "similarity": pair.similarity}
            for pair in dataset.near_twins
        ],
        "test_images_with_a_near_twin_in_training": sorted(map(to_text, dataset.near_twins_in_training())),
        "doubtful_labels": None
        if found is None
        else [{"path": to_text(row.path), "label": row.label, "agreement": row.agreement} for row in found],
    }


def _network(weights: str | None, model: str | None) -> tuple[Network, int]:
    if model is None:
        return build_network(pretrained_state=load_weights(weights or "imagenet").state), _IMAGE_SIZE
    chosen = settings()
    with reading(open_database(chosen.effective_database_url)) as session:
        digest = checkpoints.find(session, model).digest
    loaded = load_checkpoint(Path(chosen.models_folder / f"{digest}.safetensors"), digest)
    return loaded.network, loaded.info.preprocessing.size
