"""Can a person see what a job came to, look closely, and decide, with a real browser?"""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from console.web.embedded import Embedded
from db import jobs, reviews, samples
from db.engine import Engine, reading, writing
from tests.console.conftest import Rows, Verdict, draw
from tests.networks import add_random_model
from tests.web.conftest import Console, Looked

NASTY = "line-1/<b>bold</b> \u202egnp.exe\x1b[31m.png"


def job_of(rows: Rows, folder: Path, *, doubtful: int = 12, passed: int = 30) -> int:
    """PASS below 0.4, FAIL from 0.6."""
    rows.add_model()
    scores = {f"line-1/doubt-{n:02}.png": (41 + n) / 100 for n in range(doubtful)}
    scores |= {f"line-2/pass-{n:02}.png": n / 100 for n in range(passed)} | {"line-2/fail.png": 0.9, NASTY: 0.95}
    verdicts = [Verdict(path=p, score=s, sha256=draw(folder, p, 60 + n)) for n, (p, s) in enumerate(scores.items())]
    return rows.add_job(folder, [*verdicts, Verdict(path="line-2/broken.png", score=None, reason="truncated")])


def test_an_inspector_sees_a_job_and_decides_ten_images_by_keys(
    console: Console, looked: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = looked.page, job_of(console.rows, tmp_path / "images")
    page.goto(console.url)
    page.get_by_role("link", name=str(job), exact=True).click()
    expect(page.get_by_role("heading", name=f"Job {job}")).to_be_visible()
    page.get_by_role("link", name="Review 12 images").click()
    place, left = page.locator("[data-path]"), page.locator("[data-open]")
    for number in range(10):
        expect(left).to_have_text(str(12 - number))
        expect(place).to_contain_text("doubt-")
        before = place.inner_text()
        page.keyboard.press("pf"[number % 2])
        expect(place).not_to_have_text(before)
    page.keyboard.press("z")
    expect(left).to_have_text("3")
    expect(place).to_have_text(before)
    page.keyboard.press("u")
    expect(place).not_to_have_text(before)
    with reading(engine) as session:
        made = [row.decision.value for row in reviews.of_job(session, job)]
    assert made == [*["PASS", "FAIL"] * 5, "UNDONE", "UNSURE"]
    for _ in range(2):
        before = place.inner_text()
        page.keyboard.press("p")
        expect(place).not_to_have_text(before)
    expect(page.get_by_text("Nothing waits for you in this job.")).to_be_visible()


def test_a_tab_that_is_closed_loses_nothing_and_a_word_typed_decides_nothing(
    console: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = at_desk.page, job_of(console.rows, tmp_path / "images")
    page.goto(f"{console.url}/jobs/{job}/review")
    place = page.locator("[data-path]")
    expect(place).to_contain_text("doubt-")
    before = place.inner_text()
    page.get_by_label("Reason").fill("puff up")
    page.reload()
    expect(place).to_have_text(before)
    page.get_by_label("Reason").fill("crack")
    page.locator("[data-decide=FAIL]").click()
    expect(place).not_to_have_text(before)
    with reading(engine) as session:
        (made,) = reviews.of_job(session, job)
    assert (made.path, made.reason_code, made.blind) == (before, "crack", True)


def test_the_queue_tells_neither_score_nor_verdict_nor_what_was_drawn(
    console: Console, at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = at_desk.page, job_of(console.rows, tmp_path / "images", doubtful=1)
    with writing(engine) as session:
        samples.draw(session, jobs.get(session, job), images=3, drawn_by="test")
    with page.expect_response(re.compile("/review/take")) as answer:
        page.goto(f"{console.url}/jobs/{job}/review")
    assert set(answer.value.json()["images"][0]) == {"result", "path", "width", "height", "seen"}
    expect(page.locator("[data-open]")).to_have_text("4")


def test_a_sample_of_passed_images_tells_how_many_are_defective(
    console: Console, looked: Looked, tmp_path: Path
) -> None:
    page, job = looked.page, job_of(console.rows, tmp_path / "images", doubtful=0)
    page.goto(f"{console.url}/jobs/{job}")
    expect(page.get_by_text("Nobody knows")).to_be_visible()
    page.get_by_label("Images that passed").fill("4")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_role("link", name="Review 4 images").click()
    place = page.locator("[data-path]")
    for key in "fppp":
        expect(place).to_contain_text("pass-")
        before = place.inner_text()
        page.keyboard.press(key)
        expect(place).not_to_have_text(before)
    page.goto(f"{console.url}/jobs/{job}")
    expect(page.get_by_text("1 of these 4 are defective: 25.00% of what passes (0.63% to 80.59%")).to_be_visible()


def test_images_are_found_by_verdict_folder_and_name(console: Console, looked: Looked, tmp_path: Path) -> None:
    page, job = looked.page, job_of(console.rows, tmp_path / "images")
    page.goto(f"{console.url}/jobs/{job}/images")
    shots = page.locator(".shot")
    expect(page.get_by_text("45 images")).to_be_visible()
    page.get_by_label("Verdict").select_option("PASS")
    expect(page.get_by_text("30 images")).to_be_visible()
    page.get_by_label("Verdict").select_option("")
    page.get_by_label("Path holds").fill("BROKEN")
    expect(page.get_by_text("1 image", exact=True)).to_be_visible()
    expect(shots.first).to_contain_text("UNREADABLE")
    assert "text=BROKEN" in page.url
    page.get_by_label("Path holds").fill("no such")
    expect(page.get_by_text("No image is like that.")).to_be_visible()


def test_an_image_is_looked_at_closely_and_decided_about(
    console: Console, looked: Looked, engine: Engine, tmp_path: Path
) -> None:
    page, job = looked.page, job_of(console.rows, tmp_path / "images")
    page.goto(f"{console.url}/jobs/{job}/images?text=fail.png")
    page.locator(".shot a").click()
    picture = page.locator(".moves img")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 64)
    expect(page.get_by_role("button", name="Zoom in")).to_be_enabled()
    page.keyboard.press("+")
    expect(page.locator(".moves")).to_have_attribute("style", re.compile(r"scale\(1\.[1-9]"))
    page.get_by_role("button", name="All of it").click()
    page.get_by_role("button", name="Pass", exact=True).click()
    expect(page.locator(".heading .verdict")).to_have_text("PASS")
    with reading(engine) as session:
        (made,) = reviews.of_job(session, job)
    assert (made.path, made.blind) == ("line-2/fail.png", False)


def test_a_name_that_would_act_is_shown_as_text(console: Console, looked: Looked, tmp_path: Path) -> None:
    page, job = looked.page, job_of(console.rows, tmp_path / "images")
    for address in (f"/jobs/{job}/images?text=bold", f"/jobs/{job}/images?text=%3Cscript%3Ealert(1)%3C/script%3E"):
        page.goto(console.url + address)
        assert page.locator("main b", has_text="bold").count() == 0
        assert page.locator("main script").count() == 0
    page.goto(f"{console.url}/jobs/{job}/images?text=bold")
    page.locator(".shot a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(r"b> \u202egnp.exe\x1b[31m.png")


def test_a_file_that_was_altered_is_not_shown(console: Console, at_desk: Looked, tmp_path: Path) -> None:
    page, job = at_desk.page, job_of(console.rows, tmp_path / "images")
    draw(tmp_path / "images", "line-2/fail.png", 7)
    with page.expect_response(re.compile("small.jpg")) as answer:
        page.goto(f"{console.url}/jobs/{job}/images?text=fail.png")
    words = re.sub("<[^>]*>", " ", answer.value.text())
    assert "The file has been changed since it was inspected." in " ".join(words.split())


def test_other_limits_are_tried_without_changing_any(console: Console, looked: Looked, tmp_path: Path) -> None:
    page, job = looked.page, job_of(console.rows, tmp_path / "images")
    page.goto(f"{console.url}/jobs/{job}")
    words = page.locator(".what-if")
    expect(words).to_contain_text("REVIEW 12")
    page.get_by_role("slider", name="PASS below").focus()
    for _ in range(4):
        page.keyboard.press("PageUp")
    expect(words).to_contain_text("PASS 33")
    expect(words).to_contain_text("nothing is changed by looking")


def test_a_first_visitor_sees_what_to_do_next(console: Console, looked: Looked) -> None:
    looked.page.goto(console.url)
    expect(looked.page.get_by_role("heading", name="There is no model yet")).to_be_visible()
    expect(looked.page.get_by_text("inspectq train")).to_be_visible()


def test_a_folder_is_submitted_watched_and_inspected(
    serve: Callable[..., Console], at_desk: Looked, engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "monday"
    for number in range(40):
        draw(folder, f"{number:02}.png", 3 * number)
    with Embedded(environment=inspecting(tmp_path, engine)) as embedded:
        console = serve(embedded)
        add_random_model(engine, console.settings.models_folder)
        page = at_desk.page
        page.goto(console.url)
        page.get_by_label("Folder on this machine").fill(str(folder / "nowhere"))
        page.get_by_role("button", name="Inspect", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("There is no folder")
        at_desk.said.clear()  # the browser logs the status of a form that was refused
        page.get_by_label("Folder on this machine").fill(str(folder))
        page.get_by_role("button", name="Inspect", exact=True).click()
        expect(page.locator(".state")).to_have_text("done", timeout=60_000)
        expect(page.locator(".ledger")).to_contain_text("40")
        expect(page.locator(".histogram svg")).to_be_visible()
        page.get_by_role("link", name="All images").click()
        page.locator(".shot a").first.click()
        heat = page.get_by_role("button", name="Heat map")
        heat.click()
        expect(heat).to_have_attribute("aria-pressed", "true", timeout=60_000)
        expect(page.locator(".heat image")).to_have_attribute("href", re.compile(r"^/images/\d+/heat\.png$"))
        page.keyboard.press("h")
        expect(page.locator(".heat")).to_be_hidden()


def inspecting(home: Path, engine: Engine) -> dict[str, str]:
    """What the child that inspects is told by its environment."""
    return {
        "INSPECTQ_HOME": str(home),
        "INSPECTQ_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "INSPECTQ_DEVICE": "cpu",
    }
