"""How is a trained model kept, so that whoever loads it knows what it is and that nobody changed it?

One safetensors file: the weights, and in its metadata one JSON document with all that is needed to use them.
Its sha256 is its name in the database. The bytes depend on nothing but the content: safetensors writes several
metadata entries in random order, which is why there is only one.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import nn

from vision.network import ARCHITECTURE, POSITIVE_INDEX, Network
from vision.preprocessing import Preprocessing, PreprocessingError

FORMAT = 1  # of the JSON document; a higher number is from a newer inspectq
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

    def __post_init__(self) -> None:
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


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model, ready to be asked."""

    info: CheckpointInfo
    digest: str  # sha256 of the file, hex
    network: Network  # on the CPU, in evaluation mode


def save_checkpoint(path: Path, network: nn.Module, info: CheckpointInfo) -> str:
    """Write the file, whole or not at all, and return its sha256. The network stays as it is."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = safetensors.torch.save(tensors, metadata={METADATA_KEY: info.to_json()})
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, except on network file systems that refuse."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_info(path: Path) -> CheckpointInfo:
    """What the file says about itself. Reads its header only, checks no digest and loads no weight."""
    if not path.is_file():
        raise CheckpointMissing(_missing(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
    except (SafetensorError, OSError) as error:
        raise CheckpointFormat(_not_a_checkpoint(path)) from error
    return _info_of(metadata, path)


def load_checkpoint(path: Path, expected_digest: str | None = None) -> Checkpoint:
    """Load the model; with `expected_digest` (sha256, hex) only if the file is exactly the recorded one.

    The bytes are hashed before they are parsed, and the bytes hashed are the bytes loaded.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointMissing(_missing(path)) from error
    digest = hashlib.sha256(content).hexdigest()
    if expected_digest is not None and digest != expected_digest.lower():
        raise CheckpointAltered(
            f"The checkpoint {path} has digest {digest[:12]}, but {expected_digest[:12]} is recorded: "
            "it was altered or replaced. Put the original file back, or register this one as a new model."
        )
    info = _info_of(_metadata_of(content), path)
    network = Network()
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointFormat(f"The weights in {path} do not fit {info.architecture}. Train a new model.") from error
    return Checkpoint(info=info, digest=digest, network=network.eval())


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
    )


def _missing(path: Path) -> str:
    return f"There is no readable checkpoint at {path}. Put it back, or train a model with `inspectq train`."


def _not_a_checkpoint(path: Path) -> str:
    return f"{path} is not a checkpoint of inspectq. Name a file that `inspectq train` has written."
