"""Is a checkpoint whole, honest about itself, and refused when it is not the recorded one?"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from vision import preprocessing as preprocessing_module
from vision.checkpoint import (
    METADATA_KEY,
    CheckpointAltered,
    CheckpointError,
    CheckpointFormat,
    CheckpointInfo,
    CheckpointMissing,
)
from vision.network import Network
from vision.saved_network import load_checkpoint, save_checkpoint


def rewritten(path: Path, network: Network, info: CheckpointInfo, **changes: Any) -> Path:
    """A checkpoint whose description says something else."""
    document = {**json.loads(info.to_json()), **changes}
    safetensors.torch.save_file(dict(network.state_dict()), path, metadata={METADATA_KEY: json.dumps(document)})
    return path


def test_what_was_saved_is_what_is_loaded(checkpoint_path: Path, network: Network, info: CheckpointInfo) -> None:
    digest = hashlib.sha256(checkpoint_path.read_bytes()).hexdigest()
    checkpoint = load_checkpoint(checkpoint_path, digest)
    assert (checkpoint.digest, checkpoint.info) == (digest, info)
    assert not any(module.training for module in checkpoint.network.modules())
    loaded = checkpoint.network.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, network: Network, info: CheckpointInfo) -> None:
    digests = {save_checkpoint(tmp_path / f"{copy}.safetensors", network, info) for copy in range(5)}
    assert len(digests) == 1
    channels_last = load_checkpoint(tmp_path / "0.safetensors").network.to(memory_format=torch.channels_last)
    assert save_checkpoint(tmp_path / "again.safetensors", channels_last, info) in digests


def test_other_content_gives_another_digest(tmp_path: Path, network: Network, info: CheckpointInfo) -> None:
    other = dataclasses.replace(info, dataset_fingerprint="ffff")
    first = save_checkpoint(tmp_path / "model.safetensors", network, info)
    assert save_checkpoint(tmp_path / "model.safetensors", network, other) != first


def test_saving_leaves_no_temporary_file(tmp_path: Path, network: Network, info: CheckpointInfo) -> None:
    save_checkpoint(tmp_path / "model.safetensors", network, info)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_interrupted_save_keeps_the_old_file_whole(
    tmp_path: Path, network: Network, info: CheckpointInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    digest = save_checkpoint(path, network, info)

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, network, dataclasses.replace(info, code_version="0.2.0"))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert load_checkpoint(path, digest).info == info


def test_one_altered_bit_is_found_before_anything_is_parsed(
    tmp_path: Path, checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(checkpoint_path.read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    content[-1] ^= 1
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    def parsed(content: bytes) -> None:
        pytest.fail("the file was parsed")

    monkeypatch.setattr("safetensors.torch.load", parsed)
    with pytest.raises(CheckpointAltered, match="altered or replaced"):
        load_checkpoint(path, digest)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match="inspectq train"):
        load_checkpoint(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]", b"\x80\x04."]
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointFormat, match="not a checkpoint"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path, checkpoint_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(checkpoint_path.read_bytes()[:-100])
    with pytest.raises(CheckpointFormat, match="do not fit"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 3}, "newer than 2.*Update inspectq"),
        ({"architecture": "vit_b_16"}, "'vit_b_16' is unknown"),
        ({"format": None}, "describes no checkpoint"),
        ({"class_names": ["defective", "good"]}, "the positive one second"),
        ({"class_names": ["defective"]}, "describes no checkpoint"),
        ({"preprocessing": {"size": 64}}, "describes no checkpoint"),
        ({"recipe": 3}, "describes no checkpoint"),
    ],
)
def test_a_description_that_is_not_understood_is_refused(
    tmp_path: Path, network: Network, info: CheckpointInfo, changes: dict[str, Any], words: str
) -> None:
    path = rewritten(tmp_path / "model.safetensors", network, info, **changes)
    with pytest.raises(CheckpointFormat, match=words):
        load_checkpoint(path)


def test_an_unknown_resize_mode_is_named(tmp_path: Path, network: Network, info: CheckpointInfo) -> None:
    described = {**json.loads(info.to_json())["preprocessing"], "resize": "squash"}
    path = rewritten(tmp_path / "model.safetensors", network, info, preprocessing=described)
    with pytest.raises(CheckpointFormat, match="resize mode 'squash' is unknown"):
        load_checkpoint(path)


def test_pixels_made_in_another_way_are_refused(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing_module, "CONVERSION_VERSION", 99)
    with pytest.raises(CheckpointFormat, match=r"pixels made in another way.*inspectq 0\.1\.0|version 0\.1\.0"):
        load_checkpoint(checkpoint_path)


def test_all_refusals_are_checkpoint_errors() -> None:
    for kind in (CheckpointMissing, CheckpointAltered, CheckpointFormat):
        assert issubclass(kind, CheckpointError)
