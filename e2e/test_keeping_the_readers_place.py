"""Whatever happens in the queue, what the reader holds stays where it is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import Visitor
from tests.web.theatre import Theatre


@pytest.fixture
def step_id(theatre: Theatre) -> int:
    theatre.play("start", steps=["one", "two"])
    (step_id,) = theatre.play("plan", items=[f"item {number}" for number in range(20)])
    theatre.play("log", step_id=step_id, messages=[f"line {number}" for number in range(400)])
    return int(step_id)


def much_happens(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    for number in range(5):
        theatre.play("claim", step_id=step_id, most=2)
        theatre.play("complete", step_id=step_id, most=1)
        theatre.play("fail", step_id=step_id, most=1)
        theatre.play("log", step_id=step_id, messages=["more"] * 3)
        theatre.play("start", steps=["one"], name=f"New {number}")
    visitor.caught_up()


def test_what_was_folded_stays_folded(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open("/queue")
    page.locator("#job-2-log > summary").click()
    expect(page.locator("#job-2-log")).not_to_have_attribute("open", "")
    much_happens(visitor, theatre, step_id)
    expect(page.locator("#job-2-log")).not_to_have_attribute("open", "")
    theatre.play("cancel", manager_id=1)
    expect(page.locator("#job-1")).to_have_attribute("data-status", "cancelled")
    expect(page.locator("#job-1-fold")).to_have_attribute("open", "")
    expect(page.locator("#job-2-log")).not_to_have_attribute("open", "")


def test_a_row_folds_and_only_its_links_lead_away(visitor: Visitor, step_id: int) -> None:
    page = visitor.open("/queue")
    for part in ("#job-1 .badge", "#job-1-progress", "#job-2-head .type", "#job-2-lines"):
        page.locator(part).first.click()
    page.locator("#job-1-summary").click()
    expect(page.locator("#job-1-fold")).not_to_have_attribute("open", "")
    assert visitor.navigations == 1
    page.locator("#job-1-head h3 a").click()
    expect(page).to_have_url(f"{visitor.url}/jobs/1")


def test_the_focus_stays_where_it_is(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open("/queue")
    page.locator("#count-step-2-worker-pending").focus()
    much_happens(visitor, theatre, step_id)
    visitor.follow(step_2_worker_pending="10")
    assert page.evaluate("document.activeElement.id") == "count-step-2-worker-pending"


def test_a_half_typed_filter_is_kept_even_through_a_restart(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open("/queue")
    page.locator("#filter-q").press_sequentially("half ty")
    much_happens(visitor, theatre, step_id)
    theatre.end()
    theatre.begin()
    theatre.play("start", steps=["one"], name="After the restart")
    expect(page.locator("#runs")).to_contain_text("After the restart")
    expect(page.locator("#filter-q")).to_have_value("half ty")
    expect(page.locator("#filter-q")).to_be_focused()


def test_selected_text_stays_selected(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open("/queue")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#job-2-head .name bdi'))")
    much_happens(visitor, theatre, step_id)
    assert page.evaluate("getSelection().toString()") == "one"


def test_the_log_follows_its_end_until_the_reader_scrolls_up(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open("/jobs/1/steps/one")
    page.locator("#job-2-log .log").evaluate("element => element.scrollIntoView({block: 'end'})")
    theatre.play("log", step_id=step_id, messages=["the newest line"])
    expect(page.get_by_text("the newest line")).to_be_in_viewport()

    page.locator("#job-2-log .log").evaluate("element => element.scrollTop = -600")
    before = top_of(page, "#L370")
    theatre.play("log", step_id=step_id, messages=["a newer line"] * 20)
    expect(page.locator("#L421")).to_have_count(1)
    expect(page.locator("#L421")).not_to_be_in_viewport()
    assert abs(top_of(page, "#L370") - before) < 2


def test_new_runs_above_do_not_move_what_the_reader_looks_at(visitor: Visitor, theatre: Theatre, step_id: int) -> None:
    page = visitor.open("/queue")
    for number in range(8):
        theatre.play("start", steps=["one", "two", "three"], name=f"Earlier {number}")
    visitor.caught_up()
    page.locator("#job-1").scroll_into_view_if_needed()
    before = top_of(page, "#job-1")
    assert page.evaluate("scrollY") > 0
    much_happens(visitor, theatre, step_id)
    assert abs(top_of(page, "#job-1") - before) < 2


def top_of(page: Page, selector: str) -> float:
    return float(page.locator(selector).evaluate("element => element.getBoundingClientRect().top"))
