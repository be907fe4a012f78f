"""The page keeps up, whatever lies between it and the server: hidden tabs, proxies that cut, readers who hold it."""

from __future__ import annotations

import re

from playwright.sync_api import Request, expect

from e2e.conftest import CuttingProxy, Visitor, show_as, until_watched_by
from tests.web.theatre import Theatre


def test_a_hidden_tab_costs_nothing_and_is_true_when_it_is_shown(visitor: Visitor, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"], name="Before")
    page = visitor.open("/queue")
    show_as(page, "hidden")
    until_watched_by(theatre, page, 0)
    for number in range(5):
        theatre.play("start", steps=["one"], name=f"Meanwhile {number}")
    reads = theatre.play("reads")
    theatre.play("start", steps=["one"], name="The last")
    assert theatre.play("reads") == reads
    expect(page.locator("#runs")).not_to_contain_text("Meanwhile")
    show_as(page, "visible")
    expect(page.locator("#runs > .run")).to_have_count(7, timeout=2_000)
    watched = visitor.dom
    assert visitor.navigations == 1
    visitor.open("/queue")
    assert visitor.dom == watched


def test_a_proxy_that_cuts_connections_makes_no_difference(
    visitor: Visitor, theatre: Theatre, proxy: CuttingProxy
) -> None:
    theatre.play("start", steps=["one", "two"])
    (step_id,) = theatre.play("plan", items=[f"item {number}" for number in range(12)])
    visitor.page.goto(f"{proxy.url}/queue")
    page = visitor.page
    expect(page.locator("#liveness .live")).to_have_text("live")
    for number in range(4):
        theatre.play("claim", step_id=step_id, most=3)
        proxy.cut()
        theatre.play("complete", step_id=step_id, most=3)
        theatre.play("log", step_id=step_id, messages=[f"line {number}.{part}" for part in range(4)])
        expect(page.locator("#count-step-2-worker-completed data")).to_have_text(str(3 * number + 3), timeout=15_000)
    visitor.caught_up()
    watched = visitor.dom
    assert visitor.navigations == 1
    visitor.page.goto(f"{proxy.url}/queue")
    expect(page.locator("#liveness .live")).to_have_text("live")
    assert visitor.dom == watched
    visitor.complaints = [each for each in visitor.complaints if "htmx:sse:error" not in each]


def test_the_icon_of_the_tab_is_swapped_by_the_stream(visitor: Visitor, theatre: Theatre) -> None:
    icons: list[str] = []

    def hear(request: Request) -> None:
        if "/static/icons/" in request.url:
            icons.append(re.sub(r".*/|\\.svg$", "", request.url))

    visitor.page.on("request", hear)
    page = visitor.open("/queue")
    expect(page.locator("#icon")).to_have_attribute("href", "/static/icons/calm.svg")
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["a"])
    expect(page.locator("#icon")).to_have_attribute("href", "/static/icons/running.svg")
    theatre.play("claim", step_id=step_id)
    theatre.play("fail", step_id=step_id)
    expect(page.locator("#icon")).to_have_attribute("href", "/static/icons/failed.svg")
    expect(page).to_have_title("1 failed: Stepglass")
    assert page.locator("head > #icon").count() == 1
    assert page.locator("link[rel=icon]").count() == 1
    assert visitor.navigations == 1


def test_a_held_list_stands_still_and_offers_what_is_new(visitor: Visitor, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"], name="First")
    page = visitor.open("/queue")
    page.get_by_text("Hold this list").click()
    expect(page.locator("#liveness .live")).to_have_text("live")
    for number in range(3):
        theatre.play("start", steps=["one"], name=f"New {number}")
    expect(page.locator("#news")).to_have_text("3 new runs")
    expect(page.locator("#runs > .run")).to_have_count(1)
    expect(page.locator("#runs")).to_have_attribute("data-total", "4")
    page.get_by_role("link", name="3 new runs").click()
    expect(page.locator("#runs > .run")).to_have_count(4)


def test_filters_are_set_and_taken_away(visitor: Visitor, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"], name="Nightly", tags=["night"])
    theatre.play("start", steps=["one"], name="Daily")
    page = visitor.open("/queue")
    page.locator("#more-filters > summary").click()
    page.get_by_label("Tag").fill("night")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#runs > .run")).to_have_count(1)
    theatre.play("start", steps=["one"], name="Nightly again", tags=["night"])
    expect(page.locator("#runs > .run")).to_have_count(2)
    page.get_by_role("link", name="tagged night").click()
    expect(page.locator("#runs > .run")).to_have_count(3)
    assert "tag=" not in page.url
