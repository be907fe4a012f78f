"""Bulk actions on the page and in the API, carried out by a server that works."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from app.main import create_app
from app.queue import audit
from app.queue.database import Database
from app.settings import Settings
from tests.stepglass import definitions
from tests.web.conftest import Pages, drifts
from tests.web.stage import staged_app
from tests.web.test_control_pages import HTML, failed_run, sent, text


@pytest.fixture
def pages(tmp_path: Path, queue_url: str) -> Iterator[Pages]:
    """Nobody works here, except by the hand of the test."""
    with Pages(staged_app(tmp_path, url=queue_url), base_url="http://127.0.0.1") as client:
        client.follow_redirects = False
        yield client
    assert drifts(tmp_path, queue_url) == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestClient[Any]]:
    """A server with slots, whose definition `failing` makes runs of three work items that fail."""
    settings = Settings(data=tmp_path / "data", definitions=(definitions(tmp_path / "definitions"),), slots=4)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        client.follow_redirects = False
        yield client
    assert audit.check(Database.in_directory(tmp_path / "data")) == []


def ended(server: TestClient[Any], job_id: int) -> dict[str, Any]:
    """The run, once it is over."""
    for _ in range(600):
        job: dict[str, Any] = server.get(f"/api/jobs/{job_id}").json()
        if job["finished_at"]:
            return job
        time.sleep(0.05)
    raise AssertionError(f"run {job_id} does not end: {job}")


def failing_runs(server: TestClient[Any], number: int) -> list[int]:
    ids = [server.post("/api/jobs", json={"definition": "failing"}).json()["job_id"] for _ in range(number)]
    for job_id in ids:
        ended(server, job_id)
    return ids


def test_failures_under_a_filter_are_acknowledged_and_those_that_come_later_are_not(server: TestClient[Any]) -> None:
    early = failing_runs(server, 2)
    shown = server.get("/jobs?kind=worker&status=failed", headers=HTML)
    frozen = sent_to(server, shown.text, "/bulk")
    preview = server.get(frozen.headers["location"], headers=HTML)
    assert "Act on 6 failed work items" in text(preview)
    assert 'href="/jobs?kind=worker&amp;status=failed">Leave them as they are</a>' in preview.text
    (late,) = failing_runs(server, 1)
    form = preview.text.split('id="acknowledge-heading"')[1]
    answer = sent(server, f'id="content"{form}', note="known <b>")  # type: ignore[arg-type]
    manager_id = int(answer.headers["location"].rpartition("/")[2])
    assert ended(server, manager_id)["status"] == "completed"
    assert [server.get(f"/api/jobs/{each}").json()["open_failures"] for each in (*early, late)] == [0, 0, 3]
    again = sent(server, f'id="content"{form}')  # type: ignore[arg-type]
    assert again.headers["location"] == answer.headers["location"]  # sent twice, it is one run
    report = text(server.get(server.get(f"/jobs/{manager_id}/bulk").headers["location"], headers=HTML))
    assert "6 done, 0 skipped, 0 failed, as of" in report
    assert "a person at the page confirmed: acknowledge, with the note known <b>." in report
    assert "What it was told to do" in text(server.get(f"/jobs/{manager_id}", headers=HTML))
    lines = [line["message"] for line in server.get(f"/api/jobs/{manager_id}/logs?limit=100").json()["lines"]]
    assert len([line for line in lines if line.endswith("acknowledge: done")]) == 6
    assert "in all: 6 done, 0 skipped, 0 failed" in lines


def sent_to(server: Any, page: str, address: str) -> Any:
    """Sends the form of a page that posts to that address."""
    form = re.search(rf'<form method="post" action="{address}">(.*?)</form>', page, re.S)
    assert form, page
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[1]))
    return server.post(address, data={name: unescape(value) for name, value in fields.items()}, headers=HTML)


def test_runs_of_a_filter_are_retried_then_deleted_by_a_program(server: TestClient[Any]) -> None:
    ids = failing_runs(server, 3)
    frozen = server.post("/api/bulk", json={"kind": "manager", "definition": "failing"}).json()
    assert {each["action"]: each["acts"] for each in frozen["choices"]} == {
        "retry": 3,
        "cancel": 0,
        "acknowledge": 3,
        "delete": 3,
    }
    confirmation = f"/api/bulk/{frozen['token']}/confirmation"
    started = server.post(confirmation, json={"action": "retry"}, headers={"x-stepglass-actor": "ann"})
    assert started.status_code == 202, started.text
    ended(server, started.json()["job_id"])
    for job_id in ids:
        assert ended(server, job_id)["status"] == "failed"
        (item, *_) = server.get(f"/api/jobs?manager_id={job_id}&kind=worker").json()["jobs"]
        assert item["attempt"] == 2
    refused = server.post(confirmation, json={"action": "delete"})
    assert (refused.status_code, "used already" in refused.json()["detail"]) == (409, True)
    fresh = server.post("/api/bulk", json={"kind": "manager", "definition": "failing"}).json()
    deleting = server.post(f"/api/bulk/{fresh['token']}/confirmation", json={"action": "delete"}).json()
    ended(server, deleting["job_id"])
    report = server.get(f"/api/bulk/{fresh['token']}").json()["report"]
    assert report == {"done": 3, "skipped": [], "failed": [], "waiting": 0}
    assert [server.get(f"/api/jobs/{job_id}").status_code for job_id in ids] == [404] * 3
    assert [job["definition"] for job in server.get("/api/jobs?kind=manager").json()["jobs"]] == ["bulk_action"] * 2


def test_the_queue_page_offers_to_act_on_the_runs_of_its_filter(pages: Pages) -> None:
    failed_run(pages)
    pages.play("start", steps=["one"], name="Other")
    assert "Act on these runs" not in pages.get("/queue", headers=HTML).text
    frozen = sent_to(pages, pages.get("/queue?q=Trial", headers=HTML).text, "/bulk")
    preview = text(pages.get(frozen.headers["location"], headers=HTML))
    assert "1 manager jobs with “Trial” in the name" in preview
    assert "it is not over; cancel it first" in preview
    assert "Delete 1" not in preview


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/api/bulk", {}, 400, "kind must be given"),
        ("/api/bulk", {"kind": "thing"}, 422, ""),
        ("/api/bulk", {"kinds": "worker"}, 422, ""),
        ("/api/bulk/unknown/confirmation", {"action": "retry"}, 404, "there is no such bulk action"),
        ("/api/bulk/unknown/confirmation", {"action": "explode"}, 422, ""),
    ],
)
def test_what_cannot_be_is_refused(pages: Pages, path: str, body: dict[str, Any], status: int, why: str) -> None:
    answer = pages.post(path, json=body)
    assert (answer.status_code, why in answer.json()["detail"]) == (status, True), answer.text


def test_an_action_that_is_for_none_of_them_is_refused_and_the_others_are_named(pages: Pages) -> None:
    failed_run(pages)
    frozen = pages.post("/api/bulk", json={"open": True}).json()
    assert (frozen["total"], frozen["jobs"]) == (3, "open failures")
    answer = pages.post(f"/api/bulk/{frozen['token']}/confirmation", json={"action": "cancel"})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "there is nothing to cancel among them; there is: retry, acknowledge"
    assert pages.post(f"/bulk/{frozen['token']}", data={"action": "explode"}, headers=HTML).status_code == 400
