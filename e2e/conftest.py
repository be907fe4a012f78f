"""A browser before a stage: tests move the queue, and look at the page that nobody reloads."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.web.theatre import Theatre

WATCH_FOR_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
    event => console.error("violation: " + event.violatedDirective + " " + event.blockedURI));
"""

NORMALISED = """() => {
    const copy = document.documentElement.cloneNode(true);
    copy.querySelectorAll("#liveness, [hx-sse\\\\:connect]").forEach(element => element.remove());
    for (const element of copy.querySelectorAll("*")) {
        element.removeAttribute("open");
        element.removeAttribute("data-htmx-powered");
    }
    copy.querySelector("body").removeAttribute("data-revision");
    copy.normalize();
    return copy.outerHTML.replace(/\\s*\\n\\s*/g, "");
}"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium, otherwise the one that Playwright installed."""
    return {
        **browser_type_launch_args,
        "executable_path": shutil.which("chromium"),
        "args": ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    }


class Visitor:
    """A page, how often it was loaded, and what the browser complained about."""

    def __init__(self, page: Page, theatre: Theatre) -> None:
        self.page, self.theatre = page, theatre
        self.navigations = 0
        self.complaints: list[str] = []
        page.add_init_script(WATCH_FOR_VIOLATIONS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("framenavigated", self._count)

    def open(self, path: str) -> Page:
        """Opens the page and waits until it says that it is live."""
        self.page.goto(self.theatre.url + path)
        expect(self.page.locator("#liveness .live")).to_have_text("live")
        return self.page

    def follow(self, **counts: str) -> None:
        """Waits until counts read so: follow(all_worker_completed="3")."""
        for name, value in counts.items():
            expect(self.page.locator(f"#count-{name.replace('_', '-')} data")).to_have_text(value)

    @property
    def dom(self) -> str:
        return str(self.page.evaluate(NORMALISED))

    def caught_up(self) -> None:
        """Waits until the page shows the latest revision."""
        fresh = self.theatre.html(re.sub(r"^https?://[^/]*", "", self.page.url))
        revision = re.search(r'<body data-revision="(\d+)"', fresh)
        assert revision
        expect(self.page.locator("#view")).to_have_attribute("data-revision", revision.group(1))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "ERR_" not in message.text:
            self.complaints.append(message.text)

    def _count(self, frame: Any) -> None:
        self.navigations += frame == self.page.main_frame


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    with Theatre(tmp_path) as running:
        yield running


@pytest.fixture
def visitor(page: Page, theatre: Theatre) -> Iterator[Visitor]:
    """Somebody who watches, and who must not see a complaint of the browser."""
    visitor = Visitor(page, theatre)
    yield visitor
    assert visitor.complaints == []


@pytest.fixture
def without_javascript(browser: Browser) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()
