"""Can reviewers answer by keys without being told anything, and does everybody see the figures only at the end?"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from db import agreement_answers, agreements, people, sign_ins
from db.agreement_answers import NewAnswer
from db.agreements import NewStudy
from db.engine import Engine, reading, writing
from db.models import Answer, Role
from scheduler.submission import person
from tests.web.conftest import Console, Looked
from tests.web.test_accessibility import serious
from tests.web.test_journey import job_of

ME = person()


def begin(engine: Engine, job: int, *reviewers: str, **chosen: Any) -> int:
    with writing(engine) as session:
        return agreements.start(session, NewStudy(job=job, reviewers=reviewers, created_by="tester", **chosen)).id


def answer_all(engine: Engine, number: int, reviewer: str, word: Answer = Answer.PASS) -> None:
    with writing(engine) as session:
        study = agreements.get(session, number)
        for turn in agreement_answers.left(session, study, reviewer):
            new = NewAnswer(
                study=number,
                image=turn.image,
                trial=turn.trial,
                answer=word,
                reviewer=reviewer,
                account="tester",
            )
            agreement_answers.answer(session, new)


def answers_of(engine: Engine, number: int, reviewer: str) -> list[list[str]]:
    with reading(engine) as session:
        found = agreement_answers.answered(session, agreements.get(session, number))
        return [[answer.value for answer in one.answers[reviewer]] for one in found]


def asked(console: Console, path: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(console.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def cookie_of(engine: Engine, name: str, role: Role) -> str:
    """Of the session of somebody new."""
    with writing(engine) as session:
        return sign_ins.begin(session, people.add(session, name, role, by="test"))


def answer_by_asking(console: Console, number: int, cookie: str) -> None:
    """All of somebody's images, by the requests that their browser would send."""
    with httpx.Client(base_url=console.url, cookies={"inspectq": cookie}, headers={"Origin": console.url}) as client:
        left = client.post(f"/agreements/{number}/answer/take").json()
        while left["images"]:
            said = {**left["images"][0], "decision": "PASS"}
            left = client.post(f"/agreements/{number}/answer/decide", json=said).json()


def test_two_people_answer_and_then_see_whether_they_agree(
    serve: Callable[..., Console], looked: Looked, engine: Engine, tmp_path: Path
) -> None:
    console = serve(login=True)
    page, job = looked.page, job_of(console.rows, tmp_path / "images")
    bens, _ = cookie_of(engine, "ben", Role.INSPECTOR), cookie_of(engine, "vic", Role.VIEWER)
    page.context.add_cookies([{"name": "inspectq", "value": cookie_of(engine, ME, Role.APPROVER), "url": console.url}])
    for other in ("vic", "bem"):
        page.goto(f"{console.url}/jobs/{job}")
        page.get_by_label("Reviewers").fill(f"{ME}, {other}")
        page.get_by_role("button", name="Start a study").click()
        expect(page.get_by_text(f"{other} may not sign in as inspector")).to_be_visible()
    looked.said.clear()  # the browser logs the status
    page.goto(f"{console.url}/jobs/{job}")
    page.get_by_label("Reviewers").fill(f"{ME}, ben")
    page.get_by_label("Images", exact=True).fill("4")
    page.get_by_role("button", name="Start a study").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Agreement study 1")
    answer_by_asking(console, 1, bens)
    page.get_by_role("link", name="Begin").click()
    place, left = page.locator("[data-path]"), page.locator("[data-open]")
    for number, key in enumerate("pfup"):
        expect(place).to_have_text(f"Trial 1 of 2, image {number + 1} of 4")
        page.keyboard.press(key)
        expect(left).to_have_text(str(7 - number))
    page.goto(f"{console.url}/agreements/1")  # a tab that is closed
    expect(page.get_by_text("nobody sees what others answered")).to_be_visible()
    assert page.get_by_text("Fleiss").count() == 0
    page.get_by_role("link", name="Go on").click()
    for number in range(4):
        expect(place).to_have_text(f"Trial 2 of 2, image {number + 1} of 4")
        page.keyboard.press("p")
        expect(left).to_have_text(str(3 - number))
    page.get_by_role("link", name="To the study").click()
    expect(page.get_by_role("row", name=re.compile(f"^{ME} 50.0% 2 of 4"))).to_be_visible()
    expect(page.get_by_text("Nothing is known of these images")).to_be_visible()
    assert sorted(answers_of(engine, 1, ME)) == [
        ["FAIL", "PASS"],
        ["PASS", "PASS"],
        ["PASS", "PASS"],
        ["UNSURE", "PASS"],
    ]
    page.goto(f"{console.url}/jobs/{job}")
    page.get_by_role("link", name="Study 1").click()
    expect(page.get_by_text("2 images have answers that differ")).to_be_visible()


def test_without_a_login_there_is_nobody_to_ask(console: Console, tmp_path: Path) -> None:
    job = job_of(console.rows, tmp_path / "images")
    refused = httpx.post(f"{console.url}/jobs/{job}/agreements", data={"reviewers": "anna, ben"})
    assert (refused.status_code, "takes people who sign in" in refused.text) == (409, True)
    assert "It takes people who sign in" in httpx.get(f"{console.url}/jobs/{job}").text


def test_answering_tells_neither_score_nor_verdict_nor_name_and_takes_nothing_back(
    console: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = at_desk.page, job_of(console.rows, tmp_path / "images")
    study = begin(engine, job, ME, "ben", images=6)
    with page.expect_response(re.compile("/answer/take")) as answer:
        page.goto(f"{console.url}/agreements/{study}/answer")
    assert [set(one) for one in answer.value.json()["images"]] == [{"image", "result", "trial", "name"}] * 4
    page.keyboard.press("f")
    expect(page.locator("[data-open]")).to_have_text("11")
    page.keyboard.press("z")
    assert page.locator("[data-undo], [data-reason]").count() == 0
    expect(page.get_by_text("No answer is taken back")).to_be_visible()
    words = page.locator("main").inner_text()
    assert not re.search(r"line-\d|\d\.\d|REVIEW|castings", words)


def test_an_answer_that_is_refused_is_said_and_stays_to_be_read(
    console: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = at_desk.page, job_of(console.rows, tmp_path / "images")
    study = begin(engine, job, ME, "ben", images=6)
    page.goto(f"{console.url}/agreements/{study}/answer")
    expect(page.locator("[data-path]")).to_have_text("Trial 1 of 2, image 1 of 6")
    answer_all(engine, study, ME)  # in another tab
    page.keyboard.press("f")
    expect(page.get_by_text("You are through.")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Another image is before you now")
    at_desk.said.clear()  # the browser logs the status


def test_whoever_is_no_reviewer_is_told_so_and_sees_results_only(
    console: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = at_desk.page, job_of(console.rows, tmp_path / "images")
    study = begin(engine, job, "anna", "ben", images=4)
    page.goto(f"{console.url}/agreements/{study}")
    expect(page.get_by_text("not among the reviewers of this study")).to_be_visible()
    assert page.get_by_role("link", name="Begin").count() == 0
    for path, body in (("take", {}), ("decide", {"image": 1, "trial": 1, "decision": "PASS"})):
        status, told = asked(console, f"/agreements/{study}/answer/{path}", body)
        assert (status, "not among the reviewers" in told["detail"]) == (409, True)
    for reviewer in ("anna", "ben"):
        answer_all(engine, study, reviewer)
    page.reload()
    expect(page.get_by_text("Everybody said the same of every image")).to_be_visible()
    expect(page.get_by_text("There is no kappa where all answers are one and the same word")).to_be_visible()


def test_a_program_is_told_what_the_page_tells(console: Console, engine: Engine, tmp_path: Path) -> None:
    job = job_of(console.rows, tmp_path / "images")
    known = {"line-2/fail.png": Answer.FAIL, "line-2/pass-00.png": Answer.PASS, "line-2/pass-01.png": Answer.FAIL}
    study = begin(engine, job, "anna", "ben", reference=known)
    answer_all(engine, study, "anna")
    status, told = asked(console, f"/api/v1/agreements/{study}")
    assert (status, told["complete"], told["figures"], told["answers"]) == (200, False, None, None)
    assert told["progress"] == [
        {"reviewer": "anna", "answered": 6, "of": 6},
        {"reviewer": "ben", "answered": 0, "of": 6},
    ]
    assert not re.search("FAIL|fail.png", json.dumps(told))
    answer_all(engine, study, "ben", Answer.FAIL)
    figures = asked(console, f"/api/v1/agreements/{study}")[1]["figures"]
    assert (figures["reference"], figures["defective"], figures["good"]) == ("given", 2, 1)
    shares = [(one["miss_rate"]["found"], one["miss_rate"]["of"]) for one in (*figures["reviewers"], figures["model"])]
    assert shares == [(4, 4), (0, 4), (1, 2)]
    assert asked(console, "/api/v1/agreements/99")[0] == 404


@pytest.mark.parametrize("path", ["", "/answer"])
def test_no_serious_fault_on_the_pages_of_a_study(
    console: Console, looked: Looked, engine: Engine, tmp_path: Path, path: str
) -> None:
    job = job_of(console.rows, tmp_path / "images")
    study = begin(engine, job, ME, "ben", images=4)
    answer_all(engine, study, "ben", Answer.FAIL)
    if not path:
        answer_all(engine, study, ME)
    looked.page.goto(f"{console.url}/agreements/{study}{path}")
    expect(looked.page.get_by_role("heading", level=1)).to_contain_text("study")
    assert serious(looked.page) == []
    assert looked.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
