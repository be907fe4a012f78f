"""The page of a run: when its steps ran, what failed and how often, what was slow, what waits for what."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.queue.records import Counts, RunRecord, StepRecord
from app.queue.status import Status
from app.web.painting.timeline import KNOWN_WIDTH, THINNEST, WIDTH, Timeline
from tests.web.conftest import Pages
from tests.web.test_pages import seen


def step(status: str, started_at: float | None = None, finished_at: float | None = None) -> StepRecord:
    return StepRecord(
        2,
        1,
        1,
        "one",
        "trial",
        "",
        (),
        "fail",
        False,
        Status(status),
        "",
        Counts(),
        True,
        0,
        0,
        0.0,
        started_at,
        finished_at,
    )


def run(status: str, *steps: StepRecord, **times: Any) -> RunRecord:
    times = {"created_at": 0.0, "started_at": 100.0, "finished_at": None, **times}
    return RunRecord(1, "trial", "Trial", Status(status), "", (), (), steps=steps, **times)


def test_a_run_that_is_over_is_drawn_to_scale() -> None:
    steps = step("completed", 100.0, 150.0), step("failed", 150.0, 200.0), step("skipped", None, 200.0)
    first, second, third = Timeline(run("failed", *steps, finished_at=200.0)).bars
    assert (first.x, first.width, second.x, second.width) == (0, 500, 500, 500)
    assert not third.has_run


def test_a_run_that_was_retried_is_drawn_from_its_first_step_on() -> None:
    steps = step("completed", 100.0, 150.0), step("completed", 150.0, 300.0)
    first, second = Timeline(run("completed", *steps, started_at=250.0, finished_at=300.0)).bars
    assert (first.x, first.width, second.x, second.width) == (0, 250, 250, 750)


def test_what_is_still_running_reaches_into_the_time_since() -> None:
    first, second = Timeline(run("running", step("completed", 100.0, 150.0), step("running", 200.0))).bars
    assert (first.x, first.width) == (0, KNOWN_WIDTH // 2)
    assert second.x == KNOWN_WIDTH
    assert second.x + second.width == WIDTH


@pytest.mark.parametrize("finished_at", [100.0, 99.0])
def test_a_run_without_duration_is_drawn_too(finished_at: float) -> None:
    (bar,) = Timeline(run("completed", step("completed", 100.0, 100.0), finished_at=finished_at)).bars
    assert (bar.x, bar.width) == (0, THINNEST)


def test_a_run_that_has_not_started_is_drawn_too() -> None:
    (bar,) = Timeline(run("pending", step("pending"), started_at=None)).bars
    assert not bar.has_run


@pytest.fixture
def failing(pages: Pages) -> Pages:
    """A run whose first step failed five of six times, in two ways; the last failure was a refusal."""
    pages.play("start", steps=["fetch", "index"])
    (step_id,) = pages.play("plan", items=[f"page {number}" for number in range(6)])
    pages.play("claim", step_id=step_id, most=6)
    for seconds in range(4):
        pages.play("fail", step_id=step_id, error=f"no answer after {seconds} s")
    pages.play("fail", step_id=step_id, error="refused")
    pages.play("complete", step_id=step_id)
    return pages


def test_failures_are_grouped_by_what_they_say_the_newest_first(failing: Pages) -> None:
    html = failing.get("/jobs/1").text
    groups = re.findall(r'<li id="[^"]*" class="failure-group">(.*?)</li>', html, re.DOTALL)
    assert [re.findall(r'value="(\d+)"', group) for group in groups] == [["1"], ["4"]]
    assert "refused" in groups[0]
    assert "no answer after 3 s" in groups[1]
    assert re.findall(r'href="/jobs/(\d+)"><bdi>(page \d)', groups[1]) == [("7", "page 3"), ("4", "page 0")]


def test_without_failures_nothing_is_said_of_them(pages: Pages) -> None:
    pages.play("start", steps=["one"])
    html = pages.get("/jobs/1").text
    assert re.search(r'<section id="job-1-failures"[^>]* hidden>', html)
    assert re.search(r'<section id="job-1-slowest"[^>]* hidden>', html)


def test_at_most_ten_slowest_work_items_are_listed(failing: Pages) -> None:
    failing.play("start", steps=["one"], name="Another")
    steps = failing.play("plan", items=[f"item {number}" for number in range(12)])
    for step_id in steps:
        failing.play("claim", step_id=step_id, most=12)
        failing.play("complete", step_id=step_id, most=12)
    assert failing.get("/jobs/1").text.count('class="slow-item"') == 10
    assert failing.get("/jobs/10").text.count('class="slow-item"') == 10


def test_a_step_says_what_it_waits_for(failing: Pages) -> None:
    failing.play("start", steps=["one", "two"], name="Another")
    page = failing.get("/jobs/10").text
    assert '<span class="after">after <bdi>one</bdi></span>' in page
    assert "waiting for step one" in page


def test_the_timeline_leads_to_every_step(failing: Pages) -> None:
    timeline = failing.get("/fragments/jobs/1/timeline").text
    assert timeline in failing.get("/jobs/1").text
    assert re.findall(r'<li><a href="([^"]*)"', timeline) == ["/jobs/1/steps/fetch", "/jobs/1/steps/index"]
    assert re.search(r'role="img" aria-label="completed, from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d"', timeline)


def test_the_page_shows_how_it_was_started(failing: Pages) -> None:
    text = seen(failing, "/jobs/1").text
    assert "Without parameters." in text
    assert "[step.x]" in text
