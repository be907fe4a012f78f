"""Every page fits every screen, in both themes, and can be used by keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.web.theatre import Theatre

LONG = "a/rather/long/path/" * 12 + "averylongnamewithoutanyplacetobreakit" * 4
PATHS = ["/queue", "/jobs/1", "/jobs/1/steps/one", "/jobs", "/jobs/4", "/nowhere"]
PATHS += ["/jobs/1/log", "/jobs/1/steps/one?q=path&line=2#L2", "/jobs/1/steps/one?level=warn&wrap=off"]
PATHS += ["/documents", "/documents?step_id=2", "/jobs?kind=worker&failure=0"]


@pytest.fixture
def theatre_with_long_names(theatre: Theatre) -> Theatre:
    theatre.play("start", steps=["one", "two"], name=LONG)
    (step_id,) = theatre.play("plan", items=[LONG, "short"])
    theatre.play("claim", step_id=step_id, most=2)
    theatre.play("log", step_id=step_id, messages=[LONG, "warned"], level="warn")
    coloured = [f"\x1b[{face}mface {face}\x1b[0m" for face in (1, 2, 31, 33, 36, 92, 97, 44, "38;5;17", "38;5;230")]
    theatre.play("log", step_id=step_id, messages=["::group::Install", *coloured, "::endgroup::"])
    theatre.play("save", step_id=step_id, worker_id=4, addresses=[LONG, "file:/short"])
    theatre.play("fail", step_id=step_id, error=LONG)
    return theatre


@pytest.fixture(params=["light", "dark"])
def themed(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(color_scheme=request.param)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("width", [360, 768, 3840])
def test_no_page_is_wider_than_the_screen(page: Page, theatre_with_long_names: Theatre, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in PATHS:
        page.goto(theatre_with_long_names.url + path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_no_page_breaks_a_rule_of_accessibility(themed: Page, theatre_with_long_names: Theatre) -> None:
    for path in PATHS:
        themed.goto(theatre_with_long_names.url + path)
        themed.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        found = Axe().run(themed)
        assert found.violations_count == 0, f"{path}\n{found.generate_report()}"


def test_the_first_key_leads_past_the_header(page: Page, theatre: Theatre) -> None:
    page.goto(f"{theatre.url}/queue")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
