"""Does a scan say where nobody answers for its model or its limits?"""

from pathlib import Path

import pytest
from PIL import Image

from console.exits import ExitCode
from db import checkpoints
from db.engine import writing
from db.models import ModelStatus
from db.schema import open_database
from tests.console.shell import type_here
from tests.networks import add_random_model

NOBODY = "Model tiny is a candidate that nobody has approved"


def test_a_model_that_is_named_before_anybody_approved_it_is_used_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DEVICE", "cpu")
    engine = open_database(f"sqlite:///{tmp_path / 'inspectq.db'}")
    digest = add_random_model(engine, tmp_path / "models")
    with writing(engine) as session:
        candidate = checkpoints.find(session, digest)
        checkpoints.set_status(session, candidate, ModelStatus.CANDIDATE, actor="test")
    (tmp_path / "parts").mkdir()
    Image.new("RGB", (40, 30), (90, 90, 120)).save(tmp_path / "parts" / "a.png")

    assert "No model is approved" in type_here(capsys, "scan", tmp_path / "parts").err
    named = type_here(capsys, "scan", tmp_path / "parts", "--model", "tiny")
    assert named.code == ExitCode.DONE
    assert NOBODY in named.err
    assert "are UNAPPROVED" in named.err
    type_here(capsys, "threshold", "approve", 1, "--by", "A. Ortiz", "--reason", "a trial")
    type_here(capsys, "models", "approve", "tiny")
    approved = type_here(capsys, "scan", tmp_path / "parts")
    assert approved.code == ExitCode.DONE
    assert (NOBODY in approved.err, "UNAPPROVED" in approved.err) == (False, False)
