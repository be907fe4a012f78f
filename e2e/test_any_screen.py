"""Every page fits every screen, in both themes, and can be used by keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from e2e.scenes import LOOKED_AT, PATHS, SCREENS
from tests.stepglass import Server, serving
from tests.web.theatre import Theatre

ANSWERS = {
    422: """<form method=post action=/jobs><input name=definition value=trial><button>ask</button></form>""",
    409: """<form method=post action=/jobs><input name=definition value=trial>
        <input name=parameter.folder value=here><button>ask</button></form>""",
    404: """<form method=post action=/jobs/999/cancellation><button>ask</button></form>""",
    405: """<form method=post action=/jobs/1/log><button>ask</button></form>""",
    500: """<form method=post action=/stage/trouble enctype=text/plain><input name='{"of":"' value='ours"}'>
        <button>ask</button></form>""",
}
"""Pages that answer a form which asks for what cannot be."""


@pytest.fixture(params=SCREENS, ids=str)
def screen(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    theme, width = request.param
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 900})
    yield page
    page.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The whole server, in which nothing has run."""
    with serving(tmp_path_factory.mktemp("empty")) as server:
        yield server


def test_no_page_is_wider_than_the_screen(page: Page, furnished: Theatre) -> None:
    for path in PATHS:
        page.goto(furnished.url + path)
        for width in (360, 768, 3840):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)


@pytest.mark.slow
def test_no_page_breaks_a_rule_of_accessibility(screen: Page, furnished: Theatre) -> None:
    for path in LOOKED_AT:
        screen.goto(furnished.url + path)
        _keeps_the_rules(screen, path)


def test_no_answer_to_a_form_breaks_a_rule_of_accessibility(screen: Page, furnished: Theatre) -> None:
    for status, form in ANSWERS.items():
        screen.goto(f"{furnished.url}/nowhere")
        screen.locator("main").evaluate("(main, form) => main.innerHTML = form", form)
        with screen.expect_navigation() as navigation:
            screen.get_by_role("button", name="ask").click()
        assert navigation.value.status == status
        _keeps_the_rules(screen, str(status))
        assert screen.get_by_role("main").get_by_role("link").count() > 0


def test_the_page_of_the_api_and_an_empty_queue_break_no_rule_of_accessibility(screen: Page, empty: Server) -> None:
    screen.goto(f"{empty.url}/schema")
    _keeps_the_rules(screen, "/schema")
    assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth")
    screen.goto(f"{empty.url}/queue")
    _keeps_the_rules(screen, "a queue in which nothing has run")


def test_the_first_key_leads_past_the_header(page: Page, furnished: Theatre) -> None:
    page.goto(f"{furnished.url}/queue")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def _keeps_the_rules(page: Page, what: str) -> None:
    """Looks at everything on the page, what is folded included."""
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, f"{what}\n{found.generate_report()}"
