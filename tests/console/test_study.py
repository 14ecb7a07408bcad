"""Can a person have a model look again, and is what came of it kept?"""

from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from console.exits import ExitCode
from db.engine import reading
from db.models import AuditEvent
from db.schema import open_database
from tests.console.shell import type_here
from tests.networks import add_random_model


def test_a_study_is_shown_and_kept_as_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DEVICE", "cpu")
    engine = open_database(f"sqlite:///{tmp_path / 'inspectq.db'}")
    digest = add_random_model(engine, tmp_path / "models")
    folder = tmp_path / "parts" / "line 1"
    folder.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (40, 30), (number * 40, 90, 120)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image")

    words = ("study", "repeatability", "tiny", tmp_path / "parts")
    said = type_here(capsys, *words, "--format", "json")
    assert said.code == ExitCode.DONE
    assert (said.json["images"], said.json["unreadable"]) == (6, 1)
    assert said.json["base"] == "torch fp32 on cpu"
    assert said.json["conditions"][0]["condition"] == "repeat 1"
    assert said.json["conditions"][0]["largest_difference"] == 0
    with reading(engine) as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.action == "study.repeatability")).one()
    assert event.subject == f"model:{digest}"
    assert {"model": "tiny", **event.details} == said.json

    some = type_here(capsys, *words, "--images", 3, "--seed", 1)
    assert "brightness -5%" in some.out
    assert "Repeatability alone, of one appraiser." in some.err
    again = type_here(capsys, *words, "--images", 3, "--seed", 1)
    assert again.out == some.out
    (tmp_path / "empty").mkdir()
    none = type_here(capsys, "study", "repeatability", "tiny", tmp_path / "empty")
    assert (none.code, "holds no image" in none.err) == (ExitCode.WRONG_USAGE, True)
