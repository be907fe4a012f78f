"""Somebody opens a page and watches a run from its start to its end, without touching anything."""

from __future__ import annotations

import random

import pytest
from playwright.sync_api import expect

from e2e.conftest import Visitor
from tests.web.theatre import Theatre


def test_a_run_appears_works_and_ends_before_ones_eyes(visitor: Visitor, theatre: Theatre) -> None:
    page = visitor.open("/queue")
    expect(page.locator("#runs-empty")).to_contain_text("Nothing has run yet.")

    theatre.play("start", steps=["import_files", "classify"], name="Classify a code base")
    expect(page.locator("#job-1")).to_be_visible()
    expect(page.locator("#job-1-fold")).to_have_attribute("open", "")
    expect(page.locator("#runs-empty")).to_be_hidden()
    expect(page.locator("#job-3")).to_contain_text("waiting for step import_files")
    expect(page.locator("#job-3-log")).to_have_count(0)

    (step_id,) = theatre.play("plan", items=["a", "b", "c"])
    visitor.follow(step_2_worker_pending="3", manager_1_worker_pending="3", all_worker_pending="3")
    expect(page.locator("#job-2-log")).to_have_attribute("open", "")

    theatre.play("claim", step_id=step_id, most=3)
    theatre.play("log", step_id=step_id, messages=[f"file {number}" for number in range(1, 9)])
    expect(page.locator("#job-2-line-8 .message")).to_have_text("file 8")

    theatre.play("save", step_id=step_id, worker_id=4, addresses=["one", "two"])
    expect(page.locator("#job-1-head")).to_contain_text("2 documents")
    theatre.play("complete", step_id=step_id, most=2)
    theatre.play("fail", step_id=step_id, most=1)
    visitor.follow(step_2_worker_completed="2", step_2_worker_failed="1", all_worker_failed="1")
    expect(page.locator("#job-2")).to_have_attribute("data-status", "completed")
    expect(page.locator("#job-2-head")).to_contain_text("1 of 3 failed")

    (second,) = theatre.play("plan", items=["d"])
    expect(page.locator("#job-3")).to_have_attribute("data-status", "running")
    expect(page.locator("#job-3-log")).to_have_attribute("open", "")
    theatre.play("claim", step_id=second)
    theatre.play("complete", step_id=second)
    expect(page.locator("#job-1")).to_have_attribute("data-status", "completed")
    expect(page.locator("#announcement")).to_contain_text("completed")
    assert page.title() == "Queue: Stepglass"
    assert visitor.navigations == 1


def test_watching_asks_for_nothing(visitor: Visitor, theatre: Theatre) -> None:
    """One stream brings it all, however many work items there are, and nothing more when the run is over."""
    page = visitor.open("/queue")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=[f"item {number}" for number in range(1_000)])
    theatre.play("claim", step_id=step_id, most=1_000)
    theatre.play("log", step_id=step_id, messages=["a line"] * 500)
    theatre.play("complete", step_id=step_id, most=1_000)
    theatre.play("log", step_id=step_id, messages=["an afterword"])
    visitor.follow(step_2_worker_completed="1,000", all_worker_completed="1,000")
    visitor.caught_up()
    assert [url for url in asked if "/static/icons/" not in url] == []


def test_the_title_of_the_tab_tells_the_state(visitor: Visitor, theatre: Theatre) -> None:
    page = visitor.open("/queue")
    theatre.play("start", steps=["one"])
    theatre.play("plan", items=["a"])
    expect(page).to_have_title("1 running: Stepglass")
    theatre.play("cancel", manager_id=1)
    expect(page).to_have_title("Queue: Stepglass")


@pytest.mark.parametrize(
    "path",
    [
        "/queue",
        "/jobs/1",
        "/jobs/1/log",
        "/jobs/1/steps/one",
        "/jobs/1/steps/one?level=warn",
        "/jobs/1/steps/one?q=7",
        "/jobs",
        "/jobs?kind=worker&status=completed",
        "/jobs/4",
        "/jobs?kind=worker&failure=boom",
        "/documents",
        "/documents?manager_id=1",
    ],
)
def test_the_page_that_was_watched_is_the_page_loaded_anew(visitor: Visitor, theatre: Theatre, path: str) -> None:
    """Bursts of every kind of change, then the DOM that the stream made against the DOM of a fresh load."""
    random.seed(path)
    theatre.play("start", steps=["one", "two"])
    (step_id,) = theatre.play("plan", items=[f"item {number}" for number in range(60)])
    visitor.open(path)
    steps = [step_id]
    for burst in range(12):
        lines = [f"line\n{number}" for number in range(random.choice([1, 3, 7, 120, 700]))]
        for step in steps:
            theatre.play("claim", step_id=step, most=random.randint(1, 9))
            theatre.play("log", step_id=step, messages=lines)
            theatre.play("complete", step_id=step, most=random.randint(0, 6))
            theatre.play("fail", step_id=step, most=random.randint(0, 2))
            addresses = [f"file:/{random.randint(1, 99)}" for _ in range(random.randint(0, 20))]
            theatre.play("save", step_id=step, worker_id=4, addresses=addresses)
        if burst % 4 == 1:
            theatre.play("start", steps=["one"], name=f"Run {burst}")
            steps += theatre.play("plan", items=["x", "y"])
        if burst == 9:
            theatre.play("cancel", manager_id=1)
    theatre.play("log", step_id=step_id, messages=["the end"], worker_id=4)
    theatre.play("save", step_id=step_id, worker_id=4, addresses=["the end"])  # concerns every one of these pages
    visitor.caught_up()
    watched = visitor.dom
    assert visitor.navigations == 1
    visitor.open(path)
    assert visitor.dom == watched


def test_many_runs_push_the_oldest_off_the_page(visitor: Visitor, theatre: Theatre) -> None:
    page = visitor.open("/queue")
    for number in range(23):
        theatre.play("start", steps=["one"], name=f"Run {number}")
    expect(page.locator("#runs")).to_have_attribute("data-total", "23")
    expect(page.locator("#runs > .run")).to_have_count(20)
    expect(page.locator("#runs > .run").first).to_contain_text("Run 22")
    expect(page.locator("#pager a")).to_have_attribute("href", "/queue?cursor=7&newest=45")


def test_the_log_on_the_page_stays_short_however_long_it_is(visitor: Visitor, theatre: Theatre) -> None:
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["a"])
    page = visitor.open("/queue")
    for number in range(40):
        theatre.play("log", step_id=step_id, messages=[f"line {number}.{part}" for part in range(3)])
    expect(page.locator("#job-2-lines")).to_have_attribute("data-total", "120")
    shown = page.locator("#job-2-lines [data-line]")
    assert [each.get_attribute("data-line") for each in shown.all()] == [str(n) for n in range(111, 121)]
