"""The page says that it is live only while it is, and finds the truth again by itself."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from e2e.conftest import Visitor
from tests.web.theatre import Theatre


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


def hasten(page: Page) -> None:
    """Lets the time of the liveness animation pass."""
    page.evaluate("document.getAnimations().filter(a => a.animationName != 'turn').forEach(a => a.finish())")
