"""Are two models held against each other on the same images, at their own limits, and scored once?"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from console.exits import ExitCode
from db import checkpoints, evaluations, operating_points
from db.engine import reading, writing
from db.schema import open_database
from tests.console.shell import Said, type_here
from tests.networks import add_random_model
from tests.trainer.conftest import draw_split_folders
from trainer.opening import open_dataset

ByHand = Callable[..., Said]


@pytest.fixture
def compare(
    sqlite_with_tables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> ByHand:
    """Type `compare` where there are the models strict, which calls everything defective, and lax, which nothing."""
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", sqlite_with_tables)
    engine = open_database(sqlite_with_tables)
    for name, bias in (("strict", 9.0), ("lax", -9.0)):
        add_random_model(engine, tmp_path / "models", name=name, bias=bias)
    folder = draw_split_folders(tmp_path / "parts")
    return lambda *words: type_here(capsys, "compare", *words[:2], folder, "--device", "cpu", *words[2:])


def test_who_makes_which_mistakes_is_counted_and_every_difference_listed(compare: ByHand) -> None:
    said = compare("strict", "lax", "--format", "json")
    assert said.code == ExitCode.DONE, said.err
    found = said.json
    assert [model["model"] for model in found["models"]] == ["strict", "lax"]
    defective, good = found["misses"]["images"], found["false_alarms"]["images"]
    assert (found["images"], found["unreadable"]) == (defective + good, 0)
    assert (found["misses"]["only_first"], found["misses"]["only_second"]) == (0, defective)
    assert (found["false_alarms"]["only_first"], found["false_alarms"]["only_second"]) == (good, 0)
    assert {tuple(one["verdicts"]) for one in found["differences"]} == {("FAIL", "PASS")}
    assert len(found["differences"]) == defective + good
    apart = [abs(one["scores"][0] - one["scores"][1]) for one in found["differences"]]
    assert apart == sorted(apart, reverse=True)


def test_each_is_judged_at_its_own_limits_and_no_image_is_scored_twice(
    compare: ByHand, sqlite_with_tables: str
) -> None:
    compare("strict", "lax")
    engine = open_database(sqlite_with_tables)
    with writing(engine) as session:
        lax = checkpoints.find(session, "lax")
        point = operating_points.propose(session, lax, pass_below=0.0, fail_from=0.0, actor="test")
        operating_points.approve(session, point, by="Q", reason="a test", account="test")
    said = compare("strict", "lax", "--limit", "0")
    assert "verdicts that differ: 0\n" in said.out
    assert re.search(r"^2 lax: evaluation e2, operating point \d+, PASS below 0.0, FAIL from 0.0$", said.out, re.M)
    assert re.search(r"^1 strict: evaluation e1, operating point \d+ \(UNAPPROVED\),", said.out, re.M)
    with reading(engine) as session:
        assert len(evaluations.of_checkpoint(session, lax.id)) == 1


def test_a_person_reads_the_counts_the_bounds_and_the_first_differences(compare: ByHand) -> None:
    said = compare("strict", "lax", "--limit", "1")
    assert re.search(
        r"^misses +4 +0 +0 +4   \+100\.00 points \(\+\d+\.\d\d to \+\d+\.\d\d\), p = 0\.125$", said.out, re.M
    )
    assert re.search(r"^  test/.+ \(\w+\): FAIL 0\.\d{4}, PASS 0\.\d{4}$", said.out, re.M)
    assert said.out.endswith("… and 7 more (--limit)\n")


def test_what_each_model_knows_of_the_images_is_told_or_that_nobody_knows(
    compare: ByHand, sqlite_with_tables: str, tmp_path: Path
) -> None:
    said = compare("strict", "lax", "--split", "all")
    for number in (1, 2):
        assert f"\n{number} leaks: not known, for what this model was trained on was not written down\n" in said.out
    dataset = open_dataset(tmp_path / "parts")
    known = [
        evaluations.KnownImage(path=one.path, sha256=one.sha256, group=None, signature=one.signature)
        for one in dataset.part("train")
    ]
    with writing(open_database(sqlite_with_tables)) as session:
        run = checkpoints.find(session, "strict").training_run
        evaluations.add_training_images(session, run.dataset, known)
    said = compare("strict", "lax", "--split", "all")
    for number in (1, 2):
        assert f"\n{number} leaking: 16 of 24 test images have a twin in training\n" in said.out
    again = compare("strict", "lax", "--split", "all", "--format", "json").json
    assert [(model["leaking"], model["judged"]) for model in again["models"]] == [(16, 24), (16, 24)]
    assert [model["evaluation"] for model in again["models"]] == ["e3", "e4"], "what is told is not judged again"


def test_a_model_that_is_not_there_is_said_before_an_image_is_opened(compare: ByHand) -> None:
    said = compare("strict", "nobody")
    assert said.code == ExitCode.WRONG_USAGE
    assert "nobody" in said.err
    assert "Opening every image" not in said.err
