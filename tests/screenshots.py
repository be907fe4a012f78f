"""Takes the pictures of the documentation, of a real run on this machine's Python library: `make screenshots`.

One picture per page, theme and width, in docs/pictures; the README shows docs/queue.png.
"""

from __future__ import annotations

import re
import shutil
import sysconfig
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stepglass import Server, serving

DOCS = Path(__file__).parent.parent / "docs"
WIDTHS = {1440: 900, 360: 740}
THEMES = ("light", "dark")
SOME_HUNDRED = re.compile(r"^([3-9]\d\d|\d,\d\d\d)$")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        source = Path(folder) / "python"
        shutil.copytree(sysconfig.get_path("stdlib"), source, ignore=shutil.ignore_patterns("site-packages", "test"))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with serving(Path(folder) / "data") as server:
            _mid_run(server, browser, source)
            _pages(server, browser)
        browser.close()


def _mid_run(server: Server, browser: Browser, source: Path) -> None:
    """The queue page while files are classified."""
    _start(server, "test_job_generator", slow_delay_ms=40)
    page = _page(browser, "light", 1440)
    page.goto(f"{server.url}/queue")
    started = _start(server, "codebase_classify", folder=str(source))
    classifying = page.locator(f"#job-{started + 3}[data-status=running]")
    expect(classifying.locator("data.count[data-status=completed]")).to_have_text(SOME_HUNDRED, timeout=60_000)
    page.screenshot(path=DOCS / "queue.png")
    page.context.close()
    _wait_for(server, started)


def _wait_for(server: Server, job_id: int) -> None:
    """Until the run is over."""
    while httpx.get(f"{server.url}/api/jobs/{job_id}").json()["status"] in ("pending", "running"):
        time.sleep(0.2)


def _pages(server: Server, browser: Browser) -> None:
    """Every page at rest, in both themes and widths."""
    pictures = DOCS / "pictures"
    pictures.mkdir(exist_ok=True)
    assessed = _start(server, "codebase_assess", folder=str(DOCS.parent / "app"))
    for job_id in (1, assessed):
        _wait_for(server, job_id)
    (failed,) = httpx.get(f"{server.url}/api/jobs?kind=worker&status=failed&limit=1").json()["jobs"]
    (graph,) = httpx.get(f"{server.url}/api/documents?source_type=dependency_graph").json()["documents"]
    paths = {
        "queue": "/queue",
        "run": "/jobs/1",
        "step": "/jobs/1/steps/high_volume",
        "log": "/jobs/1/log",
        "item": f"/jobs/{failed['id']}",
        "jobs": "/jobs?kind=worker",
        "assessment": f"/jobs/{assessed}",
        "documents": "/documents?q=queue",
        "document": f"/documents/{graph['id']}",
        "definitions": "/definitions",
        "definition": "/definitions/codebase_assess",
        "retry": "/jobs/1/retries/new",
        "rerun": "/jobs/1/reruns/new",
        "deletion": "/jobs/1/deletion/new",
        "pauses": "/pauses",
        "system": "/system",
        "error": "/jobs/999999",
    }
    for theme in THEMES:
        for width in WIDTHS:
            page = _page(browser, theme, width)
            for name, path in paths.items():
                page.goto(f"{server.url}{path}")
                page.screenshot(path=pictures / f"{name}-{theme}-{width}.png")
            page.context.close()


def _page(browser: Browser, theme: str, width: int) -> Page:
    size = {"width": width, "height": WIDTHS[width]}
    return browser.new_context(viewport=size, color_scheme=theme).new_page()  # type: ignore[arg-type]


def _start(server: Server, definition: str, **parameters: object) -> int:
    answer = httpx.post(f"{server.url}/api/jobs", json={"definition": definition, "parameters": parameters})
    answer.raise_for_status()
    return int(answer.json()["job_id"])


if __name__ == "__main__":
    main()
