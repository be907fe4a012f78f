"""The JSON API, asked the way a program asks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from app.main import create_app
from app.queue.database import Database
from app.settings import Settings
from tests.stepglass import definitions
from tests.web.histories import BOOM, write_history

LARGEST = 2**63 - 1


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    """Everything that has happened is past: these tests only read."""
    data = tmp_path_factory.mktemp("data")
    write_history(data)
    with TestClient(create_app(Settings(data=data)), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[TestClient[Any]]:
    """An empty queue with definitions to start."""
    settings = Settings(data=tmp_path / "data", definitions=(definitions(tmp_path / "definitions"),))
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def get(api: TestClient[Any], path: str, **query: object) -> Any:
    response = api.get(path, params={name: str(value) for name, value in query.items()})
    assert response.status_code == 200, response.text
    return response.json()


def refusal(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()
    assert error.keys() >= {"error", "detail"}
    assert error.keys() <= {"error", "detail", "problems", "url"}
    return error


def ids(api: TestClient[Any], **query: object) -> dict[str, int]:
    return {job["name"]: job["id"] for job in get(api, "/api/jobs", limit=500, **query)["jobs"]}


def test_every_answer_carries_the_revision(api: TestClient[Any]) -> None:
    paths = ["jobs", "jobs/stats", "jobs/1", "jobs/1/structure", "jobs/1/tree", "jobs/1/logs"]
    paths += ["definitions", "definitions/codebase_classify"]
    assert len({get(api, f"/api/{path}")["revision"] for path in paths}) == 1


def test_statistics_add_up(api: TestClient[Any]) -> None:
    stats = get(api, "/api/jobs/stats")
    kinds = stats["by_kind"]
    assert kinds["manager"]["total"] == 2
    assert kinds["step"]["total"] == 4
    assert kinds["worker"] == {
        "total": 8,
        "pending": 0,
        "running": 0,
        "completed": 5,
        "failed": 3,
        "cancelled": 0,
        "skipped": 0,
    }
    for status in kinds["worker"]:
        assert stats[status] == sum(kinds[kind][status] for kind in kinds)


def test_each_number_is_the_length_of_its_list(api: TestClient[Any]) -> None:
    for kind, counts in get(api, "/api/jobs/stats")["by_kind"].items():
        for status in counts.keys() - {"total"}:
            assert get(api, "/api/jobs", kind=kind, status=status)["total"] == counts[status], (kind, status)


def test_pages_hold_every_job_once(api: TestClient[Any]) -> None:
    page = get(api, "/api/jobs", limit=3)
    seen = [job["id"] for job in page["jobs"]]
    while page["next"]:
        page = get(api, "/api/jobs", limit=3, cursor=page["next"])
        seen += [job["id"] for job in page["jobs"]]
    assert len(seen) == len(set(seen)) == page["total"] == 14


def test_filters_narrow_the_list(api: TestClient[Any]) -> None:
    assert get(api, "/api/jobs", kind="worker", manager_id=1, step="import", status="failed")["total"] == 3
    assert get(api, "/api/jobs", kind="worker", q="A")["total"] == 2
    assert get(api, "/api/jobs", definition="trial", kind="manager")["total"] == 2
    assert get(api, "/api/jobs", definition="other")["jobs"] == []


def test_a_run_is_told_with_its_counts(api: TestClient[Any]) -> None:
    run = get(api, "/api/jobs/1")
    assert (run["kind"], run["name"], run["definition"]) == ("manager", "A trial", "trial")
    assert (run["status"], run["manager_id"], run["step_id"]) == ("completed", 1, None)
    assert (run["counts"]["completed"], run["counts"]["failed"]) == (5, 3)
    started = datetime.fromisoformat(run["started_at"])
    assert started.tzinfo == UTC
    assert run["created_at"].endswith("Z")


def test_a_work_item_knows_its_step_and_its_run(api: TestClient[Any]) -> None:
    item = get(api, f"/api/jobs/{ids(api, kind='worker', step='import')['b']}")
    assert (item["kind"], item["status"], item["error"], item["attempt"]) == ("worker", "failed", BOOM, 1)
    assert (item["manager_id"], item["step_name"], item["counts"]) == (1, "import", None)


@pytest.mark.parametrize("asked", ["manager", "step", "worker"])
def test_the_structure_is_that_of_the_whole_run(api: TestClient[Any], asked: str) -> None:
    job_id = get(api, "/api/jobs", kind=asked, manager_id=1)["jobs"][0]["id"]
    structure = get(api, f"/api/jobs/{job_id}/structure")
    assert (structure["job_id"], structure["status"]) == (1, "completed")
    steps = {step["name"]: (step["status"], step["child_count"]) for step in structure["steps"]}
    assert list(steps.items()) == [("import", ("completed", 4)), ("classify", ("completed", 4))]
    assert structure["updated_at"] == get(api, "/api/jobs/1")["finished_at"]


def test_the_tree_groups_failures_by_what_they_say(api: TestClient[Any]) -> None:
    tree = get(api, "/api/jobs/1/tree")
    assert tree["job"]["id"] == 1
    assert tree["parameters"] == {"folder": "/srv/x", "deep": "true"}
    assert [(step["name"], step["depends"]) for step in tree["steps"]] == [("import", []), ("classify", ["import"])]
    groups = [(each["step_name"], each["message"], each["count"]) for each in tree["failures"]]
    assert groups == [("import", "other", 1), ("import", BOOM, 2)]
    assert tree["failures"][1]["job_id"] == ids(api, kind="worker", step="import")["b"]
    assert tree["failures"][1]["pattern"] == BOOM


def test_the_log_of_a_step_is_numbered_without_gaps(api: TestClient[Any]) -> None:
    log = get(api, "/api/jobs/1/logs", step="import", limit=1000)
    assert [line["line"] for line in log["lines"]] == list(range(1, log["total"] + 1))
    assert {line["step_name"] for line in log["lines"]} == {"import"}


def test_one_log_at_three_zooms(api: TestClient[Any]) -> None:
    whole = get(api, "/api/jobs/1/logs", limit=1000)["lines"]
    steps = ids(api, kind="step", manager_id=1)
    by_step = [get(api, f"/api/jobs/{steps[name]}/logs", limit=1000)["lines"] for name in ("import", "classify")]
    assert whole == by_step[0] + by_step[1]
    item = ids(api, kind="worker", step="import")["a"]
    own = get(api, f"/api/jobs/{item}/logs")["lines"]
    assert own == [line for line in whole if line["job_id"] == item]
    assert [line["message"] for line in own] == ["reading a", "reading took long"]


def test_a_level_means_at_least(api: TestClient[Any]) -> None:
    found = {
        level: get(api, "/api/jobs/1/logs", level=level, limit=1000) for level in ("debug", "info", "warn", "error")
    }
    levels = Counter(line["level"] for line in found["debug"]["lines"])
    assert found["warn"]["total"] == levels["warn"] + levels["error"] == len(found["warn"]["lines"])
    assert found["info"]["total"] == found["debug"]["total"] - levels["debug"]
    assert found["error"]["total"] == levels["error"]


def test_a_log_is_searched(api: TestClient[Any]) -> None:
    found = get(api, "/api/jobs/1/logs", q="READING T")
    assert [line["message"] for line in found["lines"]] == ["reading took long"] * 2
    assert found["total"] == 2


def test_a_log_is_read_on_from_where_it_ended(api: TestClient[Any]) -> None:
    seen: list[Any] = []
    page = get(api, "/api/jobs/1/logs", after="0", limit=4)
    while page["lines"]:
        seen += page["lines"]
        page = get(api, "/api/jobs/1/logs", after=page["next"], limit=4)
    assert seen == get(api, "/api/jobs/1/logs", limit=1000)["lines"]


def test_earlier_lines_are_read_backwards(api: TestClient[Any]) -> None:
    before = get(api, "/api/jobs/1/logs", step="import", before="4", limit=2)["lines"]
    assert [line["line"] for line in before] == [2, 3]


@pytest.mark.parametrize("path", ["", "/structure", "/tree", "/logs"])
def test_a_job_that_does_not_exist_is_not_found(api: TestClient[Any], path: str) -> None:
    error = refusal(api.get(f"/api/jobs/{LARGEST}{path}"), 404)
    assert error["error"] == "no_such_job"
    assert str(LARGEST) in error["detail"]


def test_a_step_that_the_run_has_not_is_not_found(api: TestClient[Any]) -> None:
    refusal(api.get("/api/jobs/1/logs?step=nothing"), 404)


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("jobs?limit=0", "limit"),
        ("jobs?limit=501", "limit"),
        ("jobs?limit=x", "limit"),
        ("jobs?status=exploded", "status"),
        ("jobs?kind=parent", "kind"),
        (f"jobs?manager_id={LARGEST + 1}", "manager_id"),
        (f"jobs?q={'x' * 201}", "q"),
        (f"jobs/{LARGEST + 1}", "job_id"),
        ("jobs/0", "job_id"),
        ("jobs/1/logs?level=loud", "level"),
        ("jobs/1/logs?limit=1001", "limit"),
    ],
)
def test_a_wrong_value_is_told_by_key(api: TestClient[Any], query: str, key: str) -> None:
    assert list(refusal(api.get(f"/api/{query}"), 400)["problems"]) == [key]


@pytest.mark.parametrize(
    "query",
    [
        "jobs?cursor=x",
        "jobs?cursor=manager.0..-1",
        f"jobs?cursor=manager.0..{LARGEST + 1}",
        "jobs?cursor=worker.99.broken.1",
        "jobs/1/logs?after=x",
        f"jobs/1/logs?before={LARGEST + 1}",
        "jobs/1/logs?after=1.2.3",
    ],
)
def test_a_place_that_nobody_gave_out_is_refused(api: TestClient[Any], query: str) -> None:
    assert refusal(api.get(f"/api/{query}"), 400)["error"] == "bad_place"


def test_starting_a_definition_is_answered_with_its_run(acting: TestClient[Any]) -> None:
    response = acting.post("/api/jobs", json={"definition": "endless"})
    assert response.status_code == 202
    started = response.json()
    assert started["url"] == response.headers["location"] == f"/jobs/{started['job_id']}"
    run = get(acting, f"/api/jobs/{started['job_id']}")
    assert run["definition"] == "endless"
    assert run["revision"] >= started["revision"] > 0


def test_parameters_are_typed_by_the_definition(acting: TestClient[Any]) -> None:
    parameters = {"seed": "7", "fast_workers": 2}
    started = acting.post("/api/jobs", json={"definition": "test_job_generator", "parameters": parameters}).json()
    tree = get(acting, f"/api/jobs/{started['job_id']}/tree")
    assert (tree["parameters"]["seed"], tree["parameters"]["fast_workers"]) == ("7", "2")


def test_one_run_too_many_is_a_conflict_that_names_the_running_one(acting: TestClient[Any]) -> None:
    started = acting.post("/api/jobs", json={"definition": "test_job_generator"}).json()
    error = refusal(acting.post("/api/jobs", json={"definition": "test_job_generator"}), 409)
    assert error["url"] == started["url"]
    assert f"job {started['job_id']}" in error["detail"]


def test_an_unknown_definition_is_not_found_and_the_near_one_named(acting: TestClient[Any]) -> None:
    error = refusal(acting.post("/api/jobs", json={"definition": "codebase_clasify"}), 404)
    assert "codebase_classify" in error["detail"]


def test_what_is_wrong_with_the_parameters_is_told_by_key(acting: TestClient[Any]) -> None:
    body = {"definition": "codebase_classify", "parameters": {"folder": "/does/not/exist", "foldr": 1}}
    problems = refusal(acting.post("/api/jobs", json=body), 422)["problems"]
    assert set(problems) == {"folder", "foldr"}
    assert "/does/not/exist" in problems["folder"]


def test_an_invalid_definition_is_refused_with_what_is_wrong(acting: TestClient[Any], tmp_path: Path) -> None:
    (tmp_path / "definitions" / "broken.toml").write_text('id = "broken"\n[step.a]\ntype = "nothing"\n')
    problems = refusal(acting.post("/api/jobs", json={"definition": "broken"}), 422)["problems"]
    assert "line 3" in problems["step.a.type"]
    (listed,) = [each for each in get(acting, "/api/definitions")["definitions"] if each["id"] == "broken"]
    assert not listed["valid"]
    assert "broken.toml:3" in listed["problem"]


def test_a_disabled_definition_is_refused(acting: TestClient[Any], tmp_path: Path) -> None:
    path = tmp_path / "definitions" / "quick.toml"
    path.write_text("enabled = false\n" + path.read_text())
    error = refusal(acting.post("/api/jobs", json={"definition": "quick"}), 409)
    assert error["error"] == "disabled" and "set `enabled = true` in" in error["detail"]
    assert error["url"] == "/definitions/quick"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"[]", 422),
        (b'{"definition": 1}', 422),
        (b'{"definition": ""}', 422),
        (b'{"definition": "x", "more": 1}', 422),
        (b'{"definition": "x", "parameters": []}', 422),
        (b'"' + b"x" * (1 << 20) + b'"', 413),
    ],
)
def test_a_body_that_is_no_request_is_refused(acting: TestClient[Any], body: bytes, status: int) -> None:
    refusal(acting.post("/api/jobs", content=body), status)


def test_a_run_is_cancelled_once(acting: TestClient[Any]) -> None:
    job_id = acting.post("/api/jobs", json={"definition": "endless"}).json()["job_id"]
    response = acting.post(f"/api/jobs/{job_id}/cancellation")
    assert response.status_code == 202
    assert "cancelled" in response.json()["detail"]
    assert get(acting, f"/api/jobs/{job_id}")["status"] == "cancelled"
    again = acting.post(f"/api/jobs/{job_id}/cancellation")
    assert (again.status_code, again.json()["detail"]) == (202, f"job {job_id} was cancelled already")
    done = get(acting, f"/api/jobs/{job_id}/actions")["actions"]
    assert [(each["who"], each["said"].partition(":")[0]) for each in reversed(done)] == [
        ("the API", "started it"),
        ("the API", "cancelled the run"),
    ]


@pytest.mark.parametrize("kind", ["step", "worker"])
def test_a_part_of_a_run_that_has_ended_is_not_cancelled(api: TestClient[Any], kind: str) -> None:
    job_id = get(api, "/api/jobs", kind=kind, manager_id=1)["jobs"][0]["id"]
    error = refusal(api.post(f"/api/jobs/{job_id}/cancellation"), 409)
    assert error["url"] == f"/jobs/{job_id}"
    assert "has ended already" in error["detail"]


def test_cancelling_what_does_not_exist_is_not_found(api: TestClient[Any]) -> None:
    refusal(api.post("/api/jobs/4711/cancellation"), 404)


def test_definitions_are_listed_and_shown(api: TestClient[Any]) -> None:
    listed = get(api, "/api/definitions")
    assert listed["total"] == len(listed["definitions"])
    shown = get(api, "/api/definitions/codebase_classify")
    assert shown["definition"] in listed["definitions"]
    assert 'id = "codebase_classify"' in shown["text"]
    (folder,) = shown["definition"]["parameters"]
    assert (folder["name"], folder["type"], folder["required"]) == ("folder", "folder", True)


def test_an_unknown_definition_is_not_shown(api: TestClient[Any]) -> None:
    assert "codebase_classify" in refusal(api.get("/api/definitions/nothing"), 404)["detail"]


@contextmanager
def full_disk(database: Database) -> Iterator[None]:
    """SQLite's own way to have no more room."""

    def limit(pages: int) -> None:
        with database.writing.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    limit(1)
    try:
        yield
    finally:
        limit(1_000_000)


def test_nothing_is_lost_when_the_disk_is_full(acting: TestClient[Any]) -> None:
    started = 0
    with full_disk(acting.app.state.access.database):
        while (response := acting.post("/api/jobs", json={"definition": "quick"})).status_code == 202:
            started += 1
    error = refusal(response, 503)
    assert response.headers["retry-after"] == "5"
    assert "cannot be written: database or disk is full; make room on its disk" in error["detail"]
    assert "nothing was lost, try again" in error["detail"]
    assert get(acting, "/api/jobs", kind="manager")["total"] == started
    assert acting.post("/api/jobs", json={"definition": "quick"}).status_code == 202


def test_health_says_what_is_wrong_with_the_storage_and_that_it_is_over(acting: TestClient[Any]) -> None:
    with full_disk(acting.app.state.access.database):
        while acting.post("/api/jobs", json={"definition": "quick"}).status_code == 202:
            pass
        response = acting.get("/healthz")
        assert response.status_code == 503
        told = response.json()
        assert told["status"] == "trouble"
        assert "database or disk is full; make room on its disk" in told["detail"]
        assert told["since"]
    assert acting.post("/api/jobs", json={"definition": "quick"}).status_code == 202
    while (response := acting.get("/healthz")).status_code != 200:
        pass  # until what had ended meanwhile is stored, too
    assert (response.json()["status"], response.json()["since"]) == ("ok", None)


def test_health_says_that_the_database_cannot_be_read(acting: TestClient[Any]) -> None:
    with acting.app.state.access.database.writing.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE sequence RENAME TO hidden")
    response = acting.get("/healthz")
    with acting.app.state.access.database.writing.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO sequence")
    assert response.status_code == 503
    assert "cannot be read: no such table" in response.json()["detail"]


def test_health_is_told(api: TestClient[Any]) -> None:
    assert get(api, "/healthz") == {
        "status": "ok",
        "revision": get(api, "/api/jobs/stats")["revision"],
        "version": "0.1.0",
        "detail": "",
        "since": None,
    }
