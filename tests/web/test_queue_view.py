"""The queue page: what it shows under every filter, where its pages begin and end, what it says of the last minutes."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from app.queue.records import MinuteRecord
from app.web.painting.throughput import Throughput
from tests.web.conftest import Pages
from tests.web.test_pages import Elements, seen

RUN = re.compile(r'<li id="job-(\d+)" class="run"')


def runs_on(pages: Pages, path: str) -> list[int]:
    return [int(each) for each in RUN.findall(pages.get(path).text)]


def link(html: str, text: str) -> str:
    """The address of the link with that text in it."""
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>[^<]*{text}', html)
    assert found, text
    return unescape(found.group(1))


@pytest.fixture
def three_runs(pages: Pages) -> Pages:
    pages.play("start", steps=["one"], name="Nightly import", definition="import", tags=["nightly", "data"])
    pages.play("start", steps=["one"], name="Hand import", definition="import", tags=["data"])
    pages.play("start", steps=["one"], name="Nightly report", definition="report", tags=["nightly"])
    pages.play("cancel", manager_id=1)
    return pages


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [5, 3, 1]),
        ("?status=cancelled", [1]),
        ("?definition=import", [3, 1]),
        ("?tag=nightly", [5, 1]),
        ("?q=IMPORT", [3, 1]),
        ("?q=%25", []),
        ("?from=2020-01-01", [5, 3, 1]),
        ("?to=2020-01-01T12:00", []),
        ("?tag=data&q=nightly&status=cancelled&definition=import&from=2020-01-01T00:00", [1]),
        ("?status=&definition=&tag=&q=&from=&to=", [5, 3, 1]),
    ],
)
def test_a_filter_shows_what_matches_and_says_how_many(three_runs: Pages, query: str, found: list[int]) -> None:
    html = three_runs.get(f"/queue{query}").text
    assert [int(each) for each in RUN.findall(html)] == found
    assert f'<ol id="runs" class="runs" data-total="{len(found)}"' in html
    counted = re.search(r'<h2 id="runs-caption".*?href="([^"]*)"><data class="count" value="(\d+)"', html)
    assert counted and int(counted.group(2)) == len(found)
    behind = seen(three_runs, unescape(counted.group(1)))
    assert [each["data-total"] for each in behind.having("data-total")] == [str(len(found))]


def test_each_condition_of_a_filter_can_be_taken_away(three_runs: Pages) -> None:
    page = three_runs.get("/queue?tag=data&q=import&status=cancelled&from=2020-01-01T00:00&to=2090-01-01").text
    chips = [unescape(each) for each in re.findall(r'class="filter-chip" href="([^"]*)"', page)]
    assert len(chips) == 5
    given = {"tag", "q", "status", "from", "to"}
    taken_away = [given - set(parse_qs(urlsplit(chip).query)) for chip in chips]
    assert all(len(each) == 1 for each in taken_away)
    assert set().union(*taken_away) == given
    assert 'value="data"' in page and 'value="2020-01-01T00:00"' in page


@pytest.mark.parametrize("query", ["from=yesterday", "to=2020-13-01", "from=0", "newest=x", "from=9999-99-99T99:99"])
def test_a_condition_that_makes_no_sense_is_refused(pages: Pages, query: str) -> None:
    answer = pages.get(f"/queue?{query}", headers={"accept": "text/html"})
    assert answer.status_code == 400
    assert "to the queue" in answer.text


def test_pages_neither_skip_nor_repeat_while_runs_start(pages: Pages) -> None:
    started = [pages.play("start", steps=["one"], name=f"Run {number}", tags=["x"]) for number in range(45)]
    found, path = [], "/queue?tag=x"
    while path:
        html = pages.get(path).text
        found += [int(each) for each in RUN.findall(html)]
        following = re.search(r'href="([^"]*)" rel="next"', html)
        path = unescape(following.group(1)) if following else ""
        pages.play("start", steps=["one"], name="New", tags=["x"])
    assert found == sorted(started, reverse=True)


def test_new_runs_wait_behind_a_link_when_the_reader_asks_for_it(pages: Pages) -> None:
    first = pages.play("start", steps=["one"], name="First")
    held = link(pages.get("/queue").text, "Hold this list")
    assert "Held: new runs will wait here." in seen(pages, held).text
    second, third = (pages.play("start", steps=["one"], name=name) for name in ("Second", "Third"))
    html = pages.get(held).text
    assert [int(each) for each in RUN.findall(html)] == [first]
    assert 'data-total="3"' in html  # the number is that of the filter, whatever is held back
    assert runs_on(pages, link(html, "2 new runs")) == [third, second, first]


def test_an_older_page_says_how_many_runs_are_new(pages: Pages) -> None:
    for number in range(21):
        pages.play("start", steps=["one"], name=f"Run {number}")
    older = link(pages.get("/queue").text, "Next page")
    assert "new run" not in seen(pages, older).text
    before = runs_on(pages, older)
    pages.play("start", steps=["one"], name="New")
    assert runs_on(pages, older) == before
    assert link(pages.get(older).text, "1 new run") == "/queue"


def test_what_ended_in_the_last_minutes_is_drawn_and_told(pages: Pages) -> None:
    assert "None has ended yet." in seen(pages, "/queue").text
    pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["a", "b", "c"])
    pages.play("claim", step_id=step_id, most=3)
    pages.play("complete", step_id=step_id, most=2)
    pages.play("fail", step_id=step_id)
    chart = pages.get("/fragments/throughput").text
    assert chart in pages.get("/queue").text
    assert "2 work items completed and 1 failed from" in chart
    assert {"class": "failed"}.items() <= Elements(chart).having("d")[1].items()


def test_the_bars_of_the_last_minutes_are_to_scale() -> None:
    chart = Throughput((MinuteRecord(0, 3, 1), MinuteRecord(1, 0, 0), MinuteRecord(2, 1, 0), MinuteRecord(3, 400, 0)))
    assert (chart.completed, chart.failed, chart.most) == (404, 1, 400)
    assert chart.completed_path == "M0 31v-1h6v1zM16 32v-1h6v1zM24 32v-32h6v32z"
    assert chart.failed_path == "M0 32v-1h6v1z"


@pytest.mark.parametrize(
    ("ending", "icon", "title"),
    [
        ("", "running", "1 running"),
        ("cancel", "calm", "Queue"),
        ("fail", "failed", "1 failed"),
        ("complete", "completed", "Queue"),
    ],
)
def test_the_tab_tells_the_state_by_icon_and_title(pages: Pages, ending: str, icon: str, title: str) -> None:
    assert 'href="/static/icons/calm.svg"' in pages.get("/queue").text
    pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["a"])
    pages.play("claim", step_id=step_id)
    if ending == "cancel":
        pages.play("cancel", manager_id=1)
    elif ending:
        pages.play(ending, step_id=step_id)
    for path in ("/queue", "/jobs/1", "/jobs/1/steps/one"):
        html = pages.get(path).text
        assert re.findall(r'<link id="icon" [^>]*href="([^"]*)"', html) == [f"/static/icons/{icon}.svg"], path
    assert f">{title}: Stepglass</title>" in pages.get("/queue").text
    assert pages.get(f"/static/icons/{icon}.svg").headers["content-type"] == "image/svg+xml"


def test_older_runs_are_told_in_brief_and_failures_never(pages: Pages) -> None:
    for name in ("Oldest", "Older", "Newest"):
        pages.play("start", steps=["good", "bad"], name=name, depends=False)
        good, bad = pages.play("plan", items=["a", "b"])
        for step_id in (good, bad):
            pages.play("claim", step_id=step_id, most=2)
        pages.play("complete", step_id=good, most=2)
        pages.play("fail", step_id=bad, most=2)
    html = pages.get("/queue").text
    assert [f'id="job-{step}-log"' in html for step in (2, 3, 16)] == [False, True, True]
    assert {each["data-status"] for each in Elements(html).having("data-status") if each.get("id") == "job-2"} == {
        "completed"
    }
