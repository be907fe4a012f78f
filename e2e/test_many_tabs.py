"""Many tabs of one browser, all of them visible, share its six connections."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import Visitor
from tests.web.theatre import Theatre


@pytest.mark.slow
def test_six_visible_tabs_are_current_and_leave_room_for_clicks(visitor: Visitor, theatre: Theatre) -> None:
    manager_id = theatre.play("start", steps=["one"], name="The first")
    (step_id,) = theatre.play("plan", items=[f"item {number}" for number in range(20)])
    tabs = [visitor.page, *(visitor.page.context.new_page() for _ in range(5))]
    for tab, path in zip(
        tabs, ("/queue", "/queue", f"/jobs/{manager_id}", "/jobs", "/queue?q=first", "/queue"), strict=True
    ):
        tab.goto(theatre.url + path)
        expect(tab.locator("#liveness .live")).to_have_text("live")
    for number in range(1, 4):
        theatre.play("claim", step_id=step_id, most=1)
        theatre.play("complete", step_id=step_id, most=1)
        for tab in tabs[:3]:
            expect(tab.locator(f"#count-step-{step_id}-worker-completed data")).to_have_text(str(number))
        theatre.play("start", steps=["one"], name=f"Another first {number}")
        for tab in tabs:
            if "/jobs/" not in tab.url:
                expect(tab.locator("main")).to_contain_text(f"Another first {number}")
    tabs[0].get_by_role("link", name="All jobs", exact=True).click()
    expect(tabs[0].locator("main")).to_contain_text("Another first 3")
    seventh: Page = visitor.page.context.new_page()
    seventh.goto(f"{theatre.url}/queue")
    expect(seventh.locator("#liveness .live")).to_have_text("live")
    theatre.play("start", steps=["one"], name="The last")
    for tab in (*tabs[:2], *tabs[3:4], tabs[5], seventh):
        expect(tab.locator("main")).to_contain_text("The last")
