"""Is a rate called shown where its bound keeps it, not shown where it does not, and refused where nothing could?"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from console.exits import ExitCode
from db import checkpoints, evaluations
from db.engine import reading
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


def test_rates_are_asked_of_the_limits_that_scans_are_judged_by(
    evaluate: ByHand, sqlite_with_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passes_all = ("threshold", "propose", "strict", "--pass-below", "1", "--fail-from", "1")
    assert type_here(capsys, *passes_all).code == ExitCode.DONE
    asked = ("--split", "all", "--max-miss-rate", "0.25", "--prevalence", "0.1")
    assert evaluate(*asked).code == ExitCode.DONE
    proposal = evaluate(*asked, "--operating-point", "2")
    assert proposal.code == ExitCode.ENDED_BADLY
    assert "by operating point 2 (PASS below 1.0, FAIL from 1.0; UNAPPROVED): 12 of 12 defective passed" in proposal.out
    assert type_here(capsys, "threshold", "approve", "2", "--by", "A. Ortiz", "--reason", "a trial").code == 0
    approved = evaluate(*asked)
    assert approved.code == ExitCode.ENDED_BADLY
    assert "FAIL from 1.0; approved by A. Ortiz on " in approved.out
    assert "miss rate of at most 0.25: NOT shown (12 of 12, with 95% confidence at most 1)\n" in approved.out
    assert "where 0.1 of the parts are defective: 100,000 of a million passed would be" in approved.out
    fields = evaluate(*asked, "--format", "json").json
    assert (fields["operating_point"], fields["by_operating_point"]["missed"]) == (2, 12)
    assert fields["confusion_matrix"][0] == [12, 0]

    add_random_model(open_database(sqlite_with_tables), Path(os.environ["INSPECTQ_HOME"]) / "models", name="other")
    refused = evaluate(*asked, "--operating-point", "3")
    assert refused.code == ExitCode.WRONG_USAGE
    assert "Operating point 3 is of another model than strict." in refused.err


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
