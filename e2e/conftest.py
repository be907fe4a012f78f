"""A browser before a stage: tests move the queue, and look at the page that nobody reloads."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from e2e.scenes import furnish
from tests import chromium
from tests.databases import put_new_file
from tests.web.theatre import Theatre

WATCH_FOR_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
    event => console.error("violation: " + event.violatedDirective + " " + event.blockedURI));
"""

LEFT_OUT = r"#liveness, [hx-sse\:connect]"
"""Elements that say how the page is kept, not what it shows."""
NORMALISED = """leftOut => {
    const copy = document.documentElement.cloneNode(true);
    copy.querySelectorAll(leftOut).forEach(element => element.remove());
    for (const element of copy.querySelectorAll("*")) {
        element.removeAttribute("open");
        element.removeAttribute("data-htmx-powered");
    }
    copy.querySelector("body").removeAttribute("data-revision");
    copy.normalize();
    const html = copy.outerHTML.replace(/\\s*\\n\\s*/g, "").replace(/></g, ">\\n<");
    return [location.href, document.title, html].join("\\n");
}"""
"""All that a page shows, one element in a line. What is open belongs to the reader; all else is compared, attribute by
attribute."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_type_launch_args, **chromium.OPTIONS}


SHOW_AS = """state => {
    Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
    Object.defineProperty(document, "hidden", {value: state === "hidden", configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


class CuttingProxy:
    """Hands bytes to and fro, until it is told to cut every connection."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        cut, self._open = self._open, []
        for each in cut:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads.pop(0).join()
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:
                return
            back = socket.create_connection(("127.0.0.1", self._behind))
            self._open += [front, back]
            for source, target in ((front, back), (back, front)):
                self._threads.append(threading.Thread(target=self._hand_on, args=(source, target)))
                self._threads[-1].start()

    @staticmethod
    def _hand_on(source: socket.socket, target: socket.socket) -> None:
        with source, suppress(OSError):
            while chunk := source.recv(65_536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_RDWR)


class Visitor:
    """A page, how often it was loaded, and what the browser complained about."""

    def __init__(self, page: Page, theatre: Theatre, url: str | None = None) -> None:
        self.page, self.theatre, self.url = page, theatre, url or theatre.url
        self.navigations = 0
        self.complaints: list[str] = []
        page.add_init_script(WATCH_FOR_VIOLATIONS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("framenavigated", self._count)

    def open(self, path: str) -> Page:
        """Opens the page and waits until it says that it is live."""
        self.page.goto(self.url + path)
        expect(self.page.locator("#liveness .live")).to_have_text("live")
        return self.page

    def follow(self, **counts: str) -> None:
        """Waits until counts read so: follow(all_worker_completed="3")."""
        for name, value in counts.items():
            expect(self.page.locator(f"#count-{name.replace('_', '-')} data")).to_have_text(value)

    def is_as_loaded_anew(self) -> None:
        """Compares what the page shows with what a fresh load of its address shows."""
        watched = self.dom.splitlines()
        self.open(self.page.url.removeprefix(self.url))
        assert self.dom.splitlines() == watched

    @property
    def dom(self) -> str:
        return str(self.page.evaluate(NORMALISED, LEFT_OUT))

    def caught_up(self) -> None:
        """Waits until the page shows the latest revision."""
        fresh = self.theatre.html(re.sub(r"^https?://[^/]*", "", self.page.url))
        revision = re.search(r'<body data-revision="(\d+)"', fresh)
        assert revision
        expect(self.page.locator("#view")).to_have_attribute("data-revision", revision.group(1), timeout=15_000)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "ERR_" not in message.text:
            self.complaints.append(message.text)

    def _count(self, frame: Any) -> None:
        self.navigations += frame == self.page.main_frame


def until_watched_by(theatre: Theatre, page: Page, number: int) -> None:
    """Waits until so many streams are open."""
    for _ in range(200):
        if theatre.play("watchers") == number:
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"there are {theatre.play('watchers')} streams, not {number}")


def show_as(page: Page, state: str) -> None:
    """Tells the page that its tab is "hidden", or "visible" again."""
    page.evaluate(SHOW_AS, state)


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    put_new_file(tmp_path)
    with Theatre(tmp_path) as running:
        yield running


@pytest.fixture
def proxy(theatre: Theatre) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(int(theatre.url.rpartition(":")[2]))
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """A server whose queue has something of everything. Tests read it, and move nothing in it."""
    with Theatre(tmp_path_factory.mktemp("furnished")) as theatre:
        furnish(theatre)
        yield theatre


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
