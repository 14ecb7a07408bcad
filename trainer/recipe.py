"""With which values is a model trained?

Every value is an option on the command line and stored with the run. Two sets of values have names.

- report: ResNet18, earlier layers frozen, rotation, flip, crop and colour jitter, cross-entropy weighted inversely to
  class frequencies, Adam, batches of 32, 10 epochs.
- finetune: from the head down the last stages learn as well, each at a lower rate than the one behind it. A validation
  part decides which epoch is kept, and calibrates the scores. Labels that the network does not believe fade. How its
  values were chosen: docs/accuracy.md.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from trainer.errors import RecipeInvalid

Schedule = Literal["cosine", "constant"]
ClassWeighting = Literal["inverse", "none"]
Precision = Literal["float32", "bfloat16", "auto"]
Framing = Literal["crop", "whole"]
Flips = Literal["none", "horizontal", "all"]  # as vision.preprocessing names them
Part = Literal["stem", "layer1", "layer2", "layer3", "layer4", "head"]  # as vision.network names them

# Adam's step for a new head on frozen features, large enough for ten epochs to come close to a linear probe
# fitted to convergence (benchmarks/linear_probe.py), and for a whole network that starts from random weights.
HEAD_LEARNING_RATE = 5e-3
WHOLE_LEARNING_RATE = 1e-3

DEFAULT_VIEWS = 2

# What does not change the weights that come out, so that a resumed run may differ in it.
_WITHOUT_EFFECT = ("num_workers",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every value of a training run; RecipeInvalid where one is out of range."""

    name: str = "report"
    weights: str = "imagenet"  # "imagenet", "none" or a file of weights
    # The first part of the network that learns; what comes before it is frozen. stem: all of it learns.
    train_from: Part = "head"
    image_size: int = 224  # pixels, the edge of the square that the network sees
    tile: int = 0  # pixels, the edge of the tiles of which an image's worst decides; 0: the image is looked at whole
    tile_overlap: float = 0.25  # share of that edge that neighbours have in common, at least
    tta: Flips = "none"  # mirror images that inspection asks about as well, and averages: twice or four times the work
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = HEAD_LEARNING_RATE  # of the head, at its highest
    depth_decay: float = 1.0  # factor of the learning rate from each part to the one before it
    # Before those epochs, so many in which the head alone learns: from a random one other layers would learn nonsense.
    head_epochs: int = 0
    head_learning_rate: float = HEAD_LEARNING_RATE  # in them
    # Share of all steps in which the learning rate rises to its value: the features are all positive, so Adam's
    # first full steps would push every logit the same way.
    warmup_share: float = 0.1
    schedule: Schedule = "cosine"  # after that it falls to zero along half a cosine, or stays
    weight_decay: float = 0.0  # of matrices and kernels, decoupled from the gradient (Loshchilov and Hutter 2019)
    label_smoothing: float = 0.0
    # Share of each label that stays each time its image is learned from; the rest becomes what the network says of it
    # (trainer/targets.py). 1: labels stay what they are.
    label_momentum: float = 1.0
    # Images are mixed in pairs by shares drawn from Beta(x, x), where more than the head learns; 0: they are not.
    mixup: float = 0.0
    averaging: float = 0.0  # share of the running mean of the weights that stays with each step; 0: no mean is taken
    # So many epochs in a row that are clearly worse on the validation images than an earlier one end the training; 0:
    # none do. Where there are validation images, the weights of the last that is not are kept, whatever this is.
    patience: int = 0
    class_weighting: ClassWeighting = "inverse"
    # Augmented views of each image on which the epochs take turns, so that the frozen layers see each of them once.
    # 0, the exact recipe: a new view in every epoch. Nothing can be kept of layers that still learn.
    views: int = DEFAULT_VIEWS
    rotation_degrees: float = 10.0  # drawn from -x to +x
    flip_probability: float = 0.5  # left to right
    vertical_flip_probability: float = 0.0  # top to bottom
    quarter_turn_probability: float = 0.0  # turned by 90 degrees
    # crop: turned in its square, then cropped, so that an edge may be lost. whole: turned and scaled so that no part of
    # the picture is lost, at the price of showing it smaller than inspection does.
    framing: Framing = "crop"
    # Share of the area that a random crop keeps; framed whole, of the square that the picture fills. Near 1: a defect
    # at the part's edge must not be cropped away from an image that is labelled defective.
    crop_scale_min: float = 0.9
    crop_ratio_max: float = 1.05  # width / height of the crop, from 1/x to x
    jitter_brightness: float = 0.1  # factor from 1 - x to 1 + x, like contrast and saturation
    jitter_contrast: float = 0.1
    jitter_saturation: float = 0.1
    jitter_hue: float = 0.02  # turns of the colour circle, from -x to +x
    # Share of each class's training images that the network does not learn from, but that limits are read off.
    validation_share: float = 0.0
    seed: int = 0
    num_workers: int = 4  # processes that read and augment (what else: trainer/batches.py); 0: this one
    # Of what is computed while training. bfloat16 is several times faster on a GPU and on a CPU with units for it; auto
    # is that there, and float32 elsewhere.
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise RecipeInvalid(f"{_option(name)} must lie between {low:g} and {high:g}, not {value:g}.")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise RecipeInvalid(
                    f"{_option(name)} must be one of {', '.join(choices)}, not {getattr(self, name)!r}."
                )
        if self.weights == "none" and self.train_from != "stem":
            raise RecipeInvalid("Random weights cannot be frozen: nothing would be learned. Use --train-from stem.")
        if 0 < self.tile < self.image_size:
            raise RecipeInvalid(f"--tile must be at least --image-size ({self.image_size} pixels), or 0.")
        if self.label_momentum < 1 and self.mixup:
            raise RecipeInvalid("--label-momentum needs images that nothing was mixed into: use --mixup 0.")
        if self.label_momentum < 1 and self.tile:
            raise RecipeInvalid(
                "--label-momentum would forget defects: of tiles that do not show it the network says so. Use 1."
            )
        if self.patience and not self.validation_share:
            raise RecipeInvalid("--patience waits for a better loss on validation images: use --validation-share.")
        if self.head_epochs and self.weights == "none":
            raise RecipeInvalid("--head-epochs needs layers that know something already, not random weights.")
        if self.views and self.train_from == "stem":
            raise RecipeInvalid("--views needs frozen layers: what the others say changes with every step. Use 0.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The recipe that a checkpoint or a row holds; what this version does not know is left out."""
        known = {field.name for field in fields(cls)}
        former: dict[str, Any] = {"views": 0}  # before there was a choice, every epoch drew anew
        if values.get("freeze_backbone") is False:
            former["train_from"] = "stem"
        return cls(**{**former, **{name: value for name, value in values.items() if name in known}})

    def key(self) -> str:
        """Names everything that changes the weights that come out; the same key, the same training."""
        values = {name: value for name, value in self.to_dict().items() if name not in _WITHOUT_EFFECT}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def rounds(self) -> int:
        """Epochs in all."""
        return self.head_epochs + self.epochs

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The head's learning rate in one step, counted from 0."""
        step -= self.head_epochs * steps_per_epoch
        if step < 0:
            return self.head_learning_rate
        steps = self.epochs * steps_per_epoch
        rising = self.warmup_share * steps
        if step < rising:
            return self.learning_rate * min(1.0, (step + 1) / rising)
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def report_recipe(weights: str = "imagenet", **changes: Any) -> Recipe:
    """The report's recipe; from random weights nothing is frozen. Where nothing is, the steps are smaller."""
    part = changes.get("train_from", "stem" if weights == "none" else "head")
    start = {
        "weights": weights,
        "train_from": part,
        "learning_rate": HEAD_LEARNING_RATE if part == "head" else WHOLE_LEARNING_RATE,
        "views": DEFAULT_VIEWS if part == "head" else 0,
    }
    return Recipe(**{**start, **changes})


# How long fine-tuning takes is a matter of steps: the images of a small data set are seen more often.
FINETUNE_STEPS = 1800
FINETUNE_EPOCHS = (6, 36)  # at least, at most
# Kept where each would be seen at least twice. In fewer epochs nothing is gained: every view is computed once anyway.
FINETUNE_VIEWS = 12


def finetune_recipe(weights: str = "imagenet", *, images: int, **changes: Any) -> Recipe:
    """The default recipe for a data set of so many training images, those held out of them included."""
    start: dict[str, Any] = {
        "name": "finetune",
        "weights": weights,
        "train_from": "layer3",
        "learning_rate": WHOLE_LEARNING_RATE,
        "depth_decay": 0.5,
        "label_smoothing": 0.1,
        "head_epochs": 1,
        "weight_decay": 0.02,
        "averaging": 0.99,
        # A score is P(defective), which a weighted loss distorts. On solar cells it ranked no better (AUROC 0.944 and
        # 0.941) and called more of them wrong at 0.5 (accuracy 0.886 and 0.898).
        "class_weighting": "none",
        "patience": 10,
        "vertical_flip_probability": 0.5,
        "framing": "whole",
        "validation_share": 0.15,
        "precision": "auto",
    }
    if weights == "none":  # there is nothing to be careful with, and no head that could learn before
        start |= {
            "train_from": "stem",
            "depth_decay": 1.0,
            "head_epochs": 0,
        }
    elif not changes.get("tile") and not changes.get("mixup"):
        # Labels err. Half-way through 36 epochs solar cells were ranked best, and then worse, as their errors were
        # learned by heart; this way they are ranked better still at the end.
        start["label_momentum"] = 0.9
    if not changes.get("validation_share", start["validation_share"]):
        start["patience"] = 0  # nothing tells when to stop
    wanted = {**start, **changes}
    batch = wanted.get("batch_size", Recipe.batch_size)
    steps_per_epoch = max(1.0, images * (1 - wanted["validation_share"]) / batch)
    least, most = FINETUNE_EPOCHS
    epochs = wanted.get("epochs", min(most, max(least, math.ceil(FINETUNE_STEPS / steps_per_epoch))))
    are_kept = wanted["train_from"] != "stem" and epochs >= 2 * FINETUNE_VIEWS
    return Recipe(**{"epochs": epochs, "views": FINETUNE_VIEWS if are_kept else 0, **wanted})


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("image_size", 32, 4096),
    ("tile", 0, 2**15),
    ("tile_overlap", 0, 0.75),
    ("views", 0, 100),
    ("epochs", 1, 100_000),
    ("batch_size", 2, 65_536),
    ("learning_rate", 1e-9, 10),
    ("depth_decay", 0.01, 1),
    ("head_epochs", 0, 100_000),
    ("head_learning_rate", 1e-9, 10),
    ("weight_decay", 0, 1),
    ("label_smoothing", 0, 0.5),
    ("label_momentum", 0, 1),
    ("mixup", 0, 10),
    ("averaging", 0, 0.9999),
    ("patience", 0, 100_000),
    ("warmup_share", 0, 0.9),
    ("rotation_degrees", 0, 180),
    ("flip_probability", 0, 1),
    ("vertical_flip_probability", 0, 1),
    ("quarter_turn_probability", 0, 1),
    ("crop_scale_min", 0.01, 1),
    ("crop_ratio_max", 1, 4),
    ("jitter_brightness", 0, 1),
    ("jitter_contrast", 0, 1),
    ("jitter_saturation", 0, 1),
    ("jitter_hue", 0, 0.5),
    ("validation_share", 0, 0.5),
    ("seed", 0, 2**63 - 1),
    ("num_workers", 0, 256),
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": get_args(Schedule),
    "class_weighting": get_args(ClassWeighting),
    "precision": get_args(Precision),
    "train_from": get_args(Part),
    "tta": get_args(Flips),
    "framing": get_args(Framing),
}
