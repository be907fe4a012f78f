"""A page that is printed shows what the screen only shows by scrolling."""

from __future__ import annotations

from e2e.conftest import Visitor
from tests.web.theatre import Theatre


def test_a_printed_log_has_all_its_lines(visitor: Visitor, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["a"])
    theatre.play("log", step_id=step_id, messages=[f"said {number}" for number in range(120)])
    page = visitor.open(f"/jobs/{step_id}")
    log = page.locator(".log")
    hidden = "element => element.scrollHeight - element.clientHeight"
    assert log.evaluate(hidden) > 0
    page.emulate_media(media="print")
    assert log.evaluate(hidden) <= 0
    assert page.locator(".line").count() == 120
    assert not page.get_by_role("button", name="Search").is_visible()
