"""Does a person see in a real browser which of two models is better on the same images, and where they differ?"""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from db import operating_points
from db.engine import writing
from tests.console.conftest import Judged, Rows
from tests.console.test_thresholds import images
from tests.rows import add_model
from tests.web.conftest import Console, Looked
from tests.web.test_accessibility import serious

HOSTILE = "<b>part</b>&path=x \x1b[31m.png"
SAME = "a" * 64  # the data set's fingerprint


def second_model(rows: Rows) -> int:
    with writing(rows.engine) as session:
        return add_model(session, name="castings-2", digest="cd" * 32).id


def two_models(rows: Rows, folder: Path) -> tuple[list[Judged], list[Judged]]:
    """Judged on the same 12 images: the second finds what the first missed, and rejects two good ones more."""
    digest = rows.draw(folder, HOSTILE)
    names = [HOSTILE, *(f"d{at}.png" for at in range(5)), *(f"g{at}.png" for at in range(6))]
    actual = ["defective"] * 6 + ["ok"] * 6
    found, alike = (0.8, 0.9, 0.9, 0.9, 0.7), (0.1, 0.1, 0.2)
    scores = (0.05, *found, *alike, 0.2, 0.3, 0.9), (0.95, *found, *alike, 0.8, 0.7, 0.9)
    first, second = (
        [
            rows.Judged(path=name, actual=label, score=score, sha256=digest if name == HOSTILE else f"{at:064}")
            for at, (name, label, score) in enumerate(zip(names, actual, side, strict=True))
        ]
        for side in scores
    )
    for model, side in ((rows.add_model(limits=(0.5, 0.5)), first), (second_model(rows), second)):
        rows.add_evaluation(model, folder, side, of=SAME)
    return first, second


def test_two_are_chosen_from_the_list_and_stand_side_by_side(console: Console, looked: Looked, tmp_path: Path) -> None:
    two_models(console.rows, tmp_path)
    page = looked.page
    page.goto(f"{console.url}/models")
    expect(page.get_by_role("combobox", name="Model")).to_have_value("1")
    expect(page.get_by_role("combobox", name="Beside")).to_have_value("2")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Two models compared")
    expect(page.locator(".matrix")).to_have_count(2)
    expect(page.get_by_role("row", name="Missed defects")).to_contain_text("-16.7 points")
    expect(page.get_by_role("row", name="False alarms").first).to_contain_text("+33.3 points")
    mistakes = page.get_by_role("table", name="Who makes which mistakes")
    alarms = mistakes.get_by_role("row", name="False alarms").get_by_role("cell")
    assert [cell.split()[0] for cell in alarms.all_inner_texts() if cell][-3:] == ["0", "2", "+33.3"]
    expect(mistakes.get_by_role("row", name="False alarms")).to_contain_text("p = 0.5")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(page) == []


def test_the_images_on_which_they_differ_are_shown(console: Console, at_desk: Looked, tmp_path: Path) -> None:
    two_models(console.rows, tmp_path)
    page = at_desk.page
    page.goto(f"{console.url}/models/compare?a=1&b=2")
    listed = page.locator("td.path a")
    expect(listed).to_have_count(3)
    expect(listed.first).to_contain_text("<b>part</b>&path=x")
    address = listed.first.get_attribute("href")
    answer = page.request.get(console.url + str(address))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    other = page.request.get(console.url + str(listed.nth(1).get_attribute("href")))
    drawn = ElementTree.fromstring(other.text())  # noqa: S314 - drawn by us
    assert " ".join("".join(drawn.itertext()).split()) == "The file is no longer there."
    assert page.request.get(f"{console.url}/scores/999/picture.jpg").status == 404


def test_both_curves_are_drawn_and_seen_in_the_colours_of_the_screen(
    console: Console, looked: Looked, tmp_path: Path
) -> None:
    two_models(console.rows, tmp_path)
    page = looked.page
    page.goto(f"{console.url}/models/compare?a=1&b=2")
    for kind in ("roc", "precision-recall"):
        chart = page.locator(f"img[src^='/evaluations/1/{kind}.svg']")
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_js_property("complete", True)
        assert chart.evaluate("image => image.naturalWidth") == 380
        drawn = page.request.get(f"{console.url}/evaluations/1/{kind}.svg?beside=2").text()
        ElementTree.fromstring(drawn)  # noqa: S314 - drawn by us
        assert ("stroke: var(--pass)" in drawn, "stroke: var(--fail)" in drawn) == (True, True)
        alone = page.request.get(f"{console.url}/evaluations/1/{kind}.svg").text()
        assert "stroke: var(--fail)" not in alone


def test_a_model_page_has_its_own_curves_and_loads_only_those_that_are_looked_at(
    console: Console, at_desk: Looked, tmp_path: Path
) -> None:
    rows, page = console.rows, at_desk.page
    number = rows.add_model()
    for at, split in enumerate(("validation", "test")):
        rows.add_evaluation(number, tmp_path, images(rows, 30, 60, at), split=split, own=True)
    page.goto(f"{console.url}/models/1")
    page.locator(".charts[open] img").last.scroll_into_view_if_needed()
    expect(page.locator(".charts[open] img").last).to_have_js_property("complete", True)
    asked = [url.removeprefix(console.url) for url in at_desk.asked if url.endswith(".svg") and "evaluations" in url]
    assert sorted(asked) == [f"/evaluations/2/{kind}.svg" for kind in ("precision-recall", "reliability", "roc")]


def test_models_that_were_judged_on_other_images_are_shown_and_not_held_against_each_other(
    console: Console, at_desk: Looked, tmp_path: Path
) -> None:
    rows, page = console.rows, at_desk.page
    for number in (rows.add_model(), second_model(rows)):
        rows.add_evaluation(number, tmp_path, images(rows, 20, 40, number))
    page.goto(f"{console.url}/models/compare?a=1&b=2")
    expect(page.get_by_role("note")).to_contain_text("Not on the same images")
    expect(page.locator(".matrix")).to_have_count(2)
    for absent in ("Difference", "McNemar", "Images on which they differ"):
        expect(page.locator("main")).not_to_contain_text(absent)
    assert page.request.get(f"{console.url}/evaluations/1/roc.svg?beside=2").status == 409
    assert serious(page) == []


def test_of_several_test_sets_that_both_were_judged_on_another_can_be_chosen(
    console: Console, at_desk: Looked, tmp_path: Path
) -> None:
    first, second = two_models(console.rows, tmp_path)
    for number, side in ((1, first), (2, second)):
        few = [replace(one, score=0.5) if one.score is None else one for one in side[2:10]]
        console.rows.add_evaluation(number, tmp_path, few, of=SAME, split="line 2")
    page = at_desk.page
    page.goto(f"{console.url}/models/compare?a=1&b=2")
    expect(page.locator("main")).to_contain_text("8 images of")
    page.get_by_role("link", name="12 images of").click()
    expect(page.get_by_role("row", name="Missed defects")).to_contain_text("-16.7 points")
    page.get_by_role("link", name="8 images of").click()
    expect(page.get_by_role("row", name="Missed defects")).to_contain_text("+0.0 points")


def test_each_model_is_judged_by_its_own_limits(console: Console, at_desk: Looked, tmp_path: Path) -> None:
    two_models(console.rows, tmp_path)
    with writing(console.rows.engine) as session:
        model = operating_points.get(session, 2).checkpoint
        point = operating_points.propose(session, model, pass_below=0.05, fail_from=0.95, actor="test")
        operating_points.approve(session, point, by="Q", reason="a test", account="test")
    at_desk.page.goto(f"{console.url}/models/compare?a=1&b=2")
    expect(at_desk.page.locator("main")).to_contain_text("castings-2: PASS below 0.05, FAIL from 0.95.")
    expect(at_desk.page.locator("td .verdict.review")).to_have_count(11)


@pytest.mark.parametrize(
    ("models", "query", "says"),
    [
        (0, "", "It takes two models"),
        (1, "", "There is one."),
        (2, "", "Two models compared"),
        (2, "?a=1&b=1", "Choose two different models"),
        (2, "?a=1&b=2", "It has not been judged"),
    ],
)
def test_where_there_is_nothing_to_compare_it_is_said(
    console: Console, at_desk: Looked, models: int, query: str, says: str
) -> None:
    for add in (console.rows.add_model, lambda: second_model(console.rows))[:models]:
        add()
    at_desk.page.goto(f"{console.url}/models/compare{query}")
    expect(at_desk.page.locator("main")).to_contain_text(says)
    expect(at_desk.page.get_by_role("button", name="Compare")).to_have_count(int(models == 2))
    assert serious(at_desk.page) == []


@pytest.mark.parametrize(
    "address", ["/models/compare?a=1&b=9", "/evaluations/9/roc.svg", "/evaluations/1/roc.svg?beside=9"]
)
def test_what_is_not_there_is_said(console: Console, at_desk: Looked, tmp_path: Path, address: str) -> None:
    two_models(console.rows, tmp_path)
    assert at_desk.page.request.get(console.url + address).status == 404
