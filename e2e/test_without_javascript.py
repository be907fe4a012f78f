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
    page.get_by_text("Start a run", exact=True).click()
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
