"""What is wrong with this data set, to look at before training: twins, doubtful labels, unreadable files?"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from console.report import page
from console.report.thumbnails import exhibit, explanation
from console.report.wording import said_of_twins
from db.paths import to_text
from trainer.dataset import LEARNED_FROM, Dataset, Sample

if TYPE_CHECKING:  # its module loads torch, which a report does without
    from trainer.label_errors import Doubt

MOST_PAIRS = 60  # two pictures each
MOST_PAIRS_OF_ONE = 4  # of a cluster of twins: the next cluster has more to tell
MOST_DOUBTS = 60
MOST_UNREADABLE = 200


def write_dataset_report(dataset: Dataset, doubts: "Sequence[Doubt] | None", out: Path) -> None:
    """Write the page to `out`, one self-contained HTML file; `doubts` None: nobody looked for label errors.

    Raises Refused where `out` cannot be written.
    """
    page.write(dataset_page(dataset, doubts, made_at=datetime.now(UTC)), out)


def dataset_page(dataset: Dataset, doubts: "Sequence[Doubt] | None", *, made_at: datetime) -> str:
    """The page as text."""
    clusters = _clusters(dataset)
    root = to_text(str(dataset.root))
    pairs = _pairs(dataset, clusters)
    counts = {(row.split, row.label): row.count for row in dataset.counts()}
    return page.render(
        "dataset.html.j2",
        made_at,
        {
            "root": root,
            "dataset": dataset,
            "counts": counts,
            "images": len(dataset.samples),
            "clusters": len(clusters),
            "in_clusters": sum(len(members) for members in clusters),
            "largest": len(clusters[0]) if clusters else 0,
            "leaking": len(_known(dataset)),
            "test_images": len(dataset.part("test")),
            "pairs": [
                {
                    "left": exhibit(root, to_text(one.path), one.sha256, None),
                    "right": exhibit(root, to_text(other.path), other.sha256, None),
                    "says": says,
                }
                for one, other, says in pairs[:MOST_PAIRS]
            ],
            "pairs_capped": any(len(members) - 1 > MOST_PAIRS_OF_ONE for members in clusters)
            or len(pairs) > MOST_PAIRS,
            "looked_for_doubts": doubts is not None,
            "doubts": [
                {
                    "shot": exhibit(root, to_text(doubt.path), doubt.sha256, 1 - doubt.agreement),
                    "label": doubt.label,
                }
                for doubt in (doubts or ())[:MOST_DOUBTS]
            ],
            "all_doubts": len(doubts or ()),
            "unreadable": [
                {
                    "path": to_text(skip.path),
                    "label": skip.label,
                    "reason": skip.reason,
                    "why": explanation(skip.reason),
                }
                for skip in dataset.skipped[:MOST_UNREADABLE]
            ],
        },
    )


def _clusters(dataset: Dataset) -> list[list[Sample]]:
    """Images that are twins of each other, over others if need be; the largest cluster first. Groups do not count."""
    joined: dict[str, list[Sample]] = {sample.path: [sample] for sample in dataset.samples}
    by_bytes: dict[str, list[str]] = defaultdict(list)
    for sample in dataset.samples:
        by_bytes[sample.sha256].append(sample.path)
    links = [pair for paths in by_bytes.values() for pair in pairwise(paths)]
    for one, other in [*links, *((twin.first, twin.second) for twin in dataset.near_twins)]:
        kept, taken = sorted((joined[one], joined[other]), key=len, reverse=True)
        if kept is not taken:
            kept += taken
            joined.update((sample.path, kept) for sample in taken)
    found = {id(members): members for members in joined.values() if len(members) > 1}
    return sorted(found.values(), key=lambda members: (-len(members), min(sample.path for sample in members)))


def _pairs(dataset: Dataset, clusters: Sequence[Sequence[Sample]]) -> list[tuple[Sample, Sample, str]]:
    """(one, other, what they have in common), some of each cluster; those across the split first."""
    similarity = {(twin.first, twin.second): twin.similarity for twin in dataset.near_twins}
    partners: dict[str, list[str]] = defaultdict(list)
    for one, other in similarity:
        partners[one].append(other)
    told: list[tuple[bool, Sample, Sample, str]] = []
    for members in clusters:
        by_path = {sample.path: sample for sample in members}
        pairs = [(one, by_path[path]) for one in members for path in partners[one.path]]
        ordered = sorted(members, key=_digest)
        pairs += [(one, other) for one, other in pairwise(ordered) if _digest(one) == _digest(other)]
        marked = [(_known_side(one) != _known_side(other), one, other) for one, other in pairs]
        marked.sort(key=lambda pair: (not pair[0], pair[1].path, pair[2].path))
        for across, left, right in marked[:MOST_PAIRS_OF_ONE]:
            alike = similarity.get((left.path, right.path))
            says = said_of_twins("same bytes" if alike is None else "near twin", alike)
            labels = "" if left.label == right.label else ", and two labels"
            told.append((across, left, right, says + (", across the split" if across else "") + labels))
    told.sort(key=lambda pair: not pair[0])
    return [(one, other, says) for _, one, other, says in told]


def _digest(sample: Sample) -> str:
    return sample.sha256


def _known_side(sample: Sample) -> bool:
    return sample.split in LEARNED_FROM


def _known(dataset: Dataset) -> set[str]:
    """The test images with a twin in training."""
    return dataset.near_twins_in_training() | {path for twin in dataset.twins() for path in twin.test_paths}
