"""How is a trained model kept, so that whoever loads it knows what it is and that nobody changed it?

One safetensors file: the weights, and in its metadata one JSON document with all that is needed to use them.
Its sha256 is its name in the database. The bytes depend on nothing but the content: safetensors writes several
metadata entries in random order, which is why there is only one. An exported network carries the same document.

Nothing here needs torch; the weights are vision/saved_network.py's.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vision.preprocessing import Preprocessing, PreprocessingError

ARCHITECTURE = "resnet18"
POSITIVE_INDEX = 1  # the logit of "defective"
FORMAT = 2  # of the JSON document; 1 knew no novelty; a higher number is from a newer inspectq
METADATA_KEY = "inspectq"
MAX_HEADER_BYTES = 1_000_000  # ours take some 10,000


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says what to do."""


class CheckpointMissing(CheckpointError):
    """There is no readable file at this path."""


class CheckpointAltered(CheckpointError):
    """The file is not the one whose digest was recorded."""


class CheckpointFormat(CheckpointError):
    """The file is no checkpoint that this version can read."""


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What a checkpoint says about itself."""

    format: int = FORMAT
    architecture: str = ARCHITECTURE
    class_names: tuple[str, str]  # in the order of the logits: (good, defective)
    positive_class: str  # the defective one: always class_names[1]
    preprocessing: Preprocessing
    recipe: Mapping[str, Any]  # every value that training was run with
    dataset_fingerprint: str
    code_version: str
    created: str  # ISO 8601, UTC
    novelty_radius: float | None = None  # as vision.novelty has it; None: the file holds no features of training images

    def __post_init__(self) -> None:
        if self.novelty_radius is not None and not 0 < self.novelty_radius < math.inf:
            raise CheckpointFormat(f"novelty_radius must be a positive number, not {self.novelty_radius!r}")
        if len(set(self.class_names)) != 2 or self.class_names[POSITIVE_INDEX] != self.positive_class:
            raise CheckpointFormat(
                f"class_names must be two names, the positive one second: {self.class_names!r} with positive "
                f"class {self.positive_class!r} is not."
            )

    def to_json(self) -> str:
        """One line; the same content gives the same characters."""
        fingerprint = self.preprocessing.fingerprint
        values = {
            **asdict(self),
            "preprocessing": {**self.preprocessing.to_dict(), "fingerprint": fingerprint},
            "recipe": dict(self.recipe),
        }
        if self.novelty_radius is None:  # so that what was written before there was one is written the same again
            del values["novelty_radius"]
        return json.dumps(values, sort_keys=True, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> "CheckpointInfo":
        """The reverse of `to_json`. Raises `CheckpointFormat`, naming `source`."""
        try:
            values = json.loads(text)
            return _info_from(values)
        except (CheckpointFormat, PreprocessingError) as error:
            raise CheckpointFormat(f"{source} cannot be used: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointFormat(
                f"{source} describes no checkpoint of inspectq ({type(error).__name__}: {error}). Train "
                "a new one with `inspectq train`."
            ) from error


# How a file is made anew that is not what it should be.
TRAIN = "train a model with `inspectq train`"
EXPORT = "export the model again with `inspectq models export`"


def read_verified(path: Path, expected_digest: str | None = None, *, anew: str = TRAIN) -> tuple[bytes, str]:
    """(the file's bytes, their sha256); with `expected_digest` (hex) only if the file is exactly the recorded one.

    Raises CheckpointMissing and CheckpointAltered, which say how a file like this is made `anew`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointMissing(f"There is no readable model file at {path}. Put it back, or {anew}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if expected_digest is not None and digest != expected_digest.lower():
        raise CheckpointAltered(
            f"The model file {path} has digest {digest[:12]}, but {expected_digest[:12]} is recorded: "
            f"it was altered or replaced. Put the original file back, or {anew}."
        )
    return content, digest


def info_of(content: bytes, path: Path) -> CheckpointInfo:
    """What the bytes of a checkpoint say about it; `path` is for the error's words. Raises CheckpointFormat."""
    return _info_of(_metadata_of(content), path)


def _metadata_of(content: bytes) -> dict[str, str] | None:
    """The metadata of safetensors bytes (length in 8 bytes, little-endian, then a JSON header), if any."""
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER_BYTES:
        return None
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = header.get("__metadata__")
    except (ValueError, AttributeError, RecursionError):
        return None
    return metadata if isinstance(metadata, dict) else None


def _info_of(metadata: Mapping[str, str] | None, path: Path) -> CheckpointInfo:
    document = (metadata or {}).get(METADATA_KEY)
    if document is None:
        raise CheckpointFormat(_not_a_checkpoint(path))
    return CheckpointInfo.from_json(document, source=f"The checkpoint {path}")


def _info_from(values: dict[str, Any]) -> CheckpointInfo:
    if values["format"] > FORMAT:
        raise CheckpointFormat(
            f"its format {values['format']} is newer than {FORMAT}, the newest known here. Update inspectq."
        )
    if values["architecture"] != ARCHITECTURE:
        raise CheckpointFormat(f"its architecture {values['architecture']!r} is unknown here. Update inspectq.")
    described = dict(values["preprocessing"])
    fingerprint = described.pop("fingerprint")
    preprocessing = Preprocessing.from_dict(described)
    if preprocessing.fingerprint != fingerprint:
        raise CheckpointFormat(
            f"it was trained on pixels made in another way (preprocessing {fingerprint}, here "
            f"{preprocessing.fingerprint}). Use inspectq {values['code_version']}, or train a new model."
        )
    good, defective = (str(name) for name in values["class_names"])
    return CheckpointInfo(
        format=values["format"],
        architecture=values["architecture"],
        class_names=(good, defective),
        positive_class=values["positive_class"],
        preprocessing=preprocessing,
        recipe=dict(values["recipe"]),
        dataset_fingerprint=values["dataset_fingerprint"],
        code_version=values["code_version"],
        created=values["created"],
        novelty_radius=None if values.get("novelty_radius") is None else float(values["novelty_radius"]),
    )


def _not_a_checkpoint(path: Path) -> str:
    return f"{path} is not a checkpoint of inspectq. Name a file that `inspectq train` has written."
