"""What does the console look like? Pictures of the real thing, for the README.

    make screenshots WEIGHTS=resnet18.pth
    python -m tests.web.screenshots OUT WEIGHTS

Photographs are drawn, a model is trained on them from WEIGHTS (imagenet, none, or a file), a folder is submitted by the
form, and images are decided about by keys. OUT gets the pictures.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from console.servers import free_port

INSPECTQ = Path(sys.executable).parent / "inspectq"
WIDE, NARROW, HEIGHT = 1280, 390, 860
FOLDER = Path(tempfile.gettempdir()) / "images"  # stands in the pictures
COLOURS = 255  # of a palette: a page has few, and our photographs are grey


def main(out: str, weights: str) -> None:
    """Walk through the console and take the pictures."""
    place = Path(out).absolute()
    place.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"INSPECTQ_HOME": str(FOLDER / "home"), "INSPECTQ_WEB_PORT": str(free_port(8080))}
    FOLDER.mkdir()  # never one that is somebody's
    try:
        _make_model(environment, weights)
        with _served(environment) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            _walk(browser, url, place)
            browser.close()
    finally:
        shutil.rmtree(FOLDER)


def _make_model(environment: dict[str, str], weights: str) -> None:
    photographs = str(FOLDER / "photographs")
    _typed(environment, "sample", photographs, "--images", "800")
    _typed(environment, "train", photographs, "--weights", weights, "--name", "photographs-1")
    _typed(environment, "models", "approve", "photographs-1")
    limits = ("--pass-below", "0.2", "--fail-from", "0.75")
    point = _typed(environment, "threshold", "propose", "photographs-1", *limits, "--format", "json")
    number = re.search(r'"operating_point": (\d+)', point)
    assert number is not None, point
    _typed(environment, "threshold", "approve", number[1], "--by", "A. Keller", "--reason", "agreed for the trial")
    (FOLDER / "photographs" / "incoming").rename(FOLDER / "monday")


def _walk(browser: Browser, url: str, place: Path) -> None:
    wide = browser.new_page(viewport={"width": WIDE, "height": HEIGHT}, color_scheme="light")
    _submit(wide, url)
    _take(wide, place / "job.png")
    job = wide.url
    wide.goto(f"{job}/images?verdict=FAIL&folder=line-1")
    wide.locator(".shot a").first.click()
    heat = wide.get_by_role("button", name="Heat map")
    heat.click()
    expect(heat).to_have_attribute("aria-pressed", "true", timeout=120_000)
    wide.mouse.move(0, 0)
    wide.evaluate("scrollTo(0, 0)")
    _take(wide, place / "image.png")
    narrow = browser.new_page(viewport={"width": NARROW, "height": HEIGHT}, color_scheme="dark")
    narrow.goto(f"{job}/review")
    _decide(narrow)
    _take(narrow, place / "review.png")


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
        server.wait(60)


def _submit(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("details.submit").evaluate("form => { form.open = true }")
    page.get_by_label("Folder on this machine").fill(str(FOLDER / "monday"))
    page.get_by_label("Sample of passed images").fill("20")
    page.get_by_role("button", name="Inspect", exact=True).click()
    expect(page.locator(".state")).to_have_text("done", timeout=300_000)
    expect(page.get_by_role("link", name=re.compile("Review .* images"))).to_be_visible(timeout=60_000)
    expect(page.locator(".histogram svg")).to_be_visible(timeout=60_000)


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
