"""The page says that it is live only while it is, and finds the truth again by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.conftest import Visitor
from tests.web.theatre import Theatre

RETRIED = 11_000
"""Milliseconds within which a stream that could not be opened is asked for again."""


def test_a_page_whose_server_is_gone_says_since_when(visitor: Visitor, theatre: Theatre) -> None:
    page = visitor.open("/queue")
    expect(page.locator("#liveness .lost")).to_be_hidden()
    theatre.end()
    hasten(page)
    expect(page.locator("#liveness .lost")).to_be_visible()
    expect(page.locator("#liveness .lost")).to_have_text(re.compile(r"connection lost, numbers as of \d\d:\d\d:\d\d"))
    expect(page.locator("#liveness .live")).to_be_hidden()
    theatre.begin()
    expect(page.locator("#liveness .live")).to_be_visible(timeout=20_000)


def test_it_says_so_under_reduced_motion_too(visitor: Visitor) -> None:
    visitor.page.emulate_media(reduced_motion="reduce")
    page = visitor.open("/queue")
    hasten(page)
    expect(page.locator("#liveness .lost")).to_be_visible()


def test_after_a_restart_the_page_shows_what_it_missed(visitor: Visitor, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"], name="Before")
    page = visitor.open("/queue")
    theatre.end()
    theatre.begin()
    theatre.play("start", steps=["one"], name="Meanwhile")
    expect(page.locator("#runs")).to_contain_text("Meanwhile", timeout=20_000)
    watched = visitor.dom
    assert visitor.navigations == 1
    visitor.open("/queue")
    assert visitor.dom == watched


@pytest.mark.parametrize("answer", ["none", "trouble"])
def test_a_stream_that_could_not_be_opened_is_opened_later(visitor: Visitor, theatre: Theatre, answer: str) -> None:
    asked: list[str] = []

    def fail_once(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.continue_()
        elif answer == "none":
            route.abort()
        else:
            route.fulfill(status=503, content_type="text/html", body="<h1>Not now</h1>")

    page = visitor.page
    page.clock.install()
    page.route("**/queue/stream*", fail_once)
    with page.expect_console_message(lambda message: "Failed to load" in message.text):
        page.goto(f"{visitor.url}/queue")
    expect(page.locator("#liveness")).to_have_text("connecting")
    page.clock.run_for(RETRIED)
    expect(page.locator("#liveness .live")).to_be_visible()
    theatre.play("start", steps=["one"], name="Later")
    expect(page.locator("#runs")).to_contain_text("Later")
    page.clock.run_for(5 * RETRIED)
    assert len(asked) == 2, "while there is a stream, no other is asked for"
    assert "Not now" not in page.content()
    assert len(visitor.complaints) == 1, "of the stream that could not be opened"
    visitor.complaints.clear()


def hasten(page: Page) -> None:
    """Lets the time of the liveness animation pass."""
    page.evaluate("document.getAnimations().filter(a => a.animationName != 'turn').forEach(a => a.finish())")
