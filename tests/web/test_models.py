"""Can a person see how a model was judged, have limits proposed, and approve them, in a real browser?"""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from db import checkpoints, operating_points
from db.engine import Engine, reading
from tests.console.conftest import Rows
from tests.console.test_model_escapes import decided_job
from tests.console.test_thresholds import images
from tests.web.conftest import Console, Looked


def judged_model(rows: Rows, folder: Path) -> int:
    """With a validation and a test evaluation, and the default limits."""
    number = rows.add_model(limits=(0.5, 0.5), approved=False)
    rows.add_evaluation(number, folder, images(rows, 200, 400, 1), split="validation", own=True)
    rows.add_evaluation(number, folder, images(rows, 150, 300, 2), split="test", own=True)
    return number


def test_limits_are_proposed_and_approved_with_a_reason(
    console: Console, looked: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, model = looked.page, judged_model(console.rows, tmp_path)
    page.goto(f"{console.url}/jobs")
    page.get_by_role("link", name="Models").click()
    page.get_by_role("link", name="castings-1").click()
    expect(page.get_by_text("missed")).not_to_have_count(0)
    page.get_by_label("Missed defects at most, %").fill("3")
    page.get_by_role("button", name="Propose").click()
    point = page.locator(".card", has_text="Operating point 2:")
    expect(point).to_contain_text("max miss rate 0.03")
    point.get_by_label("Reason").fill("Trial run 7")
    point.get_by_role("button", name="Approve").click()
    expect(page.locator(".card", has_text="Operating point 2:")).to_contain_text("in use")
    expect(page.locator(".card", has_text="Operating point 2:")).to_contain_text("Trial run 7")
    page.get_by_role("button", name="Approve for scans").click()
    expect(page.locator(".heading .state")).to_have_text("approved")
    with reading(engine) as session:
        current = operating_points.current(session, checkpoints.get(session, model))
        assert (current.id, current.approval is not None) == (2, True)


def test_limits_that_cannot_be_shown_are_refused_with_the_reason(
    console: Console, at_desk: Looked, tmp_path: Path
) -> None:
    page, model = at_desk.page, judged_model(console.rows, tmp_path)
    page.goto(f"{console.url}/models/{model}")
    page.get_by_label("Missed defects at most, %").fill("0.1")
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_role("alert")).to_contain_text("images")
    expect(page.locator(".card", has_text="Operating point 2:")).to_have_count(0)
    at_desk.said.clear()  # the browser logs the status of a form that was refused


@pytest.mark.parametrize("what", ["evaluations/1", "operating-points/1"])
def test_a_report_is_shown_whole(console: Console, at_desk: Looked, tmp_path: Path, what: str) -> None:
    judged_model(console.rows, tmp_path)
    at_desk.page.goto(f"{console.url}/{what}/report")
    expect(at_desk.page.locator("svg:visible").first).to_be_visible()
    expect(at_desk.page.get_by_role("heading", level=1)).to_be_visible()


def test_where_no_model_is_it_is_said_how_to_make_one(console: Console, at_desk: Looked) -> None:
    at_desk.page.goto(f"{console.url}/models")
    expect(at_desk.page.get_by_text("inspectq train FOLDER")).to_be_visible()


def test_what_the_samples_of_its_jobs_say_stands_beside_the_limits_and_in_the_api(
    console: Console, at_desk: Looked, tmp_path: Path
) -> None:
    console.rows.add_model()
    decided_job(console.rows, tmp_path, 6, 1)
    at_desk.page.goto(f"{console.url}/models/1")
    point = at_desk.page.locator(".card", has_text="Operating point 2:")
    expect(point).to_contain_text("Of 6 images that passed in 1 job 6 were drawn at random: 6 are decided.")
    expect(point).to_contain_text("16.67% of what passes")
    expect(at_desk.page.locator(".card", has_text="Operating point 1:")).not_to_contain_text("of what passes")
    (told,) = at_desk.page.request.get(f"{console.url}/api/v1/models/1").json()["samples_of_passed"]
    assert (told["operating_point"], told["defective"], told["decided"]) == (2, 1, 6)
