"""Somebody reads a log: follows it, searches it, and passes a line on to somebody else."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import Visitor
from tests.web.theatre import Theatre

STEP = "/jobs/1/steps/one"


@pytest.fixture
def step_id(theatre: Theatre) -> int:
    """A step with 1,000 lines; every hundredth is a warning with a needle in it."""
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["a"])
    for hundred in range(10):
        theatre.play("log", step_id=step_id, messages=[f"line {hundred * 100 + n}" for n in range(1, 100)])
        theatre.play("log", step_id=step_id, messages=["a needle"], level="warn")
    return int(step_id)


def test_new_lines_and_all_totals_arrive_without_a_reload(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open(STEP)
    theatre.play("log", step_id=step_id, messages=["a new needle"], level="error")
    expect(page.locator("#L1001 .message")).to_have_text("a new needle")
    for level, number in (("all", "1,001"), ("info", "1,001"), ("warn", "11"), ("error", "1")):
        expect(page.locator(f"#job-2-log-{level} data")).to_have_text(number)
    assert visitor.navigations == 1


def test_a_search_stays_live(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open(f"{STEP}?q=needle&level=warn")
    expect(page.locator("#job-2-log-hits")).to_contain_text("10 lines with")
    theatre.play("log", step_id=step_id, messages=["hay", "another needle"], level="warn")
    expect(page.locator("#L1002 mark")).to_have_text("needle")
    expect(page.locator("#job-2-log-hits")).to_contain_text("11 lines with")
    expect(page.locator("#L1001")).to_have_count(0)


def test_a_half_typed_search_is_kept_while_lines_arrive(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open(STEP)
    page.locator("#log-q").press_sequentially("half ty")
    theatre.play("log", step_id=step_id, messages=["more"] * 300)
    visitor.caught_up()
    expect(page.locator("#log-q")).to_have_value("half ty")
    expect(page.locator("#log-q")).to_be_focused()


def test_a_link_to_a_line_shows_that_line(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open(f"{STEP}?level=warn")
    page.locator("#L300 .number").click()
    expect(page).to_have_url(re.compile(r"\?line=300#L300$"))
    line = page.locator("#L300")
    expect(line).to_be_in_viewport()
    assert line.evaluate("line => line.matches(':target')")
    plain = page.locator("#L301").evaluate("line => getComputedStyle(line).backgroundColor")
    assert line.evaluate("line => getComputedStyle(line).backgroundColor") != plain


def test_a_window_in_the_middle_starts_at_its_top_and_stays_there(
    visitor: Visitor, theatre: Theatre, step_id: int
) -> None:
    page = visitor.open(f"{STEP}?after=200")
    page.locator("#job-2-log .log").evaluate("log => log.scrollIntoView({block: 'start'})")
    expect(page.locator("#L201")).to_be_in_viewport()
    theatre.play("log", step_id=step_id, messages=["more"] * 20)
    visitor.caught_up()
    expect(page.locator("#L201")).to_be_in_viewport()
    expect(page.locator("#job-2-log-all data")).to_have_text("1,020")


def test_a_group_that_was_opened_stays_open(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    theatre.play("log", step_id=step_id, messages=["::group::Install", "inside", "::endgroup::"])
    page = visitor.open(STEP)
    expect(page.locator("#L1002")).to_be_hidden()
    page.locator("#L1001 .message").click()
    expect(page.locator("#L1002")).to_be_visible()
    theatre.play("log", step_id=step_id, messages=["more"])
    expect(page.locator("#L1004")).to_have_count(1)
    expect(page.locator("#L1002")).to_be_visible()


def test_a_group_is_filled_before_ones_eyes(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    theatre.play("log", step_id=step_id, messages=["::group::Tests"])
    page = visitor.open(STEP)
    theatre.play("log", step_id=step_id, messages=["\x1b[32mpassed\x1b[0m"])
    expect(page.locator("#L1001-group #L1002 .ink-2")).to_have_text("passed")
    expect(page.locator("#L1002")).to_be_visible()
    theatre.play("log", step_id=step_id, messages=["::endgroup::", "after"])
    expect(page.locator("#L1004")).to_be_visible()
    watched = visitor.dom
    visitor.open(STEP)
    assert visitor.dom == watched


def test_a_log_is_read_and_searched_without_scripts(without_javascript: Page, theatre: Theatre, step_id: int) -> None:
    page = without_javascript
    page.goto(theatre.url + STEP)
    page.get_by_role("link", name="Earlier", exact=True).click()
    expect(page.locator("#L251")).to_have_count(1)
    page.get_by_role("link", name="Start", exact=True).click()
    expect(page.locator("#L1")).to_be_visible()
    page.get_by_role("link", name="End", exact=True).click()
    page.get_by_role("link", name="warn or above").click()
    expect(page.locator("#job-2-lines")).to_have_attribute("data-total", "10")
    page.get_by_label("Text to search for in this log").fill("needle")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Go through them in place").click()
    page.get_by_role("link", name="Next match").click()
    expect(page.locator("#job-2-log-hits")).to_contain_text("2 of 10 lines with")
    expect(page.locator("#L200")).to_be_in_viewport()
    page.get_by_role("link", name="Do not wrap").click()
    expect(page.locator(".log.unwrapped")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download these lines").click()
    assert download.value.suggested_filename == "stepglass-2-log.txt"
