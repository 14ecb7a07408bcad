"""What does the console look like? Pictures of the real thing, for the README.

    make screenshots
    python -m tests.web.screenshots FOLDER OUT

FOLDER is one that `inspectq demo` has made, and is changed: limits are approved in it, a job is submitted by the form,
and images are decided about by keys. OUT gets the pictures.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from console.servers import free_port

INSPECTQ = Path(sys.executable).parent / "inspectq"
WIDE, NARROW = 1280, 390
HEIGHT = 860
COLOURS = 128  # of a palette: a page has few, and a photograph of ours is grey


def main(folder: str, out: str) -> None:
    """Walk through the console and take the pictures."""
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    home = Path(folder).absolute()
    environment = os.environ | {"INSPECTQ_HOME": str(home / "home"), "INSPECTQ_WEB_PORT": str(free_port(8080))}
    limits = ("--pass-below", "0.15", "--fail-from", "0.7")
    point = _typed(environment, "threshold", "propose", "photographs-1", *limits, "--format", "json")
    number = re.search(r'"operating_point": (\d+)', point)
    assert number is not None, point
    _typed(environment, "threshold", "approve", number[1], "--by", "A. Keller", "--reason", "agreed for the trial run")
    with _served(environment) as url, sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        wide = browser.new_page(viewport={"width": WIDE, "height": HEIGHT}, color_scheme="light")
        _submit(wide, url, home / "photographs" / "incoming")
        _take(wide, place / "job.png")
        wide.get_by_role("link", name="All images").click()
        wide.locator(".shot a").first.click()
        heat = wide.get_by_role("button", name="Heat map")
        heat.click()
        expect(heat).to_have_attribute("aria-pressed", "true", timeout=120_000)
        _take(wide, place / "image.png")
        wide.goto(f"{url}/models/1")
        expect(wide.locator("img").last).to_have_js_property("complete", True)
        _take(wide, place / "model.png")
        narrow = browser.new_page(viewport={"width": NARROW, "height": HEIGHT}, color_scheme="dark")
        narrow.goto(f"{url}/jobs/2/review")
        _decide(narrow)
        _take(narrow, place / "review.png")
        browser.close()


def _typed(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run([INSPECTQ, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def _served(environment: dict[str, str]) -> Iterator[str]:
    server = subprocess.Popen([INSPECTQ, "web"], env=environment, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    said = server.stderr.readline()
    found = re.search(r"http://\S+(?=/)", said)
    assert found is not None, said
    try:
        yield found[0]
    finally:
        server.terminate()
        server.wait()


def _submit(page: Page, url: str, folder: Path) -> None:
    page.goto(url)
    page.locator("summary", has_text="Inspect a folder").click()
    page.get_by_label("Folder on this machine").fill(str(folder))
    page.get_by_label("Sample of passed images").fill("20")
    page.get_by_role("button", name="Inspect", exact=True).click()
    expect(page.locator(".state")).to_have_text("done", timeout=300_000)
    expect(page.locator(".histogram svg")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Review .* images"))).to_be_visible(timeout=60_000)


def _decide(page: Page) -> None:
    place = page.locator("[data-path]")
    for key in "pfpfu":
        expect(page.locator("[data-decide=PASS]")).to_be_enabled()
        before = place.inner_text()
        page.keyboard.press(key)
        expect(place).not_to_have_text(before)
    expect(page.locator("[data-picture]")).to_have_js_property("complete", True)


def _take(page: Page, file: Path) -> None:
    page.screenshot(path=file)
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
