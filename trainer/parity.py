"""May a runtime stand in for the reference, PyTorch in fp32?

Both were asked about the same labelled images. A runtime in fp32 has to agree image by image. One of lower precision
may give other scores, and has to be as good: its accuracy within half a point, its recall of the defective class
within the bounds of the reference's own, and no image without a verdict that had one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainer.bounds import exact_bounds
from vision.runtimes import FP32_DIFFERENCE

ACCURACY_POINTS = 0.5  # percentage points by which accuracy may fall


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a runtime said about labelled images."""

    checkpoint_digest: str
    dataset_fingerprint: str
    split: str
    threshold: float  # score >= threshold is a defective verdict
    precision: str
    scores: Mapping[str, tuple[bool, float]]  # by path, where there is one: is it defective, P(defective)

    @property
    def about(self) -> tuple[str, str, str, float]:
        """What two runtimes have to have in common to be compared."""
        return (self.checkpoint_digest, self.dataset_fingerprint, self.split, self.threshold)

    @property
    def accuracy(self) -> float:
        right = sum(defective == (score >= self.threshold) for defective, score in self.scores.values())
        return right / len(self.scores)

    @property
    def recall(self) -> tuple[int, int]:
        """(defective images that were found, defective images)."""
        of_defective = [score for defective, score in self.scores.values() if defective]
        return sum(score >= self.threshold for score in of_defective), len(of_defective)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far a runtime's scores are from the reference's, and what follows from it."""

    images: int  # with a score from both
    largest_difference: float  # of an image's two scores
    mean_difference: float
    flipped: int  # images with another verdict at the threshold
    accepted: bool
    reason: str  # one sentence


def compare(reference: Answers, other: Answers) -> Parity:
    """The parity of `other` with the reference; both have answered about at least one image.

    Refused is: in fp32 any flipped verdict, and any score that differs by 1e-4 or more; in a lower precision an
    accuracy more than 0.5 points lower, and a recall below the exact lower bound of the reference's own; in either an
    image that only one of the two has a verdict on. Raises ValueError where they were not asked about the same.
    """
    if reference.about != other.about:
        raise ValueError("these answers are not about the same checkpoint, images and threshold")
    common = sorted(reference.scores.keys() & other.scores.keys())
    ours, theirs = (np.array([answers.scores[path][1] for path in common]) for answers in (reference, other))
    differences = np.abs(ours - theirs)
    largest = float(differences.max(initial=0.0))
    flipped = int(np.sum((ours >= reference.threshold) != (theirs >= reference.threshold)))
    refusals = _of_lost_verdicts(reference, other)
    refusals += _of_fp32(largest, flipped) if other.precision == "fp32" else _of_lower_precision(reference, other)
    return Parity(
        images=len(common),
        largest_difference=largest,
        mean_difference=float(differences.mean()) if common else 0.0,
        flipped=flipped,
        accepted=not refusals,
        reason=f"{'; '.join(refusals)}." if refusals else "As good as the reference on these images.",
    )


def _of_lost_verdicts(reference: Answers, other: Answers) -> list[str]:
    odd = len(reference.scores.keys() ^ other.scores.keys())
    return [f"Only one of the two has a verdict on {odd} images"] if odd else []


def _of_fp32(largest: float, flipped: int) -> list[str]:
    refusals = []
    if flipped:
        refusals.append(f"Of the verdicts {flipped} flipped; in fp32 none may")
    if largest >= FP32_DIFFERENCE:
        refusals.append(f"A score differs by {largest:.1e}; in fp32 it has to be less than {FP32_DIFFERENCE:.0e}")
    return refusals


def _of_lower_precision(reference: Answers, other: Answers) -> list[str]:
    refusals = []
    points = 100 * (reference.accuracy - other.accuracy)
    if points > ACCURACY_POINTS + 1e-9:  # 199 of 200 instead of 200 of 200 are half a point, in floating point too
        refusals.append(f"Accuracy falls by {points:.2f} points; it may by {ACCURACY_POINTS:g}")
    (found, defective), (found_here, defective_here) = reference.recall, other.recall
    bound = exact_bounds(found, defective).lcl
    if defective_here and found_here / defective_here < bound:
        refusals.append(
            f"Recall falls from {found / defective:.2%} to {found_here / defective_here:.2%}, "
            f"below the reference's lower bound of {bound:.2%}"
        )
    return refusals
