"""Every page, by keyboard alone: Tab leads to whatever can be pressed, in the order of reading, and is seen to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.scenes import LOOKED_AT, SCREENS
from tests.web.theatre import Theatre

MARK_FOCUS = """
window.stops = [];
window.looks = element => {
    const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(element);
    return [outlineStyle, outlineWidth, boxShadow].join();
};
window.clipped = element => {
    const own = element.getBoundingClientRect(), outside = 2;
    for (let around = element.parentElement; around; around = around.parentElement) {
        const {overflowX, overflowY} = getComputedStyle(around), rect = around.getBoundingClientRect();
        const scrolls = around.scrollHeight > around.clientHeight || around.scrollWidth > around.clientWidth;
        if (overflowX === "visible" && overflowY === "visible" || around === document.documentElement
            || around === document.body || scrolls) continue;
        const inset = getComputedStyle(element).outlineOffset.startsWith("-") ? 0 : outside;
        if (own.top - inset < rect.top - 1 || own.left - inset < rect.left - 1
            || own.right + inset > rect.right + 1 || own.bottom + inset > rect.bottom + 1) return true;
    }
    return false;
};
const CAN_BE_PRESSED = "a[href], button:enabled, summary, input:not([type=hidden]), select";
window.pressable = () => [...document.querySelectorAll(CAN_BE_PRESSED)]
    .filter(each => each.checkVisibility({visibilityProperty: true}) && each.tabIndex >= 0);
window.told = element => element.id ? "#" + element.id
    : element.outerHTML.replace(/<path[^]*/, "").slice(0, 90);
document.addEventListener("focusin", ({target}) => stops.push({
    element: target, looks: looks(target), clipped: clipped(target), at: target.getBoundingClientRect().toJSON()}));
"""
SCROLLERS = """() => [...document.querySelectorAll("body *")].filter(each => {
    const {overflowX, overflowY} = getComputedStyle(each);
    const down = /auto|scroll/.test(overflowY) && each.scrollHeight > each.clientHeight;
    const along = /auto|scroll/.test(overflowX) && each.scrollWidth > each.clientWidth;
    return (down || along) && each.tabIndex < 0 && each.checkVisibility();
}).map(each => "scrolls, and no key reaches it: " + told(each))"""
FOUND = """() => {
    const seen = stops.map(stop => stop.element), faults = [];
    document.activeElement.blur();
    for (const {element, looks: focused, clipped, at} of stops) {
        if (focused === looks(element)) faults.push("no sign of focus: " + told(element));
        if (clipped) faults.push("the sign of focus is cut off: " + told(element));
        if (!at.width || !at.height) faults.push("nothing to be seen: " + told(element));
    }
    seen.reduce((before, after) => {
        if (!(before.compareDocumentPosition(after) & Node.DOCUMENT_POSITION_FOLLOWING))
            faults.push("out of order: " + told(after));
        return after;
    });
    for (const each of pressable()) if (!seen.includes(each)) faults.push("Tab does not lead to " + told(each));
    return faults;
}"""
PRESSABLE = "pressable().length"
ONE_ROUND = """() => {
    const again = stops.findIndex((stop, at) => at && stop.element === stops[0].element);
    if (again > 0) stops.length = again;
    return again > 0;
}"""
"""Forgets the stops of a second round; false if there was not a whole one."""


@pytest.fixture(params=SCREENS, ids=str)
def reader(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    theme, width = request.param
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 900})
    page.add_init_script(MARK_FOCUS)
    yield page
    page.close()


@pytest.mark.slow
def test_tab_leads_to_everything_and_it_shows(reader: Page, furnished: Theatre) -> None:
    faults = {}
    for path in LOOKED_AT:
        reader.goto(furnished.url + path)
        reader.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        found = _walk(reader)
        if found:
            faults[path] = found
    assert faults == {}


def _walk(page: Page) -> list[str]:
    """Presses Tab until the focus has been everywhere, and tells what is wrong with that."""
    page.locator(".skip").focus()
    for presses in (int(page.evaluate(PRESSABLE)), 10, 30):
        for _ in range(presses):
            page.keyboard.press("Tab")
        if page.evaluate(ONE_ROUND):
            return list(page.evaluate(FOUND)) + list(page.evaluate(SCROLLERS))
    return ["Tab never comes round"]


def test_what_a_mouse_does_keys_do(page: Page, furnished: Theatre) -> None:
    """Folds, filters, takes a condition away, goes on a page, leafs through a log, and starts a run."""
    page.goto(f"{furnished.url}/queue")
    fold = page.locator(".run > .fold").first
    was_open = fold.get_attribute("open") is not None
    _press(page, ".run > .fold > summary", "Enter")
    assert (fold.get_attribute("open") is not None) != was_open
    page.locator("#filter-q").focus()
    page.keyboard.type("run")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\bq=run"))
    _press(page, ".filter-chip", "Enter")
    expect(page).not_to_have_url(re.compile(r"\bq=run"))
    _press(page, "#pager a[rel=next]", "Enter")
    expect(page.locator("#pager a[rel=first]")).to_have_count(1)


def test_a_log_is_read_by_keys(page: Page, furnished: Theatre) -> None:
    page.set_viewport_size({"width": 1280, "height": 1800})  # the whole log is on the screen
    page.goto(f"{furnished.url}/jobs/1/steps/one")
    log = page.locator(".log")
    log.focus()
    page.keyboard.press("Home")
    expect(log.locator("[data-line]").first).to_be_in_viewport()
    page.keyboard.press("End")
    expect(log.locator(".log-lines > .chunk:last-child > li:last-child")).to_be_in_viewport()
    _press(page, "#job-2-log-earlier a[rel=prev]", "Enter")
    expect(page).to_have_url(re.compile(r"before="))
    _press(page, "#job-2-log-later a[rel=last]", "Enter")
    page.locator("#log-q").focus()
    page.keyboard.type("needle")
    page.keyboard.press("Enter")
    _press(page, "#job-2-log-hits a[rel=next]", "Enter")
    _press(page, "#job-2-log-hits a[rel=next]", "Enter")
    expect(page.locator("#job-2-log-hits")).to_contain_text("2 of ")
    _press(page, "#job-2-log-hits a[rel=prev]", "Enter")
    expect(page.locator("#job-2-log-hits")).to_contain_text("1 of ")


def _press(page: Page, selector: str, key: str) -> None:
    page.locator(selector).first.focus()
    page.keyboard.press(key)
