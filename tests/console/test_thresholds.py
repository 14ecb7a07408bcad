"""Can a person propose limits from validation scores, see what they give, approve them, and judge a job anew?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from console.exits import ExitCode
from tests.console.shell import Said, type_here

Type = Callable[..., Said]


@pytest.fixture
def typed(rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command against the rows' database."""
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", rows.engine.url.render_as_string(hide_password=False))
    return lambda *words: type_here(capsys, *words)


def images(rows: Any, defective: int, good: int, seed: int) -> list[Any]:
    generator = np.random.default_rng(seed)
    scores = {"defective": generator.beta(8, 1.2, defective), "ok": generator.beta(1.2, 8, good)}
    return [
        rows.Judged(path=f"{actual}/{number}.png", actual=actual, score=float(score))
        for actual, found in scores.items()
        for number, score in enumerate(found)
    ]


@pytest.fixture
def model(rows: Any, tmp_path: Path) -> int:
    """A model with a validation and a test evaluation on its own data set, and the default limits."""
    number: int = rows.add_model(limits=(0.5, 0.5))
    rows.add_evaluation(number, tmp_path, images(rows, 200, 400, 1), split="validation", own=True)
    rows.add_evaluation(number, tmp_path, images(rows, 150, 300, 2), split="test", own=True)
    return number


def test_limits_are_proposed_shown_on_both_parts_approved_and_then_count(typed: Type, model: int) -> None:
    proposed = typed("threshold", "propose", model, "--max-miss-rate", 0.03, "--format", "json")
    assert proposed.code == ExitCode.DONE
    point = proposed.json
    assert (point["version"], point["origin"], point["targets"]) == (2, "targets", {"max_miss_rate": 0.03})
    assert (point["evaluation"], point["approved"]) == ("e1", False)
    validation, test = point["gives"]
    assert (validation["split"], test["split"]) == ("validation", "test")
    assert validation["miss_rate_bound"] <= 0.03
    assert (test["defective"], test["good"]) == (150, 300)

    assert [row["current"] for row in typed("threshold", "list", model, "--format", "json").json] == [False, True]
    approved = typed("threshold", "approve", point["operating_point"], "--by", "M. Keller", "--reason", "Trial run 7")
    assert approved.code == ExitCode.DONE
    assert [row["current"] for row in typed("threshold", "list", model, "--format", "json").json] == [True, False]
    told = typed("threshold", "show", point["operating_point"]).out
    assert "approved by M. Keller on " in told
    assert "because: Trial run 7" in told
    assert "on the test images, evaluation e2 (torch fp32)" in told


def test_a_runtime_by_which_the_limits_do_not_keep_the_target_is_named(
    typed: Type, rows: Any, model: int, tmp_path: Path
) -> None:
    worse = [rows.Judged(path=f"defective/{n}.png", actual="defective", score=0.01 * n) for n in range(100)]
    rows.add_evaluation(model, tmp_path, [*worse, *images(rows, 0, 300, 2)], own=True, engine="onnxruntime")
    rows.accept(model, "onnx", 3)
    both = ("--max-miss-rate", 0.2, "--max-false-alarm-rate", 0.2)
    *_, reference, other = typed("threshold", "propose", model, *both).out.split("\n\non ")
    assert ("(torch fp32)" in reference, "NOT shown" in reference) == (True, False)
    assert other.startswith("the test images, evaluation e3 (onnxruntime fp32)\n  missed  ")
    assert " of the defective (0.2 is NOT shown)\n" in other
    assert typed("report", "op2", "--out", tmp_path / "limits.html").code == ExitCode.DONE
    page = rows.read((tmp_path / "limits.html").read_text())
    assert page.words.count(": 0.2 is not shown") == 1


def test_a_target_that_the_images_cannot_show_is_refused_and_nothing_is_kept(typed: Type, model: int) -> None:
    refused = typed("threshold", "propose", model, "--max-miss-rate", 0.01)
    assert refused.code == ExitCode.ENDED_BADLY
    assert "200 defective validation images cannot show a rate of at most 0.01" in refused.err
    assert "it takes 299" in refused.err
    assert len(typed("threshold", "list", model, "--format", "json").json) == 1


def test_without_a_defective_validation_image_limits_are_refused(typed: Type, rows: Any, tmp_path: Path) -> None:
    number = rows.add_model(limits=(0.5, 0.5))
    rows.add_evaluation(number, tmp_path, images(rows, 0, 50, 1), split="validation", own=True)
    for target in (["--max-miss-rate", 0.5], ["--cost-miss", 50, "--cost-alarm", 1]):
        refused = typed("threshold", "propose", number, *target)
        assert refused.code == ExitCode.ENDED_BADLY
        assert "there is no defective one: limits would be a guess" in refused.err


def test_a_model_without_validation_scores_says_where_to_get_some(typed: Type, rows: Any, tmp_path: Path) -> None:
    number = rows.add_model(limits=(0.5, 0.5))
    tested = rows.add_evaluation(number, tmp_path, images(rows, 150, 300, 2), own=True)
    refused = typed("threshold", "propose", number, "--max-miss-rate", 0.05)
    assert refused.code == ExitCode.WRONG_USAGE
    assert "trained without a validation part" in refused.err
    refused = typed("threshold", "propose", number, "--max-miss-rate", 0.05, "--evaluation", f"e{tested}")
    assert "is of what it was tested on" in refused.err
    other = rows.add_evaluation(number, tmp_path, images(rows, 150, 300, 3), split="all")
    assert typed("threshold", "propose", number, "--max-miss-rate", 0.05, "--evaluation", f"e{other}").code == 0


INT8 = ("onnxruntime", "int8")


def lower(rows: Any, scored: list[Any], by: float) -> list[Any]:
    """The same images, as a runtime scores them that is less sure of defects."""
    return [rows.Judged(path=one.path, actual=one.actual, score=max(one.score - by, 0.0)) for one in scored]


def test_the_targets_are_kept_for_every_runtime_that_scans_may_use(
    typed: Type, rows: Any, model: int, tmp_path: Path
) -> None:
    validation = images(rows, 200, 400, 1)
    alone = typed("threshold", "propose", model, "--max-miss-rate", 0.03, "--format", "json").json
    rows.add_evaluation(
        model, tmp_path, lower(rows, validation, 0.1), split="validation", own=True, engine=INT8[0], precision=INT8[1]
    )
    rows.add_evaluation(  # of a runtime that was not accepted: it has no say
        model, tmp_path, lower(rows, validation, 0.9), split="validation", own=True, engine="onnxruntime"
    )
    rows.add_evaluation(model, tmp_path, images(rows, 150, 300, 2), split="test", own=True, engine="onnxruntime")
    rows.accept(model, "onnx-int8", 1)
    both = typed("threshold", "propose", model, "--max-miss-rate", 0.03, "--format", "json").json
    assert both["pass_below"] == pytest.approx(alone["pass_below"] - 0.1, abs=0.02)
    told = [(part["split"], part["engine"], part["precision"]) for part in both["gives"]]
    assert told == [("validation", "torch", "fp32"), ("validation", *INT8), ("test", "torch", "fp32")]
    assert all(part["miss_rate_bound"] <= 0.03 for part in both["gives"][:2])
    assert (both["evaluation"], both["runtimes_not_asked"]) == ("e1", [])
    before = typed("threshold", "show", alone["operating_point"], "--format", "json").json
    assert before["gives"][1]["miss_rate_bound"] > 0.03, "which limits of fp32 alone would have given away"


def test_limits_say_for_which_runtime_they_are_not_shown(typed: Type, rows: Any, model: int, tmp_path: Path) -> None:
    rows.accept(model, "onnx-int8", 2)
    proposed = typed("threshold", "propose", model, "--max-miss-rate", 0.03)
    assert "NOT SHOWN for scans by the runtime onnx-int8" in proposed.out
    assert "inspectq evaluate castings-1 DIR --split validation --runtime onnx-int8" in proposed.out
    shown = typed("threshold", "show", 2, "--format", "json").json
    assert shown["runtimes_not_asked"] == ["onnx-int8"]
    typed("report", "op2", "--out", tmp_path / "limits.html")
    assert (
        "Not shown for scans by onnx-int8: this runtime has" in rows.read((tmp_path / "limits.html").read_text()).words
    )


def test_limits_are_not_read_off_images_that_the_model_knows_from_its_training(
    typed: Type, rows: Any, tmp_path: Path
) -> None:
    number = rows.add_model(limits=(0.5, 0.5))
    known = rows.add_evaluation(number, tmp_path, images(rows, 150, 300, 3), split="all", leaking=2)
    refused = typed("threshold", "propose", number, "--max-miss-rate", 0.05, "--evaluation", f"e{known}")
    assert refused.code == ExitCode.WRONG_USAGE
    assert f"Evaluation e{known} leaks: the model knows 2 of its 450 images from its training" in refused.err
    assert "evaluate the others" in refused.err
    new = rows.add_evaluation(number, tmp_path, images(rows, 150, 300, 4), split="all", leaking=0)
    assert typed("threshold", "propose", number, "--max-miss-rate", 0.05, "--evaluation", f"e{new}").code == 0


def test_what_the_model_knows_of_the_images_stands_beside_what_the_limits_make_of_them(
    typed: Type, rows: Any, tmp_path: Path
) -> None:
    number = rows.add_model(limits=(0.5, 0.5))
    rows.add_evaluation(number, tmp_path, images(rows, 200, 400, 1), split="validation", own=True, leaking=0)
    rows.add_evaluation(number, tmp_path, images(rows, 150, 300, 2), own=True, leaking=3)
    proposed = typed("threshold", "propose", number, "--max-miss-rate", 0.03)
    assert "not leaking: none of 600 validation images has a twin in training" in proposed.out
    assert "leaking: 3 of 450 test images have a twin in training" in proposed.out
    (point,) = (row["operating_point"] for row in typed("threshold", "list", number, "--format", "json").json[:1])
    gives = typed("threshold", "show", point, "--format", "json").json["gives"]
    assert [part["leaking"] for part in gives] == [0, 3]
    typed("report", f"op{point}", "--out", tmp_path / "limits.html")
    assert "Leaking: 3 of 450 test images" in rows.read((tmp_path / "limits.html").read_text()).words


@pytest.mark.parametrize(
    "words",
    [
        ["--pass-below", 0.2],
        ["--pass-below", 0.2, "--fail-from", 0.4, "--max-miss-rate", 0.1],
        ["--max-miss-rate", 0.1, "--evaluation", "seven"],
        ["--cost-miss", 3],
        [],
    ],
)
def test_half_a_wish_is_refused_in_a_sentence(typed: Type, model: int, words: list[object]) -> None:
    refused = typed("threshold", "propose", model, *words)
    assert refused.code in (ExitCode.WRONG_USAGE, ExitCode.ENDED_BADLY)
    assert "Traceback" not in refused.err
    assert len(typed("threshold", "list", model, "--format", "json").json) == 1


def test_limits_set_by_hand_say_so(typed: Type, model: int) -> None:
    point = typed("threshold", "propose", model, "--pass-below", 0.2, "--fail-from", 0.8, "--format", "json").json
    assert (point["pass_below"], point["fail_from"], point["origin"], point["targets"]) == (0.2, 0.8, "by hand", None)
    assert [part["split"] for part in point["gives"]] == ["test"]


def test_a_job_is_judged_anew_and_its_flipped_verdicts_are_listed(
    typed: Type, rows: Any, model: int, tmp_path: Path
) -> None:
    scores = {"a.png": 0.1, "b.png": 0.45, "c.png": 0.55, "d.png": 0.95}
    job = rows.add_job(tmp_path, [rows.Verdict(path=path, score=score) for path, score in scores.items()])
    point = typed("threshold", "propose", model, "--pass-below", 0.3, "--fail-from", 0.5, "--format", "json").json
    done = typed("rejudge", job, "--operating-point", point["operating_point"], "--format", "json")
    assert done.code == ExitCode.DONE
    assert done.json["flips"] == [{"path": "b.png", "score": 0.45, "before": "PASS", "after": "REVIEW"}]
    assert (done.json["revision"], done.json["judged"], done.json["flipped"]) == (2, 4, 1)
    assert "UNAPPROVED" in done.err
    again = typed("rejudge", job, "--operating-point", point["operating_point"])
    assert (again.code, "already" in again.err) == (ExitCode.WRONG_USAGE, True)
    back = typed("rejudge", job, "--operating-point", 1, "--limit", 0)
    assert "1 verdicts flipped, 1 of them not listed" in back.err
    assert "No verdict flips" not in back.err


def test_a_job_says_whether_anybody_answers_for_its_limits(typed: Type, rows: Any, model: int, tmp_path: Path) -> None:
    job = rows.add_job(tmp_path, [rows.Verdict(path="a.png", score=0.1)])
    assert typed("jobs", "show", job, "--format", "json").json["limits"] == "UNAPPROVED"
    typed("threshold", "approve", 1, "--by", "M. Keller", "--reason", "It will do")
    assert typed("jobs", "show", job, "--format", "json").json["limits"].startswith("approved by M. Keller on ")


def test_the_report_of_an_operating_point_shows_both_parts_with_bounds(
    typed: Type, rows: Any, model: int, tmp_path: Path
) -> None:
    point = typed("threshold", "propose", model, "--max-miss-rate", 0.03, "--max-review-rate", 0.2, "--format", "json")
    number, out = point.json["operating_point"], tmp_path / "limits.html"
    assert typed("report", f"op{number}", "--out", out).code == ExitCode.DONE
    page = rows.read(out.read_text())
    validation, test = point.json["gives"]
    assert f"Missed {100 * validation['missed'] / 200:.1f}% {validation['missed']} of 200 at most" in page.words
    assert f"{test['missed']} of 150 at most" in page.words
    assert "UNAPPROVED" in page.words
    assert page.tags.count("svg") == 4
    typed("threshold", "approve", number, "--by", "M. <b>Keller</b>", "--reason", "<script>x</script>")
    typed("report", f"op{number}", "--out", out)
    page = rows.read(out.read_text())
    assert "by M. <b>Keller</b>: <script>x</script>" in page.words
    assert "script" not in page.tags


@pytest.mark.parametrize("subject", ["op", "x7", "ee7", "op-1", "7e", "opop3", f"op{2**64}"])
def test_what_no_report_is_about_is_said_so(typed: Type, rows: Any, tmp_path: Path, subject: str) -> None:
    refused = typed("report", subject, "--out", tmp_path / "x.html")
    assert refused.code == ExitCode.WRONG_USAGE
    assert "is no job" in refused.err
