"""Everything works without scripts: links, filters, forms, and a page that refreshes itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.web.theatre import Theatre


def test_the_page_refreshes_itself(without_javascript: Page, theatre: Theatre) -> None:
    page = without_javascript
    page.goto(f"{theatre.url}/queue")
    expect(page.locator(".liveness").filter(visible=True)).to_have_text("refreshes every 5 s")
    theatre.play("start", steps=["one"], name="Seen after a refresh")
    expect(page.locator("#runs")).to_contain_text("Seen after a refresh", timeout=15_000)


def test_a_run_is_started_found_and_cancelled(without_javascript: Page, theatre: Theatre) -> None:
    page = without_javascript
    page.goto(f"{theatre.url}/queue")
    page.get_by_role("link", name="Start a run").click()
    page.get_by_role("link", name="Trial").click()
    page.get_by_label("folder").fill("somewhere")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("h1")).to_contain_text("Trial #1")
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator(".verdict")).to_contain_text("cancelled by a person")
    page.goto(f"{theatre.url}/queue")
    page.locator("#filter-status").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#runs-empty")).to_contain_text("No run matches this filter.")


@pytest.mark.parametrize("name", ["total", "failed"])
def test_a_number_leads_to_its_list(without_javascript: Page, theatre: Theatre, name: str) -> None:
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["a", "b", "c"])
    theatre.play("claim", step_id=step_id, most=2)
    theatre.play("fail", step_id=step_id, most=2)
    page = without_javascript
    page.goto(f"{theatre.url}/queue")
    number = page.locator(f"#job-2-tally .{name}")
    value = number.locator("data").get_attribute("value")
    number.click()
    expect(page.locator("#jobs")).to_have_attribute("data-total", str(value))
    expect(page.locator("#jobs > li")).to_have_count(int(str(value)))


def test_the_number_of_documents_leads_to_them_and_on_to_who_made_them(
    without_javascript: Page, theatre: Theatre
) -> None:
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["a"])
    (worker_id,) = theatre.play("claim", step_id=step_id)
    theatre.play("save", step_id=step_id, worker_id=worker_id, addresses=["file:/x", "file:/y"])
    page = without_javascript
    page.goto(f"{theatre.url}/queue")
    page.locator("#job-1-head .documents").click()
    expect(page.locator("#documents > li")).to_have_count(2)
    page.locator("#documents").get_by_role("link", name="a", exact=True).first.click()
    expect(page.locator(".item-documents h2")).to_have_text("Documents 2 made")


def test_filters_are_set_and_each_condition_taken_away(without_javascript: Page, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"], name="Nightly", tags=["night"])
    theatre.play("start", steps=["one"], name="Nightly too", tags=["night"])
    theatre.play("start", steps=["one"], name="Daily")
    theatre.play("cancel", manager_id=1)
    page = without_javascript
    page.goto(f"{theatre.url}/queue")
    page.locator("#filter-q").fill("nightly")
    page.locator("#filter-status").select_option("cancelled")
    page.locator("#more-filters > summary").click()
    page.get_by_label("Tag").fill("night")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#runs > .run")).to_have_count(1)
    for condition, number in (("cancelled", 2), ("tagged night", 2), ("named", 3)):
        page.locator(".filter-chip").filter(has_text=condition).click()
        expect(page.locator("#runs")).to_have_attribute("data-total", str(number))
    page.get_by_text("Hold this list").click()
    theatre.play("start", steps=["one"], name="The newest")
    expect(page.locator("#news")).to_contain_text("1 new run", timeout=15_000)
    expect(page.locator("#runs > .run")).to_have_count(3)
    page.get_by_role("link", name="1 new run").click()
    expect(page.locator("#runs > .run")).to_have_count(4)


def test_runs_are_leafed_through(without_javascript: Page, theatre: Theatre) -> None:
    for number in range(22):
        theatre.play("start", steps=["one"], name=f"Run {number}")
    page = without_javascript
    page.goto(f"{theatre.url}/queue")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#runs > .run")).to_have_count(2)
    page.get_by_role("link", name="First page").click()
    expect(page.locator("#runs > .run")).to_have_count(20)


def test_one_goes_from_a_run_to_the_error_of_a_work_item(without_javascript: Page, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["good", "bad"])
    theatre.play("claim", step_id=step_id, most=2)
    theatre.play("log", step_id=step_id, worker_id=4, messages=["about to fail", "a needle"])
    theatre.play("complete", step_id=step_id)
    theatre.play("fail", step_id=step_id, error="out of luck")
    page = without_javascript
    page.goto(f"{theatre.url}/jobs/1")
    page.locator("#job-1-failures").get_by_role("link", name="bad").click()
    expect(page.locator(".attempt")).to_contain_text("out of luck")
    expect(page.locator(".attempt pre")).to_contain_text("Traceback")
    expect(page.locator("#job-4-data")).to_contain_text('"name": "bad"')
    expect(page.locator("#job-4-lines")).to_have_attribute("data-total", "3")
    page.get_by_label("Text to search for in this log").fill("needle")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#job-4-log-hits")).to_contain_text("1 line with")
    page.get_by_role("link", name="Clear the search").click()
    page.get_by_role("link", name="error", exact=False).filter(has=page.locator("data")).click()
    expect(page.locator("#job-4-lines")).to_have_attribute("data-total", "1")
    page.get_by_role("link", name="Log of the run").click()
    expect(page.locator("#job-1-lines")).to_have_attribute("data-total", "4")
