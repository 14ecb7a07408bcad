"""Can a person start a study of agreement from a terminal, follow it, and read or parse what it came to?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from console.exits import ExitCode
from db import agreement_answers, agreements, people
from db.agreement_answers import NewAnswer
from db.engine import reading, writing
from db.models import Answer, Role
from tests.console.conftest import Rows, Verdict
from tests.console.shell import Said, type_here

Type = Callable[..., Said]
TABLE = "path,label\nbad/1.png,FAIL\nbad/2.png,FAIL\ngood/1.png,PASS\ngood/2.png,PASS\n"


@pytest.fixture
def typed(rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command against the rows' database, which holds a job, two inspectors and a viewer."""
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECTQ_DATABASE_URL", rows.engine.url.render_as_string(hide_password=False))
    rows.add_model()
    with writing(rows.engine) as session:
        for name, role in (("anna", Role.INSPECTOR), ("ben", Role.ADMIN), ("vic", Role.VIEWER)):
            people.add(session, name, role, by="test")
    scores = {f"bad/{n}.png": 0.8 for n in range(4)} | {f"good/{n}.png": 0.1 for n in range(8)} | {"bad/2.png": 0.1}
    rows.add_job(tmp_path / "images", [Verdict(path=path, score=score) for path, score in scores.items()])
    return lambda *words: type_here(capsys, "agreement", *words)


def answer(rows: Rows, number: int, reviewer: str, *, wrong: str = "", unsure: str = "") -> None:
    """By what the images are called, but for one in the second trial and one in both."""
    with writing(rows.engine) as session:
        study = agreements.get(session, number)
        paths = {one.result: one.path for one in agreement_answers.answered(session, study)}
        for turn in agreement_answers.left(session, study, reviewer):
            path = paths[turn.result]
            is_bad = path.startswith("bad") != (path == wrong and turn.trial == 2)
            word = Answer.UNSURE if path == unsure else Answer.FAIL if is_bad else Answer.PASS
            new = NewAnswer(
                study=number, image=turn.image, trial=turn.trial, answer=word, reviewer=reviewer, account="tester"
            )
            agreement_answers.answer(session, new)


def test_a_study_is_started_followed_and_read(typed: Type, rows: Rows, tmp_path: Path) -> None:
    reference = tmp_path / "reference.csv"
    reference.write_text(TABLE)
    started = typed("start", 1, "--reviewer", "anna", "--reviewer", "ben", "--reference", reference)
    assert (started.code, started.out) == (ExitCode.DONE, "1\n")
    assert "/agreements/1" in started.err
    answer(rows, 1, "anna", wrong="bad/1.png")
    told = typed("show", 1).out
    assert told.splitlines()[1:3] == ["  anna: 8 of 8", "  ben: 0 of 8"]
    assert "bad" not in told
    assert "anna 8 of 8" in typed("list").out
    answer(rows, 1, "ben", unsure="good/2.png")
    lines = [" ".join(line.split()) for line in typed("show", 1).out.splitlines()]
    assert lines[1] == "2 defective and 2 good by the reference"
    anna, ben, model = lines.index("anna"), lines.index("ben"), lines.index("all reviewers")
    assert lines[anna + 1 : anna + 6] == [
        "the same in all trials 3 of 4 images: 75.0% (19.4% to 99.4%)",
        "kappa, trials 1 and 2 0.50",
        "right in all trials 3 of 4 images with a reference: 75.0% (19.4% to 99.4%)",
        "missed 1 of 4 answers on defective images: 25.0% (0.6% to 80.6%)",
        "false alarms 0 of 4 answers on good images: 0.0% (0.0% to 60.2%)",
    ]
    assert lines[ben + 3].startswith("right in all trials 3 of 4")
    assert lines[ben + 5].startswith("false alarms 0 of 4")
    assert [line for line in lines[ben:model] if line.startswith("missed")][1].startswith("missed 1 of 2")


def test_a_script_gets_every_figure_and_every_answer(typed: Type, rows: Rows) -> None:
    typed("start", 1, "--reviewer", "anna", "--reviewer", "ben", "--images", 6, "--trials", 1)
    for reviewer in ("anna", "ben"):
        answer(rows, 1, reviewer)
    (listed,) = typed("list", "--format", "json").json
    found = typed("show", 1, "--format", "json").json
    assert {name: found[name] for name in listed} == listed
    assert (found["complete"], found["images"], found["figures"]["reference"]) == (True, 6, "majority")
    anna = found["figures"]["reviewers"][0]
    assert (anna["reviewer"], anna["repeatability"], anna["kappa"], anna["reference_kappa"]) == ("anna", None, None, 1)
    assert found["figures"]["pairs"] == [{"reviewers": ["anna", "ben"], "kappa": 1.0}]
    assert [one["answers"]["ben"] for one in found["answers"]] == [[one["reference"]] for one in found["answers"]]
    assert "Nothing is known of these images" in found["notes"][0]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("path,label\nbad/1.png,defect\n", "line 2: a reference is PASS or FAIL, not 'defect'"),
        ("path,label\nbad/1.png,FAIL\nbad/1.png,PASS\n", "line 3: bad/1.png is both PASS and FAIL"),
        ("path,label\nbad/1.png,FAIL\nelse/1.png,PASS\n", "names else/1.png, which is no readable image of job 1"),
        ("", "is empty"),
    ],
)
def test_a_reference_that_cannot_be_used_is_one_sentence(
    typed: Type, rows: Rows, tmp_path: Path, table: str, sentence: str
) -> None:
    (tmp_path / "reference.csv").write_text(table)
    said = typed("start", 1, "--reviewer", "anna", "--reviewer", "ben", "--reference", tmp_path / "reference.csv")
    assert (said.code, said.out, sentence in said.err) == (ExitCode.WRONG_USAGE, "", True)
    with reading(rows.engine) as session:
        assert agreements.every(session) == []


def test_what_is_not_there_is_said(typed: Type) -> None:
    for words in (
        ("show", 9),
        ("start", 9, "--reviewer", "anna", "--reviewer", "ben"),
        ("start", 1, "--reviewer", "anna"),
        ("start", 1, "--reviewer", "anna", "--reviewer", "vic"),
        ("start", 1, "--reviewer", "anna", "--reviewer", "nobody"),
    ):
        said = typed(*words)
        assert (said.code, said.err.count("\n")) == (ExitCode.WRONG_USAGE, 1)
    assert "There is none." in typed("list").err
