"""Does axe find a serious fault on any page, at a desk or on a telephone, in light or dark?"""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.web.conftest import Console, Looked
from tests.web.test_journey import job_of
from tests.web.test_models import judged_model

PAGES = {
    "/jobs": "Jobs",
    "/jobs/1": "Job 1",
    "/jobs/1/images": "Images",
    "/jobs/1/review": "Review of job 1",
    "/images/1": "gnp.exe",
    "/images/14": "broken.png",
    "/nothing": "This does not work",
}


def serious(page: Page) -> list[str]:
    """What axe says is serious or critical: the rule, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:120]} ({node.get('failureSummary', '')[:200]})"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def test_a_fault_would_be_found(console: Console, looked: Looked) -> None:
    looked.page.goto(console.url + "/jobs")
    looked.page.locator("main").evaluate("main => main.append(document.createElement('button'))")
    assert [fault.partition(":")[0] for fault in serious(looked.page)] == ["button-name"]


def test_no_serious_fault_on_a_page_about_a_job(console: Console, looked: Looked, tmp_path: Path) -> None:
    job_of(console.rows, tmp_path / "images")
    for path, heading in PAGES.items():
        looked.page.goto(console.url + path)
        expect(looked.page.get_by_role("heading", level=1)).to_contain_text(heading)
        assert serious(looked.page) == [], path
    looked.said.clear()  # of the page that is not there the browser logs the status


@pytest.mark.parametrize("path", ["/models", "/models/1", "/jobs"])
def test_no_serious_fault_on_a_page_about_models(console: Console, looked: Looked, tmp_path: Path, path: str) -> None:
    judged_model(console.rows, tmp_path)
    looked.page.goto(console.url + path)
    assert serious(looked.page) == []
