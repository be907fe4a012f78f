"""Schedules on the pages and in the API: when next, what became of the last ticks, run now, pause and resume."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from app.main import create_app
from app.queue.database import Database
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.store.schedules import deal_with_tick, set_schedule
from app.queue.ticks import Cron, Due
from app.queue.writer import Writer
from app.settings import Settings
from tests.stepglass import definitions

NEW_YEAR = Cron("0 3 1 1 *", "Europe/Berlin")
SCHEDULED = """
id = "{id}"
enabled = {enabled}
[parameters.many]
type = "integer"
[schedule]
cron = "0 3 1 1 *"
time_zone = "Europe/Berlin"
missed = "skip"
parameters = {{ many = 2 }}
[step.work]
type = "test_job_generator"
worker_count = "{{many}}"
log_count = 1
log_delay_ms = 0
failure_rate = 0
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TestClient[Any]]:
    """A definition with a schedule, two ticks of which have passed; one that is disabled; and some without."""
    folder = definitions(tmp_path / "definitions")
    (folder / "yearly.toml").write_text(SCHEDULED.format(id="yearly", enabled="true"))
    (folder / "off.toml").write_text(SCHEDULED.format(id="off", enabled="false"))
    (tmp_path / "data").mkdir()
    asyncio.run(_two_ticks(tmp_path / "data"))
    settings = Settings(data=tmp_path / "data", definitions=(folder,))
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        client.follow_redirects = False
        yield client


async def _two_ticks(data: Path) -> None:
    database = Database.in_directory(data)
    bring_up_to_date(database)
    writer = Writer(database, lambda _: None)
    first = next(NEW_YEAR.ticks(time.time() - 3 * 366 * 86_400))
    second, third = (next(NEW_YEAR.ticks(first)), next(NEW_YEAR.ticks(time.time())))
    await writer(set_schedule, "yearly", NEW_YEAR, first)
    plan = RunPlan("yearly", "yearly", (StepPlan("work", "gone"),))
    await writer(deal_with_tick, "yearly", first, Due(first, second, True), plan, NEW_YEAR.stamp(first))
    away = Due(second, third, False, "the definition is <b>off</b>")
    await writer(deal_with_tick, "yearly", second, away, None, NEW_YEAR.stamp(second))
    await writer.close()
    database.close()


def test_the_page_says_when_next_in_its_own_time_zone_and_what_became_of_the_last_ticks(site: TestClient[Any]) -> None:
    page = site.get("/definitions/yearly").text
    year = int(NEW_YEAR.stamp(next(NEW_YEAR.ticks(time.time())))[:4])
    for each in range(3):
        assert f'<time datetime="{year + each}-01-01T03:00:00+01:00"' in page
    assert "<code><bdi>0 3 1 1 *</bdi></code>" in page
    assert "what was missed is skipped" in page
    assert 'href="/jobs/1">started run 1</a>' in page
    assert "no run: <bdi>the definition is &lt;b&gt;off&lt;/b&gt;</bdi>" in page


def test_the_list_shows_the_next_and_the_last_time(site: TestClient[Any]) -> None:
    page = site.get("/definitions").text
    assert page.count("<strong><bdi>At 03:00 on ") == 2
    assert "no run: <bdi>the definition is &lt;b&gt;off" in page
    assert 'aria-label="Pause the schedule of yearly"' in page


def test_a_run_says_that_a_schedule_started_it(site: TestClient[Any]) -> None:
    for address in ("/jobs/1", "/queue"):
        assert re.search(r'by schedule, for <time datetime="\d{4}-01-01T03:00:00\+01:00"', site.get(address).text)


def test_run_now_is_the_normal_start_with_the_parameters_of_the_schedule(site: TestClient[Any]) -> None:
    page = site.get("/definitions/yearly").text
    form = re.search(r'<form method="post" action="/jobs">(<input type="hidden".*?)<button', page)
    assert form
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[1]))
    assert fields == {"definition": "yearly", "parameter.many": "2"}
    site.post("/jobs/1/cancellation")
    answer = site.post("/jobs", data=fields)
    assert answer.status_code == 303, answer.text
    assert "by schedule" not in site.get(answer.headers["location"]).text
    (started,) = site.get(f"/api{answer.headers['location']}/actions").json()["actions"]
    assert (started["who"], started["verb"], started["said"]) == ("a person at the page", "start", "started it")
    assert 'action="/jobs"' not in site.get("/definitions/off").text


def test_it_is_paused_and_resumed_by_forms(site: TestClient[Any]) -> None:
    answer = site.post("/definitions/yearly/schedule/pause")
    assert (answer.status_code, answer.headers["location"]) == (303, "/definitions/yearly")
    page = site.get("/definitions/yearly").text
    assert "<dt>Paused</dt>" in page
    assert "by a person at the page" in page
    assert "<dt>Next</dt>" not in page
    assert 'action="/definitions/yearly/schedule/resumption"' in page
    assert site.post("/definitions/yearly/schedule/pause").status_code == 303
    site.post("/definitions/yearly/schedule/resumption")
    page = site.get("/definitions/yearly").text
    assert "<dt>Next</dt>" in page
    assert "<dt>Paused</dt>" not in page


def test_who_did_what_to_a_definition_and_the_queue_is_shown(site: TestClient[Any]) -> None:
    """On its own page, and of everything on that of the system; of others nothing."""
    ann = {"x-stepglass-actor": "ann%20%3Cb%3E"}
    site.post("/definitions/yearly/schedule/pause", headers=ann)
    site.delete("/api/definitions/yearly/schedule/pause")
    site.post("/pauses", data={"definition": "yearly"}, headers=ann)
    site.post("/api/queue/pause")
    site.post("/definitions/yearly/switch", data={"enabled": "no"})
    site.post("/api/definitions/yearly/switch", json={"enabled": True})
    site.post("/definitions/quick/switch", data={"enabled": "no"})
    page = site.get("/definitions/yearly").text
    assert "definition yearly is paused by <bdi>ann &lt;b&gt;</bdi>" in page
    done = re.findall(r'data-verb="(\w+)">.*?<bdi class="who">(.*?)</bdi> <bdi>(.*?)</bdi>', page)
    assert done == [
        ("enable", "the API", "enabled definition yearly"),
        ("disable", "a person at the page", "disabled definition yearly"),
        ("pause", "ann &lt;b&gt;", "paused definition yearly"),
        ("resume", "the API", "resumed the schedule of definition yearly"),
        ("pause", "ann &lt;b&gt;", "paused the schedule of definition yearly"),
    ]
    system = site.get("/system").text
    everything = re.findall(r'<bdi class="who">.*?</bdi> <bdi>(.*?)</bdi>', system)
    assert len(everything) == 7
    assert everything[0] == "disabled definition quick" and "paused the queue" in everything
    site.delete("/api/queue/pause")
    site.delete("/api/definitions/yearly/pause")
    assert "is paused by" not in site.get("/definitions/yearly").text


def test_a_definition_without_a_schedule_shows_none(site: TestClient[Any]) -> None:
    assert 'class="schedule"' not in site.get("/definitions/quick").text


def test_a_definition_that_became_invalid_still_shows_its_schedule(site: TestClient[Any], tmp_path: Path) -> None:
    site.get("/definitions")
    (tmp_path / "definitions" / "yearly.toml").write_text('id = "yearly"\n[schedule]\ncron = "99 * * * *"\n')
    page = site.get("/definitions/yearly").text
    assert "is not a cron expression (Bad minute)" in page
    assert "<code><bdi>0 3 1 1 *</bdi></code>" in page


def test_a_schedule_that_is_added_is_there_at_once(site: TestClient[Any], tmp_path: Path) -> None:
    text = SCHEDULED.format(id="quick", enabled="true")
    (tmp_path / "definitions" / "quick.toml").write_text(text)
    assert "<dt>Next</dt>" in site.get("/definitions/quick").text
    assert site.post("/api/definitions/quick/schedule/pause").status_code == 202


def test_programs_read_schedules(site: TestClient[Any]) -> None:
    answer = site.get("/api/schedules").json()
    assert answer["total"] == 2
    off, yearly = sorted(answer["schedules"], key=lambda each: each["definition"])
    assert off["last"] is None
    assert yearly["next_at"].endswith("-01-01T02:00:00Z")
    assert (yearly["cron"], yearly["time_zone"], yearly["missed"]) == ("0 3 1 1 *", "Europe/Berlin", "skip")
    assert yearly["parameters"] == {"many": "2"}
    assert (yearly["last"]["outcome"], yearly["last"]["reason"]) == ("skipped", "the definition is <b>off</b>")


def test_programs_pause_and_resume_and_hear_why_not(site: TestClient[Any]) -> None:
    address = "/api/definitions/yearly/schedule"
    unchanged = site.delete(f"{address}/pause")
    what = "the schedule of definition yearly"
    assert (unchanged.status_code, unchanged.json()["detail"]) == (202, f"{what} was not paused")
    paused = site.post(f"{address}/pause").json()
    assert (paused["what"], paused["paused"]) == (what, True)
    assert site.post(f"{address}/pause").json()["detail"] == f"{what} was paused already"
    paused = next(each for each in site.get("/api/schedules").json()["schedules"] if each["definition"] == "yearly")
    assert (paused["next_at"], paused["paused_by"]) == (None, "the API")
    resumed = site.delete(f"{address}/pause")
    assert (resumed.status_code, resumed.json()["paused"]) == (202, False)
    assert f"{what} goes on; its next start is 20" in resumed.json()["detail"]
    assert site.post("/api/definitions/quick/schedule/pause").status_code == 409
    unknown = site.post("/api/definitions/nothing/schedule/pause")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "no_such_definition")
