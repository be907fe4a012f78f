"""Pieces of Stepglass in the pages of other sites: of those that were named, and of no others."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.web.theatre import Theatre

DOCUMENT = Path(__file__).parent.parent / "docs" / "fragments.md"


class OtherSite:
    """A site of one page and one script."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, str]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = site.files.get(self.path, ("text/plain", ""))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @cached_property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[OtherSite]:
    site = OtherSite()
    yield site
    site.close()


def test_the_example_of_the_documentation_works(page: Page, site: OtherSite, tmp_path: Path) -> None:
    with Theatre(tmp_path, embedding_sites=[site.url]) as theatre:
        theatre.play("start", steps=["one"], name="Embedded")
        site.files["/htmx.min.js"] = ("text/javascript", theatre.html("/static/vendor/htmx-4.0.1.min.js"))
        site.files["/"] = ("text/html", _example(theatre, site))
        page.goto(site.url)
        expect(page.locator("#run")).to_contain_text("Embedded")
        expect(page.locator("#numbers .count[data-kind=manager][data-status=all]")).to_have_text("1")
        expect(page.locator("#run h3 a")).to_have_attribute("href", f"{theatre.url}/jobs/1")
        theatre.play("cancel", manager_id=1)
        expect(page.locator("#run .run")).to_have_attribute("data-status", "cancelled", timeout=15_000)
        assert _told(page, f"{theatre.url}/queue") == "refused"


def test_a_site_that_was_not_named_reads_nothing(page: Page, site: OtherSite, theatre: Theatre) -> None:
    site.files["/"] = ("text/html", "<p>hello")
    page.goto(site.url)
    assert _told(page, f"{theatre.url}/fragments/statistics") == "refused"


def _told(page: Page, url: str) -> str:
    return str(page.evaluate("url => fetch(url).then(answer => answer.text(), error => 'refused')", url))


def _example(theatre: Theatre, site: OtherSite) -> str:
    (example,) = re.findall(r"```html\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(example).replace("http://127.0.0.1:8000", theatre.url).replace("https://intranet.example", site.url)
