"""Is a rate called shown where its bound keeps it, not shown where it does not, and refused where nothing could?"""

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

ByHand = Callable[..., Said]


@pytest.fixture
def evaluate(
    sqlite_with_tables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> ByHand:
    """Type `evaluate` of a model that calls everything defective, on 12 defective and 12 good parts, 4 of each test."""
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", sqlite_with_tables)
    add_random_model(open_database(sqlite_with_tables), tmp_path / "models", name="strict", bias=9.0)
    folder = draw_split_folders(tmp_path / "parts")
    return lambda *words, model="strict": type_here(capsys, "evaluate", model, folder, "--device", "cpu", *words)


def test_a_rate_is_shown_by_its_bound_and_the_other_is_not(evaluate: ByHand) -> None:
    said = evaluate("--split", "all", "--max-miss-rate", "0.25")
    assert said.code == ExitCode.DONE, said.err
    # 1 - 0.05 ** (1 / 12) = 0.2209
    assert "miss rate of at most 0.25: shown (0 of 12, with 95% confidence at most 0.2209)\n" in said.out
    said = evaluate("--split", "all", "--max-miss-rate", "0.25", "--max-false-alarm-rate", "0.9", "--format", "json")
    assert said.code == ExitCode.ENDED_BADLY
    assert [(one["name"], one["wrong"], one["images"], one["bound"], one["shown"]) for one in said.json["targets"]] == [
        ("miss_rate", 0, 12, pytest.approx(0.2209, abs=1e-4), True),
        ("false_alarm_rate", 12, 12, 1.0, False),
    ]


def approve(url: str, pass_below: float, fail_from: float) -> int:
    """The limits that the model's scans are judged by from now on."""
    with writing(open_database(url)) as session:
        model = checkpoints.find(session, "strict")
        point = operating_points.propose(session, model, pass_below=pass_below, fail_from=fail_from, actor="test")
        operating_points.approve(session, point, by="M. Keller", reason="a test", account="test")
        return point.id


def test_the_model_is_asked_as_its_scans_are_judged_by_the_approved_limits(
    evaluate: ByHand, sqlite_with_tables: str
) -> None:
    words = ("--split", "all", "--max-miss-rate", "0.25", "--max-false-alarm-rate", "0.25")
    assert "by operating point 1, PASS below 0.5, FAIL from 0.5 (UNAPPROVED):\nmiss rate" in evaluate(*words).out
    everything_passes = approve(sqlite_with_tables, 1.0, 1.0)
    said = evaluate(*words)
    assert f"by operating point {everything_passes}, PASS below 1.0, FAIL from 1.0 (approved by M. Keller" in said.out
    assert "miss rate of at most 0.25: NOT shown (12 of 12," in said.out
    assert "false alarm rate of at most 0.25: shown (0 of 12," in said.out
    assert (said.code, "missed: 0 of 12 defective" in said.out) == (ExitCode.ENDED_BADLY, True)
    everything_is_reviewed = approve(sqlite_with_tables, 0.0, 1.0)
    said = evaluate(*words, "--format", "json")
    assert (said.code, [one["wrong"] for one in said.json["targets"]]) == (ExitCode.DONE, [0, 0])
    assert said.json["confusion_matrix"] == [[12, 0], [12, 0]], "at 0.5, as it is stored"
    judged_by = said.json["judged_by"]
    assert (judged_by["operating_point"], judged_by["pass_below"], judged_by["fail_from"]) == (
        everything_is_reviewed,
        0.0,
        1.0,
    )


def test_of_a_model_that_gives_every_part_the_same_score_no_ranking_is_called_perfect(
    evaluate: ByHand, sqlite_with_tables: str, tmp_path: Path
) -> None:
    add_random_model(open_database(sqlite_with_tables), tmp_path / "models", name="sure", bias=200.0)
    said = evaluate("--prevalence", "0.01", model="sure")
    assert "AUROC 0.5000 (no bounds: no resample of these scores gives another)\n" in said.out
    assert "perfect" not in said.out
    assert "where 0.01 of the parts are defective: none passes, and 1.0% of the rejected (" in said.out
    there = evaluate("--prevalence", "0.01", "--format", "json", model="sure").json["at_prevalence"]
    assert (there["escapes_ppm"], there["precision"]) == (None, pytest.approx(0.01))


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("--max-miss-rate", "0.05"), "4 defective test images cannot show a rate of at most 0.05, not even"),
        (("--max-false-alarm-rate", "0.01"), "4 good test images cannot show a rate of at most 0.01, not even"),
        (("--split", "all", "--max-miss-rate", "0.05"), "12 defective images cannot show a rate of at most 0.05"),
    ],
)
def test_what_so_few_images_cannot_show_is_refused_before_any_is_scored(
    evaluate: ByHand, sqlite_with_tables: str, words: tuple[str, ...], refusal: str
) -> None:
    said = evaluate(*words)
    assert (said.code, said.out) == (ExitCode.ENDED_BADLY, "")
    assert refusal in said.err
    assert f"it takes {299 if '0.01' in words else 59}." in said.err
    with reading(open_database(sqlite_with_tables)) as session:
        assert not evaluations.of_checkpoint(session, checkpoints.find(session, "strict").id)
