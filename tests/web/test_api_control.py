"""Retries and deletions through the API, of a run that has already happened: see `histories`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from litestar.testing import TestClient

from app.cli.control import bulk
from app.main import create_app
from app.queue import audit
from app.queue.database import Database
from app.queue.models import Kind
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.settings import Settings
from app.web.views import JobsView
from tests.web.histories import BOOM, write_history

FINISHED, CANCELLED = 1, 12


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient[Any]]:
    """Nobody works here: what is retried stays pending."""
    write_history(tmp_path)
    with TestClient(create_app(Settings(data=tmp_path, slots=0)), base_url="http://127.0.0.1") as client:
        yield client
    assert audit.check(Database.in_directory(tmp_path)) == []


def jobs(api: TestClient[Any], **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/api/jobs", params={"limit": 100, **query}).json()["jobs"]
    return found


def refused(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()
    return error


def test_everything_of_a_run_that_failed_is_retried_once(api: TestClient[Any]) -> None:
    answer = api.post(f"/api/jobs/{FINISHED}/retries")
    assert answer.status_code == 202, answer.text
    assert (answer.json()["items"], answer.json()["steps"]) == (3, ["import"])
    assert "3 work items of job 1" in answer.json()["detail"]
    run = api.get(f"/api/jobs/{FINISHED}").json()
    assert (run["status"], run["counts"]["pending"], run["counts"]["completed"]) == ("running", 3, 5)
    error = refused(api.post(f"/api/jobs/{FINISHED}/retries"), 409)
    assert (error["error"], error["url"]) == ("conflict", "/jobs/1")
    assert error["detail"] == "nothing of job 1 has failed; it is left as it is"


def test_a_retry_of_a_key_is_done_once_and_answered_alike(api: TestClient[Any]) -> None:
    first = api.post(f"/api/jobs/{FINISHED}/retries?key=mine")
    again = api.post(f"/api/jobs/{FINISHED}/retries?key=mine")
    assert (first.status_code, again.status_code) == (202, 202)
    assert (again.json()["items"], again.json()["steps"]) == (3, ["import"])
    assert again.json() | {"revision": 0} == first.json() | {"revision": 0}
    refused(api.post(f"/api/jobs/{FINISHED}/retries?key=another"), 409)


@pytest.mark.parametrize(("name", "number"), [("b", 1), ("import", 3)])
def test_a_work_item_and_a_step_are_retried_alone(api: TestClient[Any], name: str, number: int) -> None:
    job_id = next(job["id"] for job in jobs(api, manager_id=FINISHED, step="import") if job["name"] == name)
    assert api.post(f"/api/jobs/{job_id}/retries").json()["items"] == number
    pending = [job["reason"] for job in jobs(api, manager_id=FINISHED, status="pending", kind="worker")]
    assert pending == ["retried through the API"] * number


def test_one_failure_group_is_retried(api: TestClient[Any]) -> None:
    groups = api.get(f"/api/jobs/{FINISHED}/tree").json()["failures"]
    pattern = next(group["pattern"] for group in groups if group["message"] == BOOM)
    answer = api.post(f"/api/jobs/{FINISHED}/retries", params={"pattern": pattern})
    assert answer.json()["items"] == 2
    assert [job["error"] for job in jobs(api, manager_id=FINISHED, status="failed", kind="worker")] == ["other"]
    error = refused(api.post(f"/api/jobs/{FINISHED}/retries", params={"pattern": "nobody said that"}), 409)
    assert "failure group" in error["detail"]


def test_what_was_cancelled_is_retried_if_asked_for(api: TestClient[Any]) -> None:
    refused(api.post(f"/api/jobs/{CANCELLED}/retries"), 409)
    answer = api.post(f"/api/jobs/{CANCELLED}/retries?cancelled=true")
    assert (answer.status_code, answer.json()["steps"]) == (202, ["import", "classify"])


def test_a_run_is_deleted_with_everything_it_owns(api: TestClient[Any]) -> None:
    gone = [job["id"] for job in jobs(api, manager_id=FINISHED)]
    answer = api.delete(f"/api/jobs/{FINISHED}")
    assert answer.status_code == 202, answer.text
    assert answer.json()["detail"] == "job 1 is deleted, with 8 work items and their logs"
    for job_id in gone:
        assert refused(api.get(f"/api/jobs/{job_id}"), 404)["error"] == "no_such_job"
    refused(api.delete(f"/api/jobs/{FINISHED}"), 404)
    refused(api.post(f"/api/jobs/{FINISHED}/retries"), 404)
    assert api.get("/api/jobs/stats").json()["total"] == len(jobs(api)) == 3
    page = api.get(f"/jobs/{FINISHED}", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "here is no job 1; it may have been deleted" in page.text


def test_a_running_run_is_not_deleted_and_the_way_out_is_named(api: TestClient[Any]) -> None:
    api.post(f"/api/jobs/{FINISHED}/retries")
    error = refused(api.delete(f"/api/jobs/{FINISHED}"), 409)
    assert error["detail"] == "job 1 is running; cancel it first, then delete it"
    api.post(f"/api/jobs/{FINISHED}/cancellation")
    assert api.delete(f"/api/jobs/{FINISHED}").status_code == 202


@pytest.mark.parametrize("kind", ["step", "worker"])
def test_only_a_whole_run_is_deleted(api: TestClient[Any], kind: str) -> None:
    job_id = jobs(api, manager_id=FINISHED, kind=kind)[0]["id"]
    error = refused(api.delete(f"/api/jobs/{job_id}"), 409)
    assert "only a whole run can be deleted" in error["detail"]
    assert error["url"] == "/jobs/1"


def test_page_api_and_command_line_choose_jobs_by_the_same() -> None:
    everything = JobFilter(Kind.WORKER, Status.FAILED, 1, "s", "d", "q", "t", 0.0, 60.0, failure="boom", open=True)
    of_page = set(parse_qs(urlsplit(JobsView(everything).url).query))
    described = create_app(Settings()).openapi_schema.to_schema()
    listed = {each["name"] for each in described["paths"]["/api/jobs"]["get"]["parameters"]} - {"limit", "cursor"}
    frozen = set(described["components"]["schemas"]["FreezeJobs"]["properties"])
    at_the_command_line = {option.name for option in bulk.params} & (of_page | listed | frozen)
    assert of_page == listed == frozen == at_the_command_line


@pytest.mark.parametrize(
    ("chosen", "number"),
    [
        ({"failure": "PATTERN"}, 2),
        ({"tag": "history"}, 0),
        ({"from": "2001-01-01"}, 8),
        ({"to": "2001-01-01T12:00"}, 0),
    ],
)
def test_lists_are_chosen_and_frozen_by_failure_tag_and_time(
    api: TestClient[Any], chosen: dict[str, str], number: int
) -> None:
    groups = api.get(f"/api/jobs/{FINISHED}/tree").json()["failures"]
    pattern = next(group["pattern"] for group in groups if group["message"] == BOOM)
    asked = {name: value.replace("PATTERN", pattern) for name, value in chosen.items()}
    asked = {"kind": "worker", "manager_id": FINISHED, **asked}
    assert api.get("/api/jobs", params=asked).json()["total"] == number
    assert api.post("/api/bulk", json=asked).json()["total"] == number


@pytest.mark.parametrize("name", ["from", "to"])
def test_what_is_no_time_is_refused_with_its_name(api: TestClient[Any], name: str) -> None:
    error = refused(api.get("/api/jobs", params={name: "soon"}), 400)
    assert refused(api.post("/api/bulk", json={"kind": "worker", name: "soon"}), 400)["detail"] == error["detail"]
    assert error["detail"] == f"{name} must be a time such as 2026-11-21T12:00; 'soon' is none"


def test_who_did_what_is_read_page_by_page(api: TestClient[Any]) -> None:
    item = jobs(api, manager_id=FINISHED, status="failed", kind="worker")[0]
    ann = {"x-stepglass-actor": "ann"}
    api.post(f"/api/jobs/{item['id']}/retries", headers=ann)
    api.post(f"/api/jobs/{FINISHED}/cancellation")
    api.post("/api/queue/pause")
    api.delete("/api/queue/pause", headers=ann)
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("/api/actions", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        assert page["total"] == 4
        seen += [(each["who"], each["verb"], each["manager_id"], each["job_id"]) for each in page["actions"]]
        cursor = page["next"]
    assert seen == [
        ("ann", "resume", None, None),
        ("the API", "pause", None, None),
        ("the API", "cancel", FINISHED, FINISHED),
        ("ann", "retry", FINISHED, item["id"]),
    ]
    of_run = api.get(f"/api/jobs/{FINISHED}/actions").json()
    assert [each["verb"] for each in of_run["actions"]] == ["cancel", "retry"]
    of_item = api.get(f"/api/jobs/{item['id']}/actions").json()
    assert (of_item["total"], of_item["actions"][0]["said"]) == (
        1,
        f"retried work item {item['name']}: 1 work item runs again; evaluated again: import",
    )
    api.delete(f"/api/jobs/{FINISHED}")
    assert [each["verb"] for each in api.get("/api/actions").json()["actions"]] == ["delete", "resume", "pause"]
    refused(api.get(f"/api/jobs/{FINISHED}/actions"), 404)
    refused(api.get("/api/actions?cursor=nonsense"), 400)


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/jobs/1/retries"), ("DELETE", "/api/jobs/1")])
def test_a_page_of_another_site_changes_nothing(api: TestClient[Any], method: str, path: str) -> None:
    for header in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        refused(api.request(method, path, headers=header), 403)
    assert api.get("/api/jobs/1").json()["status"] == "completed"
